package alg

import (
	"slices"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Origin is what the kernel tells of a packet besides its bytes.
type Origin struct {
	Zone     uint16 // conntrack zone of its direction, see conntrack.Zone.In
	Entry    uint32 // the kernel's number of its entry (conntrack.Flow.ID) as it came; 0: not known
	Loopback bool   // it travels on lo, where the kernel holds no offsets
}

// Held is a packet that Handle kept back.
type Held struct {
	Origin
	ID   uint32
	Data []byte
	Drop bool // its session is gone: drop it, do not handle it
}

// released holds the packets that need not wait any longer.
type released struct {
	holding []*session        // have packets that wait
	ready   []*session        // may have packets that can go on
	dropped []rewrite.Waiting // waited in sessions that are gone
}

// hold takes note that packets of s wait.
func (r *released) hold(s *session) {
	if !slices.Contains(r.holding, s) {
		r.holding = append(r.holding, s)
	}
}

// expire lets go of the packets that have waited too long.
func (r *released) expire(now time.Time) {
	r.holding = slices.DeleteFunc(r.holding, func(s *session) bool { return !s.conn.Holds() })
	for _, s := range r.holding {
		s.conn.Expire(now)
		r.wake(s)
	}
}

// all lets go of all packets.
func (r *released) all() {
	for _, s := range r.holding {
		r.wake(s)
	}
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
	is := func(x *session) bool { return x == s }
	r.holding, r.ready = slices.DeleteFunc(r.holding, is), slices.DeleteFunc(r.ready, is)
}

// next returns a packet that can be handled again now.
func (r *released) next(room *rewrite.Room) (Held, bool) {
	if n := len(r.dropped); n > 0 {
		h := r.dropped[n-1]
		r.dropped = r.dropped[:n-1]
		return Held{ID: h.ID, Drop: true}, true
	}
	for len(r.ready) > 0 {
		s := r.ready[0]
		if w, ok := s.conn.Next(room); ok {
			o := Origin{Zone: s.zone.In(conntrack.Dir(w.Dir)), Entry: w.Entry, Loopback: w.Loopback}
			return Held{Origin: o, ID: w.ID, Data: w.Data}, true
		}
		r.ready = slices.Delete(r.ready, 0, 1)
	}
	return Held{}, false
}
