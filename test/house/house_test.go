package house

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the top of the tree, seen from here.
const root = "../.."

// debts are what is not yet as it should be: a rule, and what breaks it. Only the files in
// mayOwe may have some. One that is paid must be taken off the list.
var debts = map[string][]string{}

// mayOwe are the files that may be in debt, as patterns of path.Match.
var mayOwe = []string{
	"alg/crash_test.go", "alg/fuzz_test.go", "rewrite/*_test.go",
	"conntrack/*.go", "conntrack/nfqueue/*.go", "conntrack/ruleset/*.go", "cmd/ftpalg/program.go",
}

// source is a file of Go.
type source struct {
	name string // from the root, with slashes
	text []byte
	file *ast.File
	set  *token.FileSet
}

// tracked lists the files of the tree that are the project's, from the root.
func tracked(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err = filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir // git's, and those of editors
		}
		if !d.IsDir() {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// sources are all files of Go.
func sources(t *testing.T) (all []*source) {
	t.Helper()
	for _, name := range tracked(t) {
		if path.Ext(name) != ".go" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		s := &source{name: name, text: text, set: token.NewFileSet()}
		if s.file, err = parser.ParseFile(s.set, name, text, parser.ParseComments); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		t.Fatal("there are no files of Go")
	}
	return all
}

// judge reports what breaks a rule and is no debt, and debts that are paid. Keys tell
// what breaks it, values how.
func judge(t *testing.T, rule string, found map[string]string) {
	t.Helper()
	for _, d := range debts[rule] {
		file, _, _ := strings.Cut(d, " ")
		if !slices.ContainsFunc(mayOwe, func(p string) bool { ok, _ := path.Match(p, file); return ok }) {
			t.Errorf("%s may not be in debt", d)
		}
		if _, owed := found[d]; !owed {
			t.Errorf("%s is as it should be now: take it off debts[%q]", d, rule)
		}
	}
	for what, how := range found {
		if !slices.Contains(debts[rule], what) {
			t.Errorf("%s: %s", what, how)
		}
	}
}

func TestFilesAreFormatted(t *testing.T) {
	found := map[string]string{}
	for _, s := range sources(t) {
		if f, err := format.Source(s.text); err != nil || !bytes.Equal(f, s.text) {
			found[s.name] = "gofmt would change it"
		}
	}
	judge(t, "format", found)
}

func TestPackagesHaveADocComment(t *testing.T) {
	judge(t, "doc", undocumented(sources(t)))
}

// undocumented are the directories with a package, but no doc.go with its comment. What
// has only tests has it in one of these; the command in its main.go.
func undocumented(all []*source) map[string]string {
	found, commented := map[string]string{}, map[string]bool{}
	for _, s := range all {
		dir := path.Dir(s.name)
		found[dir] = "no doc.go with a comment for the package"
		inPlace := path.Base(s.name) == "doc.go" || s.file.Name.Name == "main" || onlyTests(all, dir)
		commented[dir] = commented[dir] || inPlace && s.file.Doc != nil
	}
	for dir, ok := range commented {
		if ok {
			delete(found, dir)
		}
	}
	return found
}

func onlyTests(all []*source, dir string) bool {
	return !slices.ContainsFunc(all, func(s *source) bool {
		return path.Dir(s.name) == dir && !strings.HasSuffix(s.name, "_test.go")
	})
}

func TestTopHasNothingElse(t *testing.T) {
	allowed := []string{"cmd", "alg", "conntrack", "rewrite", "deploy", "test",
		"go.mod", "go.sum", "README.md", "Makefile", "LICENSE"}
	list := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("listing the files of the tree, which must be a checkout of git: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(line), "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(allowed, top) {
			t.Errorf("%s has no place at the top", top)
		}
	}
}
