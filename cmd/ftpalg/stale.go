package main

import (
	"time"

	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// staleFor is how long after damage was found packets are taken to be from before it: as soon as a sender
// repeats what it has sent, which it does earliest after that time.
const staleFor = 200 * time.Millisecond

// staleness tells which packets came to the queue before others damaged the rules. Their repetitions may have
// gone by since, as they were, where the program did not have the processor or was stopped; or the kernel has
// dropped them already with the chain that had queued them. To edit one of these now would put both ends out of step
// for good. They are dropped: their senders repeat them.
type staleness struct {
	times uint64 // damages that are known
	drops bool   // there may be more packets from before
}

// of tells whether the n packets that were read, at most of these at once, are to be dropped.
func (s *staleness) of(n, most int, d ruleset.Damages) bool {
	if d.Times != s.times {
		s.times, s.drops = d.Times, time.Since(d.Last) < staleFor
	}
	drop := s.drops
	s.drops = drop && (n == most || n == 0)
	return drop && time.Since(d.Last) < staleFor
}
