package main

import (
	"bytes"
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
