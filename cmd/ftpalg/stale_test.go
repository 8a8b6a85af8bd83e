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
				got := s.of(now, n, most, func() ruleset.Damages { return c.d })
				if got != c.want[i] {
					t.Errorf("read %d, of %d packets: %v", i, n, got)
				}
			}
			next := func() ruleset.Damages { return ruleset.Damages{Times: c.d.Times + 1, Last: time.Now()} }
			if s.of(now.Add(standsStill), 1, most, next) {
				t.Error("of a loop that turns packets are dropped")
			}
			if !s.of(now.Add(3*standsStill), 1, most, next) {
				t.Error("the next damage is not noticed")
			}
		})
	}
}
