package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestManualHasAPageForEachCommandWithItsOptions(t *testing.T) {
	dir := t.TempDir()
	if out, err := execute("manual", dir); err != nil {
		t.Fatal(err, out)
	}
	for _, c := range newRoot().Commands() {
		if c.Hidden {
			continue
		}
		page, err := os.ReadFile(filepath.Join(dir, "ftpalg-"+c.Name()+".1"))
		if err != nil || !strings.HasPrefix(string(page), ".TH FTPALG-"+strings.ToUpper(c.Name())+" 1 ") {
			t.Errorf("%s: %v, %.40s", c.Name(), err, page)
		}
		if c.Flags().Lookup("config") != nil && !strings.Contains(string(page), "\n.B \\-\\-config file\n") {
			t.Errorf("%s: no --config", c.Name())
		}
		if !strings.Contains(string(page), "\n.SH EXIT STATUS\n.nf\n  0  ") ||
			!strings.Contains(string(page), "\n.SH EXAMPLES\n.nf\n  ") {
			t.Errorf("%s: no exit status or no examples", c.Name())
		}
	}
}

func TestManualTextIsNotTakenForRequests(t *testing.T) {
	if got := roff(".SH x\n'y\na-b\\c"); got != "\\&.SH x\n\\&'y\na\\-b\\ec" {
		t.Errorf("%q", got)
	}
}
