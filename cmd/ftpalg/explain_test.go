package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
)

var update = flag.Bool("update", false, "write the document of reasons and checks anew")

func TestExplainSaysWhatAReasonOrACheckMeansAndWhatToDo(t *testing.T) {
	for _, p := range pages() {
		out, err := execute("explain", p.ID)
		if err != nil || !strings.Contains(out, p.Meaning+"\n") || !strings.Contains(out, p.Remedy) {
			t.Errorf("%v: %q, %v", p.ID, out, err)
		}
	}
	if out, err := execute("explain", "low_prot"); err == nil || !strings.Contains(err.Error(), "low_port") {
		t.Errorf("a reason that is none: %q, %v", out, err)
	}
}

func TestExplainListsEveryWordOnALineOfItsOwn(t *testing.T) {
	out, err := execute("explain")
	lines, all := strings.Split(strings.TrimSpace(out), "\n"), pages()
	if err != nil || len(lines) != len(all)+1 || len(all) <= int(policy.NumReasons) {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for i, line := range lines[1:] {
		p := all[i]
		if !strings.HasPrefix(line, p.ID+" ") || !strings.Contains(line, p.Meaning) ||
			!strings.Contains(line, p.Remedy) {
			t.Errorf("%v: %q", p.ID, line)
		}
	}
}

func TestWordsMeanOneThing(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range pages() {
		if seen[p.ID] {
			t.Errorf("%s is there twice", p.ID)
		}
		seen[p.ID] = true
	}
}

func TestDocumentOfReasonsAndChecksIsThatOfTheTables(t *testing.T) {
	const file = "../../deploy/docs/reasons.md"
	out, err := execute("explain", "--markdown")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != out {
		t.Errorf("%s is not what the tables say (%v): go test ./cmd/ftpalg -run Document -update", file, err)
	}
}
