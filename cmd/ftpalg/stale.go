package main

import (
	"time"

	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// staleFor is how long after damage was found packets that are read may be from before it.
const staleFor = time.Second

// staleness tells which packets came to the queue before others damaged the rules. Where the program was
// stopped meanwhile, or did not have the processor, their repetitions have gone by as they were, and of a
// chain that was deleted the kernel has dropped what it had queued. To edit such a packet puts both ends out
// of step for good. So they are dropped, and come again.
type staleness struct {
	turned time.Time // the last time
	times  uint64    // damages that are known
	drops  bool      // there may be more packets from before the last
}

// standsStill is for how long the loop may not have turned before a packet may have been repeated, which no
// sender does within twice that time. Where it turns all the time nobody needs to ask.
const standsStill = 100 * time.Millisecond

// of tells whether the packet at hand is to be dropped. more: there may be more that came before.
func (s *staleness) of(now time.Time, more bool, damages func() ruleset.Damages) bool {
	stood := now.Sub(s.turned) > standsStill
	s.turned = now
	if damages == nil || !stood && !s.drops {
		return false
	}
	d := damages()
	if d.Times != s.times {
		s.times, s.drops = d.Times, true
	}
	drop := s.drops && time.Since(d.Last) < staleFor
	s.drops = drop && more
	return drop
}
