package alg

import (
	"slices"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// A segment that comes before its predecessor waits for it: what precedes it may
// be edited, and then its own place changes. Loss and reordering are all that it
// takes, so the wait is short; it is bounded in time and in number.
const (
	holdTime     = 3 * time.Second
	maxHeld      = 32   // packets of one direction of one session
	maxHeldInAll = 1024 // packets; the queue must have room for others
)

// heldPacket is a packet whose verdict is still due.
type heldPacket struct {
	id    uint32
	seq   uint32
	since time.Time
	data  []byte
	loop  bool
}

// Held is a packet that Handle kept back.
type Held struct {
	ID       uint32
	Data     []byte
	Loopback bool
	Drop     bool // its session is gone: drop it, do not handle it
}

// hold keeps a packet back; it returns false if there are too many.
func (g *Gateway) hold(s *session, dir conntrack.Dir, id uint32, data []byte, loopback bool) bool {
	if len(s.held[dir]) >= maxHeld || g.table.held >= maxHeldInAll {
		return false
	}
	g.table.held++
	s.held[dir] = append(s.held[dir], heldPacket{id: id, seq: g.packet.Seq(), since: g.now, data: append([]byte(nil), data...), loop: loopback})
	return true
}

// Next returns a held packet that can be handled again now.
func (g *Gateway) Next() (Held, bool) {
	if n := len(g.table.dropped); n > 0 {
		h := g.table.dropped[n-1]
		g.table.dropped = g.table.dropped[:n-1]
		return Held{ID: h.id, Drop: true}, true
	}
	for len(g.ready) > 0 {
		if h, ok := g.nextOf(g.ready[0]); ok {
			return h, true
		}
		g.ready = g.ready[:copy(g.ready, g.ready[1:])]
	}
	return Held{}, false
}

// nextOf takes a packet out of a session's hold that needs to wait no longer.
func (g *Gateway) nextOf(s *session) (Held, bool) {
	for dir := range s.held {
		st := &s.half[dir].Stream
		for i, h := range s.held[dir] {
			if s.waited[dir] || st.Classify(h.seq, 1) != rewrite.Gap {
				s.held[dir] = append(s.held[dir][:i], s.held[dir][i+1:]...)
				g.table.held--
				return Held{ID: h.id, Data: h.data, Loopback: h.loop}, true
			}
		}
	}
	return Held{}, false
}

// wake has Next look at the held packets of s.
func (g *Gateway) wake(s *session) {
	if !slices.Contains(g.ready, s) {
		g.ready = append(g.ready, s)
	}
}

// Tick lets go of held packets whose predecessor never came, and forgets ended
// sessions. It is to be called about every second, and Next after it.
func (g *Gateway) Tick(now time.Time) {
	g.now = now
	g.table.sweep(g, now)
}

// expireHeld lets go of a packet that waited too long: in its place the receiver is asked whether it
// has what precedes it. It may have passed by unseen; else it is lost, and the sender repeats all.
func (g *Gateway) expireHeld(s *session, now time.Time) {
	for dir := range s.held {
		if len(s.held[dir]) > 0 && now.Sub(s.held[dir][0].since) >= holdTime {
			s.waited[dir] = true
			g.wake(s)
		}
	}
}
