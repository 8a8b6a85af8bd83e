package main

import (
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
)

// foreign tells whether a program did what an event tells of, whose netlink port id is not among own.
func foreign(ev *conntrack.Event, own []uint32) bool {
	return ev.PortID != 0 && !slices.Contains(own, ev.PortID)
}

// watch listens to the events of control connections at ports. It must be called before there are
// connections to be told of. own are the netlink port ids of the program's own requests.
func watch(ports []uint16, own []uint32) (*conntrack.Listener, error) {
	// Who makes an expectation is told (Expectation.Told). Updates: see attend.
	const kinds = conntrack.AllEvents &^ conntrack.ExpectNew &^ conntrack.FlowUpdate
	l, err := conntrack.Listen(kinds, eventBuffer, conntrack.DefaultLayout)
	if err != nil {
		return nil, err
	}
	if err := l.Filter(ports, own...); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// audience has the events of all workers. All hear of all: whose it is tells the table of each.
type audience struct {
	listener hearer
	all      []*events
	looks    atomic.Bool // see events
	over     atomic.Bool // there will be no more events

	own      []uint32             // netlink port ids of our own requests
	others   func() (bool, error) // tells whether anybody else hears of updates
	mu       sync.Mutex           // for what follows
	attended time.Time            // when that was asked last
	updates  bool                 // we hear of them
	written  bool                 // another program wrote entries of control connections
}

// hearer is the part of conntrack.Listener that an audience needs.
type hearer interface {
	Receive(func(*conntrack.Event)) error
	ReceiveWaiting(func(*conntrack.Event)) (more bool, err error)
	Join(conntrack.Kind) error
	Leave(conntrack.Kind) error
}

// attendTime is the least time between two looks at who else hears of updates.
const attendTime = tickTime / 2

// listen receives until the listener is closed.
func (a *audience) listen() {
	take := a.taker(nil)
	for a.heard(a.listener.Receive(take)) {
		if a.looks.Swap(false) {
			time.Sleep(longLull)
		} else {
			time.Sleep(lull)
		}
	}
}

// reader returns what the loop of e calls to have all hear what waits; it tells whether there is more.
func (a *audience) reader(e *events) func() bool {
	take := a.taker(e)
	return func() bool {
		if a.over.Load() {
			return false
		}
		more, err := a.listener.ReceiveWaiting(take)
		return a.heard(err) && (more || err != nil)
	}
}

// taker hands an event on to all. The loop of awake, if that is not nil, need not be woken.
func (a *audience) taker(awake *events) func(*conntrack.Event) {
	return func(ev *conntrack.Event) {
		if ev.Kind == conntrack.FlowNew && !ev.Entry.Expected() && foreign(ev, a.own) {
			a.copied() // before a gateway looks at the entry: so it hears of what is written after that
		}
		for _, e := range a.all {
			e.take(ev, e == awake)
		}
	}
}

// attend hears of what others write into entries as long as anybody else hears of updates, which whoever
// replicates entries does, and has the gateways count on it. Else the kernel would tell of each change of
// each connection of this machine, for nothing: a tenth of what a short connection costs it. It is to be
// called about every second while there are sessions; where there are none, the first of another gateway's
// that is made here has us hear of the rest.
func (a *audience) attend(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.attended) < attendTime {
		return
	}
	a.attended = now
	others, err := a.others()
	a.hear(others || err != nil || a.written)
}

// copied takes note that another program makes entries of control connections, which may listen to nothing.
func (a *audience) copied() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.written = true
	a.hear(true)
}

// hear joins the updates, or leaves them.
func (a *audience) hear(updates bool) {
	switch {
	case updates == a.updates || a.over.Load():
		return
	case updates:
		a.updates = a.listener.Join(conntrack.FlowUpdate) == nil
	default:
		a.updates = a.listener.Leave(conntrack.FlowUpdate) != nil
	}
	for _, e := range a.all {
		e.updates.Store(a.updates)
		switch {
		case updates && a.updates:
			e.joined.Store(true)
		case updates:
			e.lose()
		}
	}
}

// heard tells all of an error, and returns false if there will be no more events.
func (a *audience) heard(err error) bool {
	lost := errors.Is(err, conntrack.ErrEventsLost)
	switch {
	case err == nil:
		return true
	case lost: // it goes on
	case a.over.Swap(true), errors.Is(err, os.ErrClosed): // that is told already, or wanted
		return false
	}
	for _, e := range a.all {
		e.lose()
		if !lost {
			e.broken <- err
		}
	}
	return lost
}
