package main

import (
	"time"

	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// staleFor is how long after damage was found packets may be from before it. No sender repeats anything
// earlier.
const staleFor = 200 * time.Millisecond

// staleness tells which packets came to the queue before others damaged the rules. Where the program was
// stopped meanwhile, or did not have the processor, their repetitions have gone by as they were, and of a
// chain that was deleted the kernel has dropped what it had queued. To edit such a packet puts both ends out
// of step for good. So they are dropped, and come again.
type staleness struct {
	turned time.Time // the last time
	times  uint64    // damages that are known
	drops  bool      // there may be more packets from before the last
}

// standsStill is for how long the loop may not have turned before packets may be that old. Where it turns all
// the time nobody needs to ask.
const standsStill = staleFor / 2

// of tells whether the n packets that were read just now, at most so many at once, are to be dropped.
func (s *staleness) of(now time.Time, n, most int, damages func() ruleset.Damages) bool {
	stood := now.Sub(s.turned) > standsStill
	s.turned = now
	if damages == nil || !stood && !s.drops {
		return false
	}
	d := damages()
	recent := time.Since(d.Last) < staleFor
	if d.Times != s.times {
		s.times, s.drops = d.Times, recent
	}
	drop := s.drops && recent
	s.drops = drop && (n == most || n == 0)
	return drop
}
