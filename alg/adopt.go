package alg

import (
	"errors"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// home is the entry of a session as a place to live in.
type home struct {
	id       uint32       // the kernel's of the entry; 0: there was none when it was looked for last
	helper   bool         // a data connection can be expected
	evicts   bool         // and the kernel drops the one before for it
	loopback bool         // the packets travel on lo
	tried    bool         // we replaced the entry, or could not
	replaced *replacement // the last; nil: there was none
}

// replacement of an entry by another.
type replacement struct {
	at      moment
	foreign bool   // another program did it
	drains  uint32 // of the gateway then
}

func homeOf(f *conntrack.Flow, loopback bool) home {
	return home{id: f.ID, helper: f.Helper != "", evicts: f.EvictsOldest(), loopback: loopback}
}

// carrier tells who is to carry the offsets, with this entry.
func (h *home) carrier(f *conntrack.Flow) rewrite.Carrier {
	if h.loopback || !f.HoldsOffsets() {
		return rewrite.Program
	}
	return rewrite.Kernel
}

// adopt has the entry of a session that is older than the rules replaced, for a line in direction dir that
// asks for a door. alone tells that no other command waits for its reply.
//
// It does so when everything else allows the door, and not before: most that is in the kernel's table will
// never ask for one. There is no better moment either. A packet that comes when the old entry is gone and the
// new one not yet there belongs to no connection, and its sender may be answered with a reset. But now one
// end waits for what the other says, and that is the packet in our hands, which goes on with the old entry.
func (h *home) adopt(s *session, dir rewrite.Dir, alone bool) {
	g := s.gateway
	k, able := g.kernel.(Adopter)
	switch {
	case h.helper && s.kept.labels, !able, h.tried, !s.policy().Adopt, !alone, !s.waits(dir):
		return
	}
	var u conntrack.Update
	state := conntrack.StateControl | conntrack.State(s.dialogue.Memory()) | s.kept.turn
	u.SetLabel(state, [2]conntrack.Flight{})
	f, err := k.Adopt(s.original(), u)
	switch {
	case errors.Is(err, conntrack.ErrBusy): // it may be free the next time
	case err != nil:
		g.kernelError("replace the entry of a session", err)
		// What the kernel refuses once is not tried with a connection that works.
		h.tried, h.replaced = true, &replacement{at: g.began.at(g.now)}
		if f, err = g.kernel.Flow(s.original()); err == nil {
			h.id = f.ID
		}
	default:
		h.move(s, &f)
	}
}

// move moves a session into its new entry.
func (h *home) move(s *session, f *conntrack.Flow) {
	g := s.gateway
	*h = homeOf(f, h.loopback)
	h.tried, h.replaced = true, &replacement{at: g.began.at(g.now)}
	s.kept = keptOf(f)
	s.kept.liberal = true // as every entry is that begins in the middle
	s.conn.Rehouse(h.carrier(f), !f.HasState)
	g.Stats.Adopted.Add(1)
	if g.OnAdopted != nil {
		e := s.dialogue.Endpoints()
		g.OnAdopted(e.Client, e.Server)
	}
}

// oldEntryFor is how long packets may be in the queue that came when the entry before was in force.
const oldEntryFor = time.Second

// fresh tells that there may be such. The kernel does not move their numbers as it does those of others, so
// none of them may wait until it does: it is dropped, and comes again with the new entry.
func (h *home) fresh(now moment) bool {
	return h.replaced != nil && now.since(h.replaced.at) < oldEntryFor
}
