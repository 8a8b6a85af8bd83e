package alg

import (
	"slices"

	"github.com/ftpalg/ftpalg/rewrite"
)

// Held is a packet that Handle kept back.
type Held struct {
	ID       uint32
	Data     []byte
	Loopback bool
	Drop     bool // its session is gone: drop it, do not handle it
}

// released holds the packets that need not wait any longer.
type released struct {
	ready   []*session        // may have packets that can go on
	dropped []rewrite.Waiting // waited in sessions that are gone
}

// wake has next look at the packets of s that wait.
func (r *released) wake(s *session) {
	if !slices.Contains(r.ready, s) {
		r.ready = append(r.ready, s)
	}
}

// leave takes the packets of a session that is forgotten.
func (r *released) leave(s *session, room *rewrite.Room) {
	r.dropped = append(r.dropped, s.conn.Leave(room)...)
	r.ready = slices.DeleteFunc(r.ready, func(x *session) bool { return x == s })
}

// next returns a packet that can be handled again now.
func (r *released) next(room *rewrite.Room) (Held, bool) {
	if n := len(r.dropped); n > 0 {
		h := r.dropped[n-1]
		r.dropped = r.dropped[:n-1]
		return Held{ID: h.ID, Drop: true}, true
	}
	for len(r.ready) > 0 {
		if w, ok := r.ready[0].conn.Next(room); ok {
			return Held{ID: w.ID, Data: w.Data, Loopback: w.Loopback}, true
		}
		r.ready = slices.Delete(r.ready, 0, 1)
	}
	return Held{}, false
}
