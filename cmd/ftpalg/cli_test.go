package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// execute runs a command line that needs no kernel.
func execute(args ...string) (string, error) {
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	for _, c := range append([]*cobra.Command{newRoot()}, newRoot().Commands()...) {
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no text or no example", c.Name())
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: %q ends in a full stop, the others do not", c.Name(), c.Short)
		}
	}
}

func TestHelpOfEveryCommandHasExamplesAndTheExitStatus(t *testing.T) {
	for _, c := range newRoot().Commands() {
		out, err := execute(c.Name(), "--help")
		if err != nil || !strings.Contains(out, "\nExamples:\n  ") ||
			!strings.Contains(out, "ftpalg "+c.Name()) || !strings.Contains(out, "\nExit status:\n  0  ") {
			t.Errorf("%s: %v\n%s", c.Name(), err, out)
		}
		if strings.Count(out, "xit status") != 1 {
			t.Errorf("%s: the exit status is told twice\n%s", c.Name(), out)
		}
	}
	for name := range exits {
		if _, _, err := newRoot().Find([]string{name}); err != nil {
			t.Errorf("an exit status of no command: %v", err)
		}
	}
}

func TestExitStatusIsAsDocumented(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(bad, []byte("quue: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]int{
		"version":                      0,
		"explain low_port":             0,
		"explain low_prot":             1,
		"check --config " + bad:        2,
		"run --config " + bad:          1,
		"rules --config " + bad:        1,
		"inspect " + bad:               1,
		"inspect /nonexistent.pcap":    1,
		"manual /nonexistent":          1,
		"sessions --socket " + bad:     1,
		"events --socket " + bad:       1,
		"status --socket " + bad:       2,
		"status --quiet --socket /nil": 2,
	} {
		c := commandLine(strings.Fields(args)...) // run gives up privileges
		out, err := c.CombinedOutput()
		documented := strings.Contains(exits[strings.Fields(args)[0]], fmt.Sprintf("  %d  ", want))
		if code := c.ProcessState.ExitCode(); code != want || !documented {
			t.Errorf("%s: %d, want %d: %v %s", args, code, want, err, out)
		}
	}
}

func TestCommandLineErrorsAreClear(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(bad, []byte("quue: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want string
	}{
		{"rnu", `unknown command "rnu" for "ftpalg"`},
		{"check extra", `unknown command "extra"`},
		{"check --config " + bad, "f.yaml:1: quue: no such key, did you mean queue?"},
		{"check --config /nonexistent.yaml", "no such file"},
		{"check --ports 0", "--ports: 0 is out of range; allowed: one or more ports from 1 to 65535"},
		{"inspect", "requires at least 1 arg(s)"},
		{"inspect /nonexistent.pcap", "no such file"},
		{"inspect --ports x " + bad, `--ports: "x" is not a number`},
		{"inspect " + bad, "neither pcap nor pcapng nor snoop"},
	} {
		if out, err := execute(strings.Fields(c.args)...); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v %s, want %s", c.args, err, out, c.want)
		}
	}
}

func TestVersionIsPrinted(t *testing.T) {
	if out, err := execute("version"); err != nil || !strings.HasPrefix(out, "ftpalg ") ||
		!strings.Contains(out, " go1.") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestCompletionIsThere(t *testing.T) {
	if out, err := execute("completion", "bash"); err != nil || !strings.Contains(out, "ftpalg") {
		t.Errorf("%.80q, %v", out, err)
	}
}
