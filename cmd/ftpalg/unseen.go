package main

import (
	"sync"

	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

// unseen counts the packets that were offered to the queues and passed by because those were full. The kernel
// counts them nowhere, and such a packet gets no number: a counter in front of the queue statement tells how
// many were offered, and the last numbers of the queues how many came in.
type unseen struct {
	mu    sync.Mutex
	begun bool
	ahead int64 // how far the counter was ahead of the numbers, as far as that is accounted for
	total uint64
}

// sample takes the counter, read between two looks at the sum of the numbers. Where those differ packets
// came meanwhile; the later one makes sure that none of them is taken for one that passed.
func (u *unseen) sample(before, offered, after uint64) {
	ahead := int64(offered - after)
	switch {
	case !u.begun:
		u.begun, u.ahead = true, int64(offered-before)
	case ahead > u.ahead:
		u.total += uint64(ahead - u.ahead)
		u.ahead = ahead
	case before == after:
		// The table was flushed, or the kernel cut a large packet into several, each with a number.
		u.ahead = ahead
	}
}

// countUnseen returns how many packets passed the program by since it began, as far as the kernel tells. It
// is called when somebody asks: nothing is done for it in between.
func countUnseen(p *program) (uint64, error) {
	u := &p.unseen
	u.mu.Lock()
	defer u.mu.Unlock()
	before, err := lastIDs(p)
	if err != nil {
		return 0, err
	}
	c, err := p.rules.Counters()
	if err != nil {
		return 0, err
	}
	after, err := lastIDs(p)
	if err != nil {
		return 0, err
	}
	u.sample(before, c.Offered+c.Held, after)
	total := u.total
	for _, w := range p.workers {
		total += w.queue.Lost() // these have numbers: the receive buffer was full
	}
	return total, nil
}

// lastIDs sums up the numbers of the packets that came last.
func lastIDs(p *program) (sum uint64, err error) {
	for i := range p.workers {
		s, err := nfqueue.ReadStats(p.queueNumber + uint16(i))
		if err != nil {
			return 0, err
		}
		sum += uint64(s.LastID)
	}
	return sum, nil
}
