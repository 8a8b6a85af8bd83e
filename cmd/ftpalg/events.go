package main

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/conntrack"
)

const (
	// eventBuffer is the receive buffer of events, bytes.
	eventBuffer = 4 << 20
	// eventsWaiting is how many may wait for the end of a round.
	eventsWaiting = 4096
	// eventsARound bounds how many are handled between two rounds, so that no packet waits for long.
	eventsARound = 256
	// wakeEvery is how often the loop is woken for events at most. Its packets and its ticks, which there are
	// while something is open, take along what comes in between.
	wakeEvery = 20 * time.Millisecond
	// lull is between two looks for events, and longLull where a loop that has packets looks for them itself.
	// To be woken for each costs more than all that is done for it.
	lull     = time.Millisecond
	longLull = 20 * time.Millisecond
	// catchUpTime is for how long the loop reads events at most where it is late.
	catchUpTime = 100 * time.Millisecond
)

// happening is what the gateway needs of an event.
type happening struct {
	kind    conntrack.Kind
	at      time.Time
	master  conntrack.Tuple // original tuple of the control connection
	open    netip.AddrPort  // where a data connection was expected
	early   bool            // an expectation is gone before its timeout
	tuple   conntrack.Tuple // original tuple of an entry
	state   conntrack.TCPState
	status  conntrack.Status
	counted bool
	counter [2]conntrack.Counter
	number  uint32 // the kernel's of an entry or an expectation
	foreign bool   // another program did it, to the entry of a control connection
}

// events brings what the kernel tells of data connections and of the end of control connections to the
// packet loop. What the loop does not take in time is lost and counted: nothing waits for it.
type events struct {
	wake    func() error // ends the round of the loop that waits
	own     []uint32     // netlink port ids of our own requests
	ready   chan happening
	lost    *atomic.Uint64  // counts how often events were lost
	missed  atomic.Bool     // since the loop looked last
	told    bool            // that they can be lost
	woken   time.Time       // when the loop was woken last; of whoever reads events
	broken  chan error      // what ended the listening
	read    func() bool     // has all hear what waits, and tells whether there is more
	looked  time.Time       // when the loop had them do so last, because it has packets
	looks   *atomic.Bool    // a loop does, since the listening goroutine did; of all
	others  bool            // this worker knows the sessions of another gateway
	attend  func(time.Time) // see audience
	updates atomic.Bool     // updates are heard of
	joined  atomic.Bool     // they were not before; since the loop looked last
}

func hearing(own []uint32, lost *atomic.Uint64, wake func() error) *events {
	return &events{
		own: own, lost: lost, wake: wake,
		others: true,
		ready:  make(chan happening, eventsWaiting), broken: make(chan error, 1),
	}
}

func (e *events) lose() {
	e.lost.Add(1)
	e.missed.Store(true)
}

// take hands an event on, if there is room. awake: the loop will look without being woken.
func (e *events) take(ev *conntrack.Event, awake bool) {
	h := happening{kind: ev.Kind, at: time.Now()}
	switch ev.Kind {
	case conntrack.ExpectDestroy:
		x := &ev.Expect
		h.master, h.open, h.number, h.early = x.Master, x.Dst, x.ID, x.Timeout > 0
	default:
		x := &ev.Entry
		h.master, h.tuple, h.state, h.status = x.Master, x.Tuple[conntrack.Original], x.TCP.State, x.Status
		h.counted, h.counter, h.number = x.HasCounters, x.Counters, x.ID
		h.foreign = foreign(ev, e.own)
		if h.foreign && x.Expected() && ev.Kind != conntrack.FlowDestroy {
			return // a data connection that passes another gateway
		}
		h.foreign = h.foreign && !x.Expected()
	}
	select {
	case e.ready <- h:
	default:
		e.lose()
	}
	// A standby has no packets and no ticks.
	if !awake && (h.foreign || h.at.Sub(e.woken) > wakeEvery) {
		e.woken = h.at
		_ = e.wake() // fails if the loop has ended
	}
}

// catchUp gives the gateway all that has happened until now, if that is read within a moment.
func (e *events) catchUp(g *alg.Gateway, j *journal) {
	end := time.Now().Add(catchUpTime)
	for more := true; more && time.Now().Before(end); {
		more = e.read()
		for e.pass(g, j) {
		}
	}
}

// look has all hear what waits, if the loop, which has packets, has not done so for a while; or at once where
// others put entries in the place of those that the packets came with.
func (e *events) look(now time.Time, copied bool) {
	if copied || now.Sub(e.looked) >= lull {
		e.looked = now
		e.looks.Store(true)
		e.read()
	}
}

// pass gives the gateway what has happened since the last round, and tells whether there is more.
func (e *events) pass(g *alg.Gateway, j *journal) bool {
	g.Hears = e.updates.Load()
	if e.joined.Swap(false) {
		g.Unheard(time.Now()) // nobody told of what was written before
	}
	if e.missed.Swap(false) {
		g.Fates.EventsLost()
		g.Unheard(time.Now())
		if !e.told {
			e.told = true
			j.log.Warn("events of the kernel were lost: what came of some data connections stays unknown; " +
				"this is told once, ftpalg_events_lost_total counts")
		}
	}
	for range eventsARound {
		select {
		case h := <-e.ready:
			h.tell(g, e.others)
		case err := <-e.broken:
			g.NotAlone()
			g.Fates.Listens = false
			j.log.Error("events of the kernel do not come any more, sessions go on without", "error", err)
		default:
			return false
		}
	}
	return true
}

// tell tells g. others: of sessions that no worker has, which are another gateway's, it is the one to know.
func (h *happening) tell(g *alg.Gateway, others bool) {
	if h.foreign && h.kind != conntrack.FlowDestroy {
		if others || g.Has(h.tuple) {
			g.Changed(h.at, h.tuple)
		} else {
			g.Accompanied()
		}
		return
	}
	door := conntrack.Expectation{Master: h.master, Dst: h.open, ID: h.number}
	switch h.kind {
	case conntrack.ExpectDestroy:
		g.Fates.DoorGone(h.at, &door, h.early)
	case conntrack.FlowNew:
		g.Fates.DataStarted(h.at, h.tuple, h.master)
	case conntrack.FlowDestroy:
		e := conntrack.Entry{HasCounters: h.counted, Counters: h.counter, Status: h.status}
		e.Tuple[conntrack.Original], e.TCP.State = h.tuple, h.state
		g.Fates.DataEnded(h.at, &e)
		if h.foreign {
			g.Deleted(h.at, h.tuple, h.number)
		} else {
			g.Destroyed(h.tuple, h.number)
		}
	}
}

// openEvents listens to the kernel from before the rules on, if it may.
func (p *program) openEvents(lost *atomic.Uint64) error {
	p.eventsLost = lost
	if !p.config.Events {
		return nil
	}
	for _, w := range p.workers {
		queue, err := w.queue.PortID()
		if err != nil {
			return err
		}
		p.own = append(p.own, w.conn.PortID(), queue)
	}
	l, err := watch(p.config.Ports, p.own)
	if err != nil {
		return fmt.Errorf("%w (events: off in the configuration does without)", err)
	}
	p.listener = l
	p.undo = append(p.undo, l.Close)
	a := &audience{listener: l, own: p.own, others: func() (bool, error) {
		return conntrack.OthersListen(conntrack.FlowUpdate, l.PortID())
	}}
	heard, _ := p.hears()
	for _, w := range p.workers {
		w.events = hearing(p.own, p.eventsLost, w.queue.Wake)
		w.events.read, w.events.looks, w.events.attend = a.reader(w.events), &a.looks, a.attend
		w.events.others = len(a.all) == 0
		w.gateway.Fates.Entry, w.gateway.Told = w.conn.Entry, heard == "on"
		w.gateway.Fates.Listens = true
		a.all = append(a.all, w.events)
	}
	a.attend(time.Now())
	go a.listen()
	return nil
}

// kernelTells says whether the kernel tells of new connections at all. A kernel without the setting has no
// events.
func kernelTells() bool {
	n, err := sysctl("nf_conntrack_events")
	return err == nil && n != 0
}

// hears says whether it will be known what comes of open ports, and how many bytes passed.
func (p *program) hears() (events, bytes string) {
	events, bytes = "on", "on"
	if p.listener == nil {
		return "off", "off"
	}
	if !kernelTells() {
		events = "off by net.netfilter.nf_conntrack_events"
	}
	if n, err := sysctl("nf_conntrack_acct"); err == nil && n == 0 {
		bytes = "off by net.netfilter.nf_conntrack_acct"
	}
	return events, bytes
}
