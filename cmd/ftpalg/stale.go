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
	times uint64 // damages that are known
	drops bool   // there may be more packets from before the last
}

// of tells whether the n packets that were read, at most so many at once, are to be dropped.
func (s *staleness) of(n, most int, d ruleset.Damages) bool {
	recent := time.Since(d.Last) < staleFor
	if d.Times != s.times {
		s.times, s.drops = d.Times, recent
	}
	drop := s.drops && recent
	s.drops = drop && (n == most || n == 0)
	return drop
}
