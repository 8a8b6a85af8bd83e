package main

import (
	"time"

	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// staleFor is how long after damage was found packets that are read may be from before it.
const staleFor = time.Second

// harm follows what others do to the rules. Without a watch there is none.
//
// It tells which packets came to the queue before the last damage. Where the program was stopped meanwhile,
// or did not have the processor, their repetitions have gone by as they were, and of a chain that was deleted
// the kernel has dropped what it had queued. To edit such a packet puts both ends out of step for good. So
// they are dropped, and come again.
type harm struct {
	watch *ruleset.Watch
	known uint64 // damages that the loop has been told of

	turned time.Time // the loop, the last time
	times  uint64    // damages of which packets were judged
	drops  bool      // there may be more packets from before the last
}

// standsStill is for how long the loop may not have turned before a packet may have been repeated, which no
// sender does within twice that time. Where it turns all the time nobody needs to ask.
const standsStill = 100 * time.Millisecond

// anew tells whether damage was found since it was asked last.
func (h *harm) anew() bool {
	if h.watch == nil {
		return false
	}
	was := h.known
	h.known = h.watch.Stats.Damages.Load()
	return h.known != was
}

// stale tells whether the packet at hand is to be dropped. more: there may be more that came before.
func (h *harm) stale(now time.Time, more bool) bool {
	if h.watch == nil {
		return false
	}
	return h.before(now, more, h.watch.Damages)
}

func (h *harm) before(now time.Time, more bool, damages func() ruleset.Damages) bool {
	stood := now.Sub(h.turned) > standsStill
	h.turned = now
	if !stood && !h.drops {
		return false
	}
	d := damages()
	if d.Times != h.times {
		h.times, h.drops = d.Times, true
	}
	drop := h.drops && time.Since(d.Last) < staleFor
	h.drops = drop && more
	return drop
}
