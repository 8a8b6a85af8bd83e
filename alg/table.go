package alg

import (
	"hash/maphash"
	"iter"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/internal/elastic"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// table holds the sessions, found by the tuple of either direction, and in two rings: those that live in the
// order in which they were last seen, and those that ended in that order. What it forgets can be picked
// up again from the kernel.
type table struct {
	byTuple map[uint64]*session // by the hashes of both tuples: the keys themselves would take twice the room
	most    int                 // that byTuple had, since it was made
	seed    maphash.Seed
	live    session  // head of the ring; next is the longest idle
	over    session  // head of the ring of the ended ones
	cursor  *session // the one of the living that is looked at next
	picture picture
	n       int // those that live
	ended   int

	blind bool // in which zone a packet is, is not known: zones tell no sessions apart
}

func (t *table) init() {
	t.byTuple, t.seed = map[uint64]*session{}, maphash.MakeSeed()
	t.live.prev, t.live.next = &t.live, &t.live
	t.over.prev, t.over.next = &t.over, &t.over
	t.cursor = &t.live
}

// seen returns a tuple of the kernel's as it is known of a packet.
func (t *table) seen(k conntrack.Tuple) conntrack.Tuple {
	if t.blind {
		k.Zone = 0
	}
	return k
}

// find returns the session with this tuple in one of its directions; nil: there is none.
func (t *table) find(k conntrack.Tuple) *session {
	s, _ := t.at(t.seen(k).Key())
	return s
}

// of returns the session of a packet in a zone, and its direction.
func (t *table) of(p *rewrite.Packet, zone uint16) (*session, rewrite.Dir) { return t.at(p.Key(zone)) }

// at returns the session with a key, and of which direction it is. Where two keys have one hash the later
// session has it: the other is picked up again when it speaks.
func (t *table) at(k conntrack.Key) (*session, rewrite.Dir) {
	s := t.byTuple[t.hash(&k)]
	if s == nil {
		return nil, 0
	}
	from, ok := s.dialogue.From(dialogue.Tuple(k[:len(dialogue.Tuple{})]))
	if dir := rewrite.Dir(from); ok && k.Zone() == t.zone(s, dir) {
		return s, dir
	}
	return nil, 0
}

func (t *table) hash(k *conntrack.Key) uint64 { return maphash.Bytes(t.seed, k[:]) }

// zone is the one in which the packets of a session travel in a direction, as it is known of them.
func (t *table) zone(s *session, dir rewrite.Dir) uint16 {
	if t.blind {
		return 0
	}
	return s.zone.In(conntrack.Dir(dir))
}

// all returns every session.
func (t *table) all() iter.Seq[*session] {
	return func(yield func(*session) bool) {
		for _, head := range [...]*session{&t.live, &t.over} {
			for s := head.next; s != head; s = s.next {
				if !yield(s) {
					return
				}
			}
		}
	}
}

func (t *table) touch(s *session, now moment) {
	s.lastSeen = now
	if !s.ended && s.next != &t.live {
		t.unlink(s)
		t.link(s, &t.live)
	}
}

func (t *table) unlink(s *session) {
	if t.cursor == s {
		t.cursor = s.next
	}
	if t.picture.next == s {
		t.picture.next = s.next
	}
	s.prev.next, s.next.prev = s.next, s.prev
}

// link puts s at the end of a ring.
func (t *table) link(s, head *session) {
	s.prev, s.next = head.prev, head
	s.prev.next, s.next.prev = s, s
}

// setEnded moves a session from one ring to the other.
func (t *table) setEnded(s *session, ended bool) {
	if s.ended == ended {
		return
	}
	s.ended = ended
	t.unlink(s)
	if ended {
		t.n--
		t.ended++
		t.link(s, &t.over)
	} else {
		t.n++
		t.ended--
		t.link(s, &t.live)
	}
}

// add puts a session into the table.
func (t *table) add(s *session) {
	for _, tuple := range [...]conntrack.Tuple{s.original(), s.reply()} {
		k := t.seen(tuple).Key()
		t.byTuple[t.hash(&k)] = s
	}
	t.most = max(t.most, len(t.byTuple))
	t.link(s, &t.live)
	t.n++
}

// remove takes a session out of the table.
func (t *table) remove(s *session) {
	if t.unlink(s); s.ended {
		t.ended--
	} else {
		t.n--
	}
	for _, tuple := range [...]conntrack.Tuple{s.original(), s.reply()} {
		k := t.seen(tuple).Key()
		if h := t.hash(&k); t.byTuple[h] == s {
			delete(t.byTuple, h)
		}
	}
	t.byTuple = elastic.Fit(t.byTuple, &t.most)
}

// snapshot is Gateway.Snapshot, with what makes a row of a session.
func (t *table) snapshot(rows []Session, most int, row func(*session) Session) (all []Session, done bool) {
	p := &t.picture
	if p.next == nil {
		p.serial++
		p.next = t.live.next
	}
	for ; most > 0 && p.next != &t.live; most-- {
		s := p.next
		p.next = s.next
		if s.shown != p.serial {
			s.shown = p.serial
			rows = append(rows, row(s))
		}
	}
	if done = p.next == &t.live; done {
		p.next = nil
	}
	return rows, done
}
