package main

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

// roundTime is how long a round waits for a packet, and so how long a signal waits.
const roundTime = 200 * time.Millisecond

// loopback is the interface index of lo in every network namespace.
const loopback = 1

// packetQueue is the part of nfqueue.Queue that the loop needs.
type packetQueue interface {
	SetDeadline(time.Time) error
	Receive([]nfqueue.Packet) (int, error)
	Verdict(id uint32, v nfqueue.Verdict, payload []byte) error
}

// loop takes packets from the queue, asks the gateway about each, and answers.
type loop struct {
	gateway  *alg.Gateway
	queue    packetQueue
	packets  []nfqueue.Packet
	latency  prometheus.Observer
	overruns *atomic.Uint64
	journal  *journal
	events   *events // nil: there are none

	snapshots *snapshots   // nil: nobody asks for any
	taking    bool         // one is under way
	turned    atomic.Int64 // Unix seconds when it turned last
	ticked    time.Time
}

// round handles the packets that there are, waiting for the first at most that
// long. It returns how many there were. It allocates nothing for a packet.
func (l *loop) round(wait time.Duration) (int, error) {
	if l.taking {
		wait = min(wait, busyRound)
	}
	if err := l.queue.SetDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	n, err := l.queue.Receive(l.packets)
	now := time.Now()
	switch {
	case errors.Is(err, nfqueue.ErrOverrun):
		l.overruns.Add(1)
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		return n, err
	}
	if l.events != nil {
		l.events.pass(l.gateway, l.journal)
		l.release(now)
	}
	for i := range l.packets[:n] {
		p := &l.packets[i]
		l.handle(now, p.ID, p.Payload, p.InDev == loopback || p.OutDev == loopback)
		l.release(now)
		l.latency.Observe(time.Since(now).Seconds())
	}
	if l.snapshots != nil {
		l.taking = l.snapshots.step(l.gateway, now)
	}
	if now.Sub(l.ticked) >= time.Second {
		l.ticked = now
		l.turned.Store(now.Unix())
		l.gateway.Tick(now)
		l.release(now)
		l.journal.tick()
	}
	return n, nil
}

// handle asks the gateway about one packet.
func (l *loop) handle(now time.Time, id uint32, data []byte, onLoopback bool) {
	switch v, out := l.gateway.Handle(now, id, data, onLoopback); v {
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
			l.handle(now, h.ID, h.Data, h.Loopback)
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
