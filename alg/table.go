package alg

import (
	"encoding/binary"
	"iter"
	"slices"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

const (
	endedFor   = 30 * time.Second // how long an ended session is remembered for its last repetitions
	askedAfter = 60 * time.Second // how long a session is idle before the kernel is asked whether it lives
	sweepStep  = 1024             // how many sessions a tick looks at
	askStep    = 256              // and of how many it asks the kernel
)

// key is a tuple without pointers: addresses in 16 bytes, and the ports.
type key [36]byte

func keyOf(t conntrack.Tuple) (k key) {
	src, dst := t.Src.Addr().As16(), t.Dst.Addr().As16()
	copy(k[:], src[:])
	copy(k[16:], dst[:])
	binary.BigEndian.PutUint16(k[32:], t.Src.Port())
	binary.BigEndian.PutUint16(k[34:], t.Dst.Port())
	return k
}

// table holds the sessions, found by the tuple of either direction, and in two rings: those that live in the
// order in which they were last seen, and those that ended in that order. What it forgets can be picked
// up again from the kernel.
type table struct {
	byTuple map[key]*session
	live    session  // head of the ring; next is the longest idle
	over    session  // head of the ring of the ended ones
	cursor  *session // the one of the living that is looked at next
	picture picture
	n       int // those that live
	ended   int
}

func (t *table) init() {
	t.byTuple = map[key]*session{}
	t.live.prev, t.live.next = &t.live, &t.live
	t.over.prev, t.over.next = &t.over, &t.over
	t.cursor = &t.live
}

func (t *table) find(k conntrack.Tuple) *session { return t.byTuple[keyOf(k)] }

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

func (t *table) touch(s *session, now time.Time) {
	s.lastSeen = now
	if !s.ended {
		t.unlink(s)
		s.linkBefore(&t.live)
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

func (s *session) linkBefore(head *session) {
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
		s.linkBefore(&t.over)
	} else {
		t.n++
		t.ended--
		s.linkBefore(&t.live)
	}
}

func (g *Gateway) countSessions() {
	g.Stats.Sessions.Store(int64(g.table.n))
	g.Stats.Ended.Store(int64(g.table.ended))
}

// add makes the session of a flow, with what the kernel remembers of it.
func (g *Gateway) add(f conntrack.Flow, loopback bool) *session {
	t := &g.table
	for _, tuple := range f.Tuple {
		if old := t.find(tuple); old != nil {
			g.drop(old)
		}
	}
	if limit := g.policy.Limits.Total.Sessions; limit > 0 && t.n >= limit {
		g.drop(t.live.next)
		g.Stats.Forgotten.Add(1)
	}
	s := &session{gateway: g, helper: f.Helper != "", kept: keptOf(&f), checked: g.now, since: g.now}
	e := dialogue.Endpoints{
		Client: f.Tuple[0].Src, Dialled: f.Tuple[0].Dst, Server: f.Tuple[1].Src, Outside: f.Tuple[1].Dst,
		SNAT: f.SNAT, DNAT: f.DNAT,
	}
	s.policy = g.policyOf(&e)
	g.startConn(s, &f, loopback)
	s.dialogue = dialogue.New(e, s.policy, dialogue.Memory(f.State&ofDialogue), !s.begun)
	t.byTuple[keyOf(f.Tuple[0])], t.byTuple[keyOf(f.Tuple[1])] = s, s
	s.linkBefore(&t.live)
	t.n++
	g.Stats.SessionsTotal.Add(1)
	g.countSessions()
	s.client = g.clients.of(s.policy.Limits.Network(e.Client.Addr()))
	if e, ok := g.orphans.of(f.Tuple[conntrack.Original]); ok {
		// It is ours to close. How it was asked for is not known any more, only by whom.
		s.door = &door{mode: dialogue.PASV, expectation: e, opened: g.now}
		if e.Src == s.dialogue.Endpoints().Server.Addr() {
			s.door.mode = dialogue.PORT
		}
		s.door.story = g.again(s.door.mode, s.dialogue.Endpoints(), &s.door.expectation)
		s.story = s.door.story
		g.clients.opened(s.client)
	}
	return s
}

// startConn starts the streams where the handshake was seen, or else picks them up.
func (g *Gateway) startConn(s *session, f *conntrack.Flow, loopback bool) {
	carrier := rewrite.Kernel
	if loopback || !f.HoldsOffsets() {
		carrier = rewrite.Program
	}
	k := s.kept.pickUp()
	s.conn.PickUp(k, carrier, !f.HasState)
	if from, ok := g.half.take(f.Tuple[conntrack.Reply]); ok && k.Untouched {
		s.begun, s.first = true, from.server
		s.conn.Begin(from.client, from.server)
	}
}

// drop forgets a session.
func (g *Gateway) drop(s *session) {
	t := &g.table
	if d := s.door; d != nil {
		s.forgetDoor()
		g.orphans.add(d.expectation, g.now)
	}
	g.dropped = append(g.dropped, s.conn.Leave(&g.room)...)
	g.ready = slices.DeleteFunc(g.ready, func(r *session) bool { return r == s })
	if t.unlink(s); s.ended {
		t.ended--
	} else {
		t.n--
	}
	for _, tuple := range [...]conntrack.Tuple{s.original(), s.reply()} {
		if k := keyOf(tuple); t.byTuple[k] == s {
			delete(t.byTuple, k)
		}
	}
	s.stepDown()
	g.countSessions()
	g.clients.leave(s.client, g.now)
}

// end closes what the control connection opened.
func (g *Gateway) end(s *session) {
	s.dialogue.End(s)
	s.stepDown()
	g.table.setEnded(s, true)
	g.countSessions()
}

// revive takes note that a connection goes on that seemed to have been reset: both ends ignored it.
func (g *Gateway) revive(s *session, dir rewrite.Dir) {
	if s.reset&(1<<dir) == 0 {
		return
	}
	s.reset = 0
	s.dialogue.Revive()
	g.table.setEnded(s, false)
	g.countSessions()
}

// Destroyed tells that the kernel's entry with this original tuple is gone, and with it what it expected.
func (g *Gateway) Destroyed(original conntrack.Tuple) {
	if s := g.table.find(original); s != nil && s.original() == original {
		if s.door != nil {
			g.giveUp(s.door.story, policy.SessionEnded, g.now)
		}
		s.forgetDoor()
		g.drop(s)
		g.Stats.Vanished.Add(1)
	}
}

// sweep forgets sessions that ended, and asks the kernel for those that have been idle for long.
func (g *Gateway) sweep() {
	t, now := &g.table, g.now
	for s := t.over.next; s != &t.over && now.Sub(s.lastSeen) > endedFor; s = t.over.next {
		g.drop(s)
	}
	for step, asks := sweepStep, askStep; step > 0 && asks > 0; step-- {
		s := t.cursor
		if s == &t.live {
			t.cursor = t.live.next
			break
		}
		t.cursor = s.next
		if now.Sub(s.lastSeen) > time.Second {
			s.conn.Rest()
		}
		if d := s.door; d != nil && now.Sub(d.opened) > d.expectation.Timeout {
			if d.story.came.IsZero() {
				g.Stats.Closed[policy.Expired].Add(1)
			}
			g.giveUp(d.story, policy.Expired, g.now)
			s.forgetDoor() // the kernel let it go
		}
		if now.Sub(s.checked) > askedAfter && now.Sub(s.lastSeen) > askedAfter {
			if asks--; !g.verify(s) {
				g.drop(s)
			}
		}
	}
	g.clients.sweep(now)
	g.orphans.sweep(now)
}
