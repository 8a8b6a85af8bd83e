package main

import (
	"time"

	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// staleFor is how long after damage was found packets that are read may be from before it.
const staleFor = time.Second

// harm follows what others do to the rules. Without a watch there is none.
//
// It tells which packets came to the queue before the last damage. Their repetitions may have gone by as they
// were: the program was stopped meanwhile, or had no processor, or what followed a packet went by and the
// receiver said at once that something is missing. Of a chain that was deleted the kernel has dropped what
// it had queued. To edit such a packet puts both ends out of step for good. So they are dropped, and come
// again.
type harm struct {
	watch *ruleset.Watch
	known uint64 // damages that the loop has been told of

	looked time.Time // for damage, the last time
	times  uint64    // damages of which packets were judged
	drops  bool      // there may be more packets from before the last
}

// repeatTime is how long a packet waits at least before a repetition of it can have gone by: for that its
// receiver must have heard of it, and its sender of that.
const repeatTime = 250 * time.Microsecond

// anew tells whether damage was found since it was asked last.
func (h *harm) anew() bool {
	if h.watch == nil {
		return false
	}
	was := h.known
	h.known = h.watch.Stats.Damages.Load()
	return h.known != was
}

// stale tells whether the packet at hand is to be dropped. came: when it did; zero: that is not known. more:
// there may be more that came before.
func (h *harm) stale(now, came time.Time, more bool) bool {
	if h.watch == nil {
		return false
	}
	return h.before(now, came, more, h.watch.Damages)
}

func (h *harm) before(now, came time.Time, more bool, damages func() ruleset.Damages) bool {
	age := now.Sub(came)
	if young := age >= 0 && age < repeatTime; !h.drops && (young || now.Sub(h.looked) < repeatTime) {
		return false
	}
	h.looked = now
	d := damages()
	if d.Times != h.times {
		h.times, h.drops = d.Times, true
	}
	drop := h.drops && time.Since(d.Last) < staleFor
	h.drops = drop && more
	return drop
}
