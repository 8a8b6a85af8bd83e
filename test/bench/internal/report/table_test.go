package report

import (
	"strings"
	"testing"
)

func TestRatiosAreTakenWithinARound(t *testing.T) {
	var tab Table
	r := Row{Name: "rate", Unit: "/s", Over: "K", Target: "≥ 1"}
	for round, v := range [][2]float64{{100, 200}, {10, 10}, {30, 20}} { // the machine was slow in round 2
		tab.Add(r, "F", round, v[0])
		tab.Add(r, "K", round, v[1])
	}
	tab.Add(r, "F", 3, 1e6) // K failed in this round: there is no ratio
	const want = "| rate | /s | 65.0 | – | – | 20.0 | – | F/K 1.00 (0.50–1.50) | – | ≥ 1 |"
	if got := tab.Text(); !strings.Contains(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestANoteIsToldOnce(t *testing.T) {
	var tab Table
	tab.Note("K is %s", "missing")
	tab.Note("K is %s", "missing")
	if n := strings.Count(tab.Text(), "K is missing"); n != 1 {
		t.Errorf("told %d times", n)
	}
}
