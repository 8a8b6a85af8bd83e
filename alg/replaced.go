package alg

import (
	"slices"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// deleted are the sessions, by original tuple, whose entries another program deleted. What replicates entries
// puts another one, with what it heard of last, in the place of one that it cannot change. What a session
// remembers that is here is newer: it goes on with that, and the entry is written anew.
type deleted []conntrack.Tuple

func (d *deleted) add(s *session) {
	s.home.left(s)
	s.home.id = 0
	s.lostDoor(policy.SessionEnded) // it went with the entry
	s.suspect = true
	if !slices.Contains(*d, s.original()) {
		*d = append(*d, s.original())
	}
}

// sweep forgets the sessions in whose entry's place none was put.
func (d *deleted) sweep(g *Gateway) {
	for _, t := range *d {
		if s := g.table.find(t); s != nil && (s.suspect || s.gone) && !s.kept.verify(s) {
			g.drop(s)
		}
	}
	*d = (*d)[:0]
}

// housedFor is how long it is believed, where entries are replaced, that the one that we know is there.
// Events tell that it is not, but later than the packets that waited meanwhile.
const housedFor = time.Millisecond

// stands tells whether the entry of the session s is the one that we know, as far as the packet p and the
// kernel tell.
func (h *home) stands(s *session, p *rewrite.Packet) bool {
	g := s.gateway
	e := g.origin.Entry
	known := e == 0 || e == h.id
	if !g.copied || known && (len(p.Payload()) == 0 || g.began.at(g.now).since(s.checked) < housedFor) {
		return true
	}
	return s.kept.verify(s)
}

// awaited tells whether the entry of the session s is gone, and another is to be expected in its place. The
// packet at hand came with the old one.
func (h *home) awaited(s *session) bool {
	if !s.gone || !s.gateway.copied {
		return false
	}
	s.gateway.deleted.add(s)
	return true
}

// left takes note that another program replaced the entry of the session s, or is about to. What waits
// came with the old one.
func (h *home) left(s *session) {
	g := s.gateway
	h.replaced = &replacement{at: g.began.at(g.now), foreign: true, drains: g.drains}
	g.released.leave(s, &g.room)
}

// found takes note of which entry was found.
func (h *home) found(s *session, id uint32) {
	if id != h.id && h.id != 0 {
		h.left(s)
	}
	h.id = id
}

// follow takes over what is known of the entry that was there before.
func (h *home) follow(before *home) {
	if r := before.replaced; r != nil && r.foreign {
		h.replaced = r
	}
}

// judge tells whether the packet at hand came, or may have come, before the entry of its session s was put in
// the place of another. It leaves with what the old one adds to its numbers, not with what this does. But it
// shows that the session is here: the new entry is ours to write.
func (h *home) judge(s *session) policy.Reason {
	g := s.gateway
	r := h.replaced
	old := r != nil && r.foreign && g.drains-r.drains < 2 && h.fresh(g.began.at(g.now)) // read then, or next
	if e := g.origin.Entry; e != 0 {
		old = e != h.id
	}
	if !old || !g.copied {
		return policy.None
	}
	s.kept.update(s)
	return policy.OldEntry
}
