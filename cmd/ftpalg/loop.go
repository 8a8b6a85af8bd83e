package main

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

const (
	// tickTime is how often the gateway looks after what time brings, while there is
	// something.
	tickTime = time.Second
	// longAgo is an age of a packet that only a clock that was set can have made.
	longAgo = time.Minute
)

// loopback is the interface index of lo in every network namespace.
const loopback = 1

// packetQueue is the part of nfqueue.Queue that the loop needs.
type packetQueue interface {
	SetDeadline(time.Time) error
	Receive([]nfqueue.Packet) (int, error)
	Verdict(id uint32, v nfqueue.Verdict, payload []byte) error
	Flush() error
	Wake() error
	Lost() uint64
	WasFull() bool
	More() bool
	TellEntries()
}

// observer is told of the time to the verdict on a packet, and whether it begins with the packet's arrival.
type observer interface {
	Observe(took time.Duration, sinceArrival bool)
}

// loop takes packets from a queue, asks the gateway about each, and answers. Everything that
// it has is its own, so that several can run side by side; only call may be
// used by other goroutines.
type loop struct {
	gateway  *alg.Gateway
	idle     func() bool // tells that the gateway has nothing to do but for packets; nil: never
	queue    packetQueue
	packets  []nfqueue.Packet
	latency  observer
	overruns *atomic.Uint64
	lost     *atomic.Uint64
	journal  *journal
	alive    func(time.Time) // told of each round; nil: nobody wants to know

	harm  harm
	stall stall

	events    *events    // nil: there are none
	snapshots *snapshots // nil: nobody asks for any
	busy      bool       // one of them has more to do than was done in this round
	entries   bool       // the queue was asked to tell the entries of packets

	calls   chan func()
	ended   chan struct{} // closed when run returns
	stopped bool

	ticked time.Time
	armed  time.Time // the deadline of the queue
	missed uint64    // of queue.Lost, what lost counts already
}

func newLoop() *loop { return &loop{calls: make(chan func(), 1), ended: make(chan struct{})} }

// run handles packets until stop or an error.
func (l *loop) run() error {
	defer close(l.ended)
	l.begin()
	for {
		select {
		case f := <-l.calls:
			f()
		default:
		}
		if l.stopped {
			return nil
		}
		if err := l.arm(); err != nil {
			return err
		}
		if _, err := l.round(); err != nil {
			return err
		}
		if l.alive != nil {
			l.alive(time.Now())
		}
	}
}

// call has f done between two rounds, when nobody else uses the gateway, and waits for
// it. It returns false if the loop has ended.
func (l *loop) call(f func()) bool {
	done := make(chan struct{})
	select {
	case l.calls <- func() { f(); close(done) }:
	case <-l.ended:
		return false
	}
	_ = l.queue.Wake() // fails if it is closed, and then the loop ends
	select {
	case <-done:
		return true
	case <-l.ended:
		return false
	}
}

// begin makes sure that nothing that came while the program began is taken for what waited too long: the
// first deadline is no earlier than now (see stall), and what the former program wrote was before that.
func (l *loop) begin() {
	l.ticked = time.Now()
	if l.gateway.Succeeds && l.events != nil {
		l.events.catchUp(l.gateway, l.journal)
		l.gateway.Drained()
	}
}

// stop ends run after the round under way.
func (l *loop) stop() { l.call(func() { l.stopped = true }) }

// arm sets the deadline of the queue to the next tick, or to never if there is none. It moves
// once a second at most: one that is not needed any more is left to pass.
func (l *loop) arm() error {
	var at time.Time
	if l.busy {
		l.armed = time.Now().Add(busyRound)
		return l.queue.SetDeadline(l.armed)
	}
	if l.idle == nil || !l.idle() || !l.journal.quiet() {
		at = l.ticked.Add(tickTime)
	}
	if at.Equal(l.armed) || at.IsZero() && time.Now().Before(l.armed) {
		return nil
	}
	l.armed = at
	return l.queue.SetDeadline(at)
}

// drain handles packets until none has come for a while, or for most.
func (l *loop) drain(quiet, most time.Duration) error {
	l.armed = time.Time{}
	for end := time.Now().Add(most); ; {
		deadline := time.Now().Add(quiet)
		if err := l.queue.SetDeadline(deadline); err != nil {
			return err
		}
		n, err := l.round()
		if now := time.Now(); err != nil || now.After(end) || n == 0 && now.After(deadline) {
			return err
		}
	}
}

// end tells of all transfers what is known now. It is the last that is done.
func (l *loop) end() {
	if l.events != nil {
		l.events.catchUp(l.gateway, l.journal)
	}
	l.gateway.EndTransfers(time.Now())
	l.journal.flush()
}

// round waits for packets, until the deadline of the queue, and handles those that there
// are. It returns how many there were. It allocates nothing for a packet.
func (l *loop) round() (int, error) {
	defer l.journal.flush()
	n, err := l.queue.Receive(l.packets)
	now := time.Now()
	switch {
	case errors.Is(err, nfqueue.ErrOverrun):
		l.overruns.Add(1)
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		return n, err
	}
	if n == 0 {
		l.harm.stale(now, time.Time{}, true) // what was there before is read in the next round
	}
	if l.harm.anew() {
		l.gateway.Damaged(now)
	}
	l.gateway.Unseen(l.queue.WasFull())
	l.goOn(now)
	if l.events != nil {
		if n > 0 {
			l.events.look(now, l.gateway.Copied())
		}
		l.busy = l.events.pass(l.gateway, l.journal)
	}
	if !l.entries && l.gateway.Copied() {
		l.entries = true
		l.queue.TellEntries()
	}
	l.release(now)
	l.take(now, n)
	l.flush()
	l.observe(now, l.packets[:n])
	l.gateway.Fates.Ask(now)
	if l.snapshots != nil && l.snapshots.step(l.gateway, now) {
		l.busy = true
	}
	if now.Sub(l.ticked) >= tickTime {
		l.tick(now)
	}
	if !l.queue.More() && !l.stall.rested(time.Now()) {
		l.gateway.Drained() // else what came since may have waited as well
	}
	return n, nil
}

// goOn has the gateway know what happened meanwhile, where the loop turns late or did not turn for a while:
// another may have the sessions now. It does so without packets too, for they may come with the next round.
func (l *loop) goOn(now time.Time) {
	late := l.stall.look(now, l.armed)
	if l.events != nil && (late || l.stall.rested(now)) {
		l.events.attend(now)
		l.events.catchUp(l.gateway, l.journal)
	}
	l.stall.ran = now
}

// take handles the first n packets.
func (l *loop) take(now time.Time, n int) {
	for i := range l.packets[:n] {
		p := &l.packets[i]
		more := i < n-1 || l.queue.More()
		at := time.Now()
		if l.stall.rested(at) { // it stopped in this round
			l.goOn(at)
			now = at
		}
		stale, waited := l.harm.stale(at, p.Time, more), l.stall.waited(now, more)
		if stale || waited && !l.gateway.Alone() {
			l.answer(p.ID, nfqueue.Drop, nil)
			continue
		}
		onLoopback := p.InDev == loopback || p.OutDev == loopback
		l.handle(now, alg.Origin{Zone: p.Zone, Entry: p.Entry, Loopback: onLoopback}, p.ID, p.Payload)
		l.release(now)
	}
}

func (l *loop) tick(now time.Time) {
	l.ticked = now
	if l.events != nil {
		l.events.attend(now)
	}
	l.gateway.Tick(now)
	l.release(now)
	l.flush()
	l.journal.tick()
}

// observe notes how long the packets, which were read at that time, waited for the verdicts
// that have just been sent.
func (l *loop) observe(read time.Time, ps []nfqueue.Packet) {
	took := time.Since(read)
	for i := range ps {
		waited, known := took, false
		if age := read.Sub(ps[i].Time); age > 0 && age < longAgo {
			waited, known = waited+age, true
		}
		l.latency.Observe(waited, known)
	}
	if lost := l.queue.Lost(); lost != l.missed {
		l.lost.Add(lost - l.missed)
		l.missed = lost
	}
}

// handle asks the gateway about one packet.
func (l *loop) handle(now time.Time, from alg.Origin, id uint32, data []byte) {
	switch v, out := l.gateway.HandleFrom(from, now, id, data); v {
	case alg.Accept:
		l.answer(id, nfqueue.Accept, nil)
	case alg.Rewrite:
		l.answer(id, nfqueue.Accept, out)
	case alg.Drop:
		l.answer(id, nfqueue.Drop, nil)
	case alg.Hold: // comes back from release
	}
}

// release handles the held packets whose turn has come.
func (l *loop) release(now time.Time) {
	for h, ok := l.gateway.Next(); ok; h, ok = l.gateway.Next() {
		if h.Drop {
			l.answer(h.ID, nfqueue.Drop, nil)
		} else {
			l.handle(now, h.Origin, h.ID, h.Data)
		}
	}
}

func (l *loop) answer(id uint32, v nfqueue.Verdict, payload []byte) {
	if err := l.queue.Verdict(id, v, payload); err != nil {
		l.journal.kernelError("give a verdict", err)
		// Unanswered it would wait for ever. Its sender sends it again.
		_ = l.queue.Verdict(id, nfqueue.Drop, nil)
	}
}

// flush sends the verdicts given so far.
func (l *loop) flush() {
	if err := l.queue.Flush(); err != nil {
		l.journal.kernelError("give verdicts", err)
	}
}
