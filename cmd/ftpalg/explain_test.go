package main

import (
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
)

func TestExplainSaysWhatAReasonMeansAndWhatToDo(t *testing.T) {
	for r := range policy.NumReasons {
		out, err := execute("explain", r.String())
		if err != nil || !strings.HasPrefix(out, r.Meaning()+"\n") || !strings.Contains(out, r.Remedy()) {
			t.Errorf("%v: %q, %v", r, out, err)
		}
	}
	if out, err := execute("explain", "low_prot"); err == nil || !strings.Contains(err.Error(), "low_port") {
		t.Errorf("a reason that is none: %q, %v", out, err)
	}
}

func TestExplainListsEveryReasonOnALineOfItsOwn(t *testing.T) {
	out, err := execute("explain")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != int(policy.NumReasons)+1 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for i, line := range lines[1:] {
		r := policy.Reason(i)
		if !strings.HasPrefix(line, r.String()+" ") || !strings.Contains(line, r.Meaning()) ||
			!strings.Contains(line, r.Remedy()) {
			t.Errorf("%v: %q", r, line)
		}
	}
}
