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
				got := h.before(now, time.Time{}, more, func() ruleset.Damages { return c.d })
				if got != c.want[i] {
					t.Errorf("read %d: %v", i, got)
				}
				now = now.Add(repeatTime)
			}
			next := func() ruleset.Damages { return ruleset.Damages{Times: c.d.Times + 1, Last: time.Now()} }
			for _, n := range []struct {
				name      string
				now, came time.Time
				want      bool
			}{
				{"a packet that came just now", now.Add(time.Second), now.Add(time.Second), false},
				{"it looked just now", now.Add(-repeatTime / 2), now.Add(-time.Second), false},
				{"a packet that waited", now.Add(2 * repeatTime), now, true},
			} {
				if got := h.before(n.now, n.came, false, next); got != n.want {
					t.Errorf("%s: dropped %v, want %v", n.name, got, n.want)
				}
			}
		})
	}
}
