package main

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

func TestPacketsFromBeforeADamageAreStale(t *testing.T) {
	const most = 4
	now, long := time.Now(), time.Now().Add(-time.Minute)
	for _, c := range []struct {
		name  string
		reads []int
		d     ruleset.Damages
		want  []bool
	}{
		{"no damage", []int{1, most}, ruleset.Damages{}, []bool{false, false}},
		{"all that were there", []int{most, 0, most, 2, 1, most}, ruleset.Damages{Times: 1, Last: now},
			[]bool{true, true, true, true, false, false}},
		{"long ago", []int{most, 1}, ruleset.Damages{Times: 1, Last: long}, []bool{false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s staleness
			for i, n := range c.reads {
				if got := s.of(n, most, c.d); got != c.want[i] {
					t.Errorf("read %d, of %d packets: %v", i, n, got)
				}
			}
			if c.d.Times > 0 && !s.of(1, most, ruleset.Damages{Times: c.d.Times + 1, Last: time.Now()}) {
				t.Error("the next damage is not noticed")
			}
		})
	}
}
