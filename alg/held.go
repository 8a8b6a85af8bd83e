package alg

import (
	"slices"
	"time"
)

// Held is a packet that Handle kept back.
type Held struct {
	ID       uint32
	Data     []byte
	Loopback bool
	Drop     bool // its session is gone: drop it, do not handle it
}

// wake has Next look at the packets of s that wait.
func (g *Gateway) wake(s *session) {
	if !slices.Contains(g.ready, s) {
		g.ready = append(g.ready, s)
	}
}

// Next returns a held packet that can be handled again now.
func (g *Gateway) Next() (Held, bool) {
	if n := len(g.dropped); n > 0 {
		h := g.dropped[n-1]
		g.dropped = g.dropped[:n-1]
		return Held{ID: h.ID, Drop: true}, true
	}
	for len(g.ready) > 0 {
		if w, ok := g.ready[0].conn.Next(&g.room); ok {
			return Held{ID: w.ID, Data: w.Data, Loopback: w.Loopback}, true
		}
		g.ready = slices.Delete(g.ready, 0, 1)
	}
	return Held{}, false
}

// Idle tells that there is nothing that time changes: no Tick is needed before the next packet.
func (g *Gateway) Idle() bool {
	return g.table.n+g.table.ended+len(g.clients.byNet) == 0 && g.orphans.none() && g.stories.none()
}

// Tick lets go of held packets whose predecessor never came, and forgets sessions that ended or
// are gone. It is to be called about every second, and Next after it.
func (g *Gateway) Tick(now time.Time) {
	g.now = now
	if g.room.Packets() > 0 {
		for s := range g.table.all() {
			if s.conn.Holds() {
				s.conn.Expire(now)
				g.wake(s)
			}
		}
	}
	g.sweep()
	g.sweepFates()
}
