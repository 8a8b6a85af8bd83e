package main

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

func TestPacketsFromBeforeADamageAreStale(t *testing.T) {
	now, long := time.Now(), time.Now().Add(-time.Minute)
	for _, c := range []struct {
		name string
		more []bool
		d    ruleset.Damages
		want []bool
	}{
		{"no damage", []bool{false, true}, ruleset.Damages{}, []bool{false, false}},
		{"all that were there", []bool{true, true, false, true}, ruleset.Damages{Times: 1, Last: now},
			[]bool{true, true, true, false}},
		{"long ago", []bool{true, false}, ruleset.Damages{Times: 1, Last: long}, []bool{false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h harm
			for i, more := range c.more {
				got := h.before(now, more, func() ruleset.Damages { return c.d })
				if got != c.want[i] {
					t.Errorf("read %d: %v", i, got)
				}
			}
			next := func() ruleset.Damages { return ruleset.Damages{Times: c.d.Times + 1, Last: time.Now()} }
			if h.before(now.Add(standsStill), false, next) {
				t.Error("of a loop that turns packets are dropped")
			}
			if !h.before(now.Add(3*standsStill), false, next) {
				t.Error("the next damage is not noticed")
			}
		})
	}
}
