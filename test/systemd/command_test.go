package systemd

import (
	"bufio"
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// try runs a program and returns all that it said.
func try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// run is try for what must succeed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// refused runs what must fail, and say so.
func refused(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := try(name, args...); err == nil {
		t.Errorf("%s %s succeeds: %s", name, strings.Join(args, " "), out)
	}
}

// await reads what a program goes on printing until a line fits, and returns that.
func await(t *testing.T, pattern, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	defer func() { cancel(); _ = c.Wait() }() // it is killed
	fits := regexp.MustCompile(pattern)
	var seen strings.Builder
	for s := bufio.NewScanner(out); s.Scan(); {
		if fits.MatchString(s.Text()) {
			return s.Text()
		}
		seen.WriteString(s.Text() + "\n")
	}
	t.Fatalf("%s does not say %s within %s:\n%s", name, pattern, patience, &seen)
	return ""
}

// until asks again and again. It is for what nobody tells of.
func until(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ask(); {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// journal is what is written from some moment on.
type journal struct {
	t      *testing.T
	cursor string
}

func mark(t *testing.T) journal {
	t.Helper()
	const label = "-- cursor: "
	run(t, "journalctl", "--sync")
	out := run(t, "journalctl", "--lines=1", "--quiet", "--show-cursor")
	_, cursor, ok := strings.Cut(out, label)
	if !ok {
		t.Fatalf("the journal has no cursor: %s", out)
	}
	return journal{t, cursor}
}

// arguments leave the choice of lines to the caller: journalctl skips one too many if what is at the
// cursor is none that it was told to choose.
func (j journal) arguments(more ...string) []string {
	return append(more, "--after-cursor="+j.cursor, "--quiet")
}

// await waits for a line that fits, and returns it.
func (j journal) await(pattern string) string {
	j.t.Helper()
	return await(j.t, pattern, "journalctl", j.arguments("--follow", "--no-tail")...)
}

// text is all so far that names the program or the service.
func (j journal) text() string {
	j.t.Helper()
	run(j.t, "journalctl", "--sync")
	var text strings.Builder
	for line := range strings.Lines(run(j.t, "journalctl", j.arguments()...)) {
		if strings.Contains(line, "ftpalg") {
			text.WriteString(line)
		}
	}
	return text.String()
}

// property is what systemd tells of the service.
func property(t *testing.T, name string) string {
	t.Helper()
	return run(t, "systemctl", "show", "--property="+name, "--value", service)
}

func wantProperty(t *testing.T, name, want string) {
	t.Helper()
	if got := property(t, name); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}
