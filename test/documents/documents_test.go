package documents

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/lab"
)

const root = "../.."

// patience is how long the commands of a fence may take.
const patience = 5 * time.Minute

// runners are the names of fences that other tests run, and the tests.
var runners = map[string]string{
	"firewalld":     "test/beside/neighbours_test.go",
	"firewalld-ftp": "test/beside/neighbours_test.go",
	"ufw":           "test/beside/neighbours_test.go",
	"fail2ban":      "test/beside/neighbours_test.go",
	"deb":           "test/package/deb",
	"rpm":           "test/package/rpm",
}

// noCommands are the languages of fences in which nothing is to be typed, but for console, which no test can
// run.
var noCommands = map[string]bool{"text": true, "console": true, "yaml": true, "nft": true, "ini": true}

// fence is a piece of a document between two lines of ```.
type fence struct {
	file, language, name, text string
}

// documents are the files that readers are meant to follow.
func documents(t *testing.T) (files []string) {
	t.Helper()
	for _, p := range []string{"*.md", ".github/*.md", "deploy/*.md", "deploy/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 4 {
		t.Fatalf("only %d documents are found", len(files))
	}
	return files
}

func fences(file, text string) (all []fence) {
	var open *fence
	for line := range strings.Lines(text) {
		info, edge := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case edge && open == nil:
			language, name, _ := strings.Cut(info, " ")
			open = &fence{file: file, language: language, name: name}
		case edge:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line
		}
	}
	return all
}

func allFences(t *testing.T) (all []fence) {
	t.Helper()
	for _, file := range documents(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fences(file, string(b))...)
	}
	return all
}

// indented is code without a fence, which says not what it is.
var indented = regexp.MustCompile(`(?m)^\n(    |\t)[^\n]*\n`)

func TestEachFenceSaysWhatItIs(t *testing.T) {
	for _, f := range allFences(t) {
		switch {
		case f.language == "sh" && f.name != "" && runners[f.name] == "":
			t.Errorf("%s: nobody runs the fence %q", f.file, f.name)
		case f.language != "sh" && !noCommands[f.language]:
			t.Errorf("%s: a fence of the language %q, neither sh nor one without commands:\n%s",
				f.file, f.language, f.text)
		}
	}
	for _, file := range documents(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if code := indented.Find(b); code != nil {
			t.Errorf("%s: code without a fence: %s", file, bytes.TrimSpace(code))
		}
	}
}

// A test either takes the fence from the document by its name, or has its lines word for word.
func TestNamedFencesAreRunByTheirTests(t *testing.T) {
	named := map[string]string{}
	for _, f := range allFences(t) {
		named[f.name] += f.text
	}
	for name, file := range runners {
		b, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if named[name] == "" {
			t.Errorf("no document has the fence %q", name)
		}
		if strings.Contains(string(b), strconv.Quote(name)) {
			continue
		}
		for line := range strings.Lines(named[name]) {
			if !strings.Contains(string(b), " "+line) {
				t.Errorf("%s does not run %q", file, strings.TrimSpace(line))
			}
		}
	}
}

func TestFencesAreRead(t *testing.T) {
	got := fences("a", "x\n```sh\none\n```\n\n```sh two\nthree\n```\n")
	want := []fence{{"a", "sh", "", "one\n"}, {"a", "sh", "two", "three\n"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// private has a program on the path, and nothing of the machine's /run.
const private = `set -e
mount --make-rprivate /
mount -t tmpfs run /run
exec bash -e`

func TestCommandsRun(t *testing.T) {
	r, err := lab.NewT(t).ClientBehindNAT()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "github.com/ftpalg/ftpalg/cmd/ftpalg")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	for _, f := range allFences(t) {
		if f.language != "sh" || f.name != "" {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		c := r.Gateway.Command(ctx, "unshare", "--mount", "bash", "-c", private)
		c.Dir = root
		c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		c.Stdin = strings.NewReader(running + f.text)
		out, err := c.CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("%s: %v\n%s%s", f.file, err, f.text, out)
		}
	}
}

// running starts a gateway, which the commands may ask, and ends it, whatever they do.
const running = `ftpalg run --metrics-address 127.0.0.1:9821 &
gateway=$!
trap 'kill $gateway; wait $gateway' EXIT
until ftpalg status --quiet 2>/dev/null; do sleep 0.1; kill -0 $gateway; done
`
