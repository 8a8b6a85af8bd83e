package alg

import (
	"errors"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// sweepFates decides what is to be decided at the time of a tick.
func (g *Gateway) sweepFates() {
	f := &g.stories
	n := 0
	for n < len(f.shut) && g.now.Sub(f.shut[n].shutAt) >= settleTime {
		if x := f.shut[n]; x.came.IsZero() && !x.ended {
			g.decide(x)
		}
		n++
	}
	f.shut = f.shut[:copy(f.shut, f.shut[n:])]
	if g.now.Sub(f.swept) >= time.Minute {
		f.swept = g.now
		for _, x := range f.waiting {
			if g.now.Sub(x.Opened) > x.timeout+settleTime {
				g.giveUp(x, policy.Expired, g.now) // the kernel says nothing of it
			}
		}
	}
	g.askMissed()
	for _, x := range f.flowing {
		g.renew(x)
	}
}

// EventsLost tells that events of the kernel may have been missed: what is open is not known to be watched
// any more, and the kernel is asked for the data connections.
func (g *Gateway) EventsLost() {
	for _, x := range g.stories.waiting {
		x.watched = false
	}
	g.stories.asks = g.stories.asks[:0]
	for _, x := range g.stories.flowing {
		g.stories.asks = append(g.stories.asks, x)
	}
}

// askMissed asks the kernel for some of the data connections whose end may have been missed.
func (g *Gateway) askMissed() {
	f := &g.stories
	if g.Entry == nil {
		return
	}
	for n := 0; n < askStep && len(f.asks) > 0; n++ {
		x := f.asks[len(f.asks)-1]
		f.asks = f.asks[:len(f.asks)-1]
		if x.ended {
			continue
		}
		var e conntrack.Entry
		switch err := g.Entry(x.data, &e); {
		case errors.Is(err, conntrack.ErrNotFound):
			x.state = 0 // how it ended is not known
			g.finish(x, g.now)
		case err == nil:
			g.DataChanged(g.now, x.data, e.TCP.State)
		}
	}
}

// renewStep is the least time between two looks at what is left of a control connection.
const renewStep = time.Second

// renew keeps the entry of a control connection, on which nothing is said during a transfer, while its data
// connection lives: it gets what it once had when less than half of it is left.
func (g *Gateway) renew(f *story) {
	if g.Entry == nil || g.now.Before(f.renewal) {
		return
	}
	var e conntrack.Entry
	if err := g.Entry(f.master, &e); err != nil {
		f.renewal = g.now.Add(time.Minute)
		return
	}
	left := e.Timeout
	f.full = max(f.full, left)
	if left <= f.full/2 {
		if err := g.kernel.Update(f.master, conntrack.Update{Timeout: f.full}); err != nil {
			g.kernelError("keep a control connection during a transfer", err)
		} else {
			g.Stats.Renewed.Add(1)
			left = f.full
		}
	}
	f.renewal = g.now.Add(max(renewStep, (left-f.full/2)/2))
}
