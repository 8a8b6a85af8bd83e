package fate

import (
	"errors"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// Sweep decides what time decides. It is to be called about every second.
func (b *Book) Sweep(now time.Time) {
	n := 0
	for n < len(b.shut) && now.Sub(b.shut[n].shutAt) >= settleTime {
		if x := b.shut[n]; x.came.IsZero() && !x.ended {
			b.decide(x, now)
		}
		n++
	}
	b.shut = b.shut[:copy(b.shut, b.shut[n:])]
	if now.Sub(b.swept) >= time.Minute {
		b.swept = now
		for _, x := range b.waiting.All() {
			if now.Sub(x.Opened) > x.Door.Timeout+settleTime {
				b.Shut(x, policy.Expired, now) // the kernel says nothing of it
			}
		}
	}
	b.askMissed(now)
	for _, x := range b.flowing.All() {
		b.renew(x, now)
	}
}

// EventsLost tells that events of the kernel may have been missed: what is open is not known to be watched
// any more, and the kernel is asked for the data connections.
func (b *Book) EventsLost() {
	for _, x := range b.waiting.All() {
		x.watched = false
	}
	b.asks = b.asks[:0]
	for _, x := range b.flowing.All() {
		b.asks = append(b.asks, x)
	}
}

// askMissed asks the kernel for some of the data connections whose end may have been missed.
func (b *Book) askMissed(now time.Time) {
	if b.Entry == nil {
		return
	}
	for n := 0; n < askStep && len(b.asks) > 0; n++ {
		x := b.asks[len(b.asks)-1]
		b.asks = b.asks[:len(b.asks)-1]
		if x.ended {
			continue
		}
		var e conntrack.Entry
		switch err := b.Entry(x.data, &e); {
		case errors.Is(err, conntrack.ErrNotFound):
			x.state = 0 // how it ended is not known
			b.finish(x, now)
		case err == nil:
			b.DataChanged(now, x.data, e.TCP.State)
		}
	}
}

// renewStep is the least time between two looks at what is left of a control connection.
const renewStep = time.Second

// renew keeps the entry of a control connection, on which nothing is said during a transfer, while its data
// connection lives: it gets what it once had when less than half of it is left.
func (b *Book) renew(s *Story, now time.Time) {
	if b.Entry == nil || now.Before(s.renewal) {
		return
	}
	var e conntrack.Entry
	if err := b.Entry(s.Door.Master, &e); err != nil {
		s.renewal = now.Add(time.Minute)
		return
	}
	left := e.Timeout
	s.full = max(s.full, left)
	if left <= s.full/2 {
		if err := b.Update(s.Door.Master, conntrack.Update{Timeout: s.full}); err != nil {
			b.OnKernelError("keep a control connection during a transfer", err)
		} else {
			b.Stats.Renewed.Add(1)
			left = s.full
		}
	}
	s.renewal = now.Add(max(renewStep, (left-s.full/2)/2))
}
