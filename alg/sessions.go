package alg

import (
	"errors"
	"slices"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

const (
	endedFor   = 30 * time.Second    // how long an ended session is remembered for its last repetitions
	askedAfter = 60 * time.Second    // how long a session is idle before the kernel is asked whether it lives
	sweepStep  = 1024                // how many sessions a tick looks at
	askStep    = 256                 // and of how many it asks the kernel
	lookedAt   = moment(time.Second) // how old a look at an entry may be where nobody tells of changes
	lookStep   = 64                  // and at how many a tick looks for that

	// bypassedFor is how long after the rules were gone a session may still be what went by made of it: no
	// sender waits longer before it repeats something (RFC 6298 section 2.5).
	bypassedFor = 2 * time.Minute
)

// SearchZones names the conntrack zones, besides 0, in which control connections are looked for if the zone
// of packets is not known. It must be called before the first packet. Two connections with the same
// addresses cannot be told apart then, and neither is touched.
func (g *Gateway) SearchZones(all []uint16) {
	g.zones = slices.DeleteFunc(slices.Clone(all), func(z uint16) bool { return z == 0 })
	g.table.blind = len(g.zones) > 0
}

// countSessions is called after each change of how many there are.
func (g *Gateway) countSessions() {
	if more := g.table.n - int(g.Stats.Sessions.Load()); more != 0 {
		g.clients.lives(more)
	}
	g.Stats.Sessions.Store(int64(g.table.n))
	g.Stats.Ended.Store(int64(g.table.ended))
	g.Stats.Standby.Store(int64(g.standby.known.Len()))
}

// add makes the session of the flow of the packet at hand, with what the kernel remembers of it. before is
// what was known of it and is not believed any more; nil: nothing.
func (g *Gateway) add(f conntrack.Flow, before *session) *session {
	t := &g.table
	relabel(g, &f)
	for _, tuple := range f.Tuple {
		if old := t.find(tuple); old != nil {
			g.drop(old)
		}
	}
	if limit := g.policy.Limits.Total.Sessions; limit > 0 && t.n > 0 && g.clients.lives(0) >= limit {
		g.drop(t.live.next)
		g.Stats.Forgotten.Add(1)
	}
	s := &session{
		gateway: g, number: f.ID, zone: f.Zone, home: homeOf(&f, g.origin.Loopback),
		kept: keptOf(&f), checked: g.began.at(g.now), since: g.began.at(g.now),
	}
	if before != nil {
		s.home.follow(&before.home)
	}
	e := dialogue.Endpoints{
		Client: f.Tuple[0].Src, Dialled: f.Tuple[0].Dst, Server: f.Tuple[1].Src, Outside: f.Tuple[1].Dst,
		SNAT: f.SNAT, DNAT: f.DNAT,
	}
	p := g.policyOf(&e)
	g.startConn(s, &f)
	s.dialogue = dialogue.New(e, p, dialogue.Memory(s.kept.state&ofDialogue), !s.begun)
	t.add(s)
	g.standby.remove(s.original())
	g.Stats.SessionsTotal.Add(1)
	g.countSessions()
	s.client = g.clients.of(p.Limits.Network(e.Client.Addr()))
	if x, ok := g.orphans.of(f.Tuple[conntrack.Original]); ok {
		g.inherit(s, &x)
	}
	return s
}

// inherit gives a session what is open for it: it is ours to close. How it was asked for is not known any
// more, only by whom.
func (g *Gateway) inherit(s *session, x *conntrack.Expectation) {
	e, mode := s.dialogue.Endpoints(), dialogue.PASV
	if x.Src == e.Server.Addr() {
		mode = dialogue.PORT
	}
	s.last, s.opened = g.Fates.Again(fate.NewStory(mode, e.Client, e.Server, x, g.now), g.now), true
	g.clients.opened(s.client)
}

// came takes note that a data connection came: its door is open no more, for whoever reads that in the
// label.
func (g *Gateway) came(x *fate.Story) { g.cameNow = append(g.cameNow, x) }

// settle writes what the kernel's events changed, but for sessions that had a packet since: with that it was
// written, without a look at the entry. Nearly all have one: a command or a reply comes with the connection.
// Where another gateway may have the session nothing is written: what we know of it is old, and would be
// replicated over what the other has written since.
func (g *Gateway) settle() {
	for _, x := range g.cameNow {
		s := g.table.find(x.Door.Master)
		if s != nil && s.door() == x && s.kept.door != doorwayOf(s) && !s.kept.settle(s) {
			s.forgetDoor()
			g.drop(s)
		}
	}
	clear(g.cameNow)
	g.cameNow = g.cameNow[:0]
}

// anew tells whether the handshake of a tuple is under way. Where both ends have forgotten a connection and
// begin another one the kernel goes on with the entry that it has: what was kept there is of no use any more.
func (g *Gateway) anew(t conntrack.Tuple) bool {
	f, err := g.zones.lookUp(g.kernel, t)
	if s := g.table.find(t); s != nil && errors.Is(err, errTwoZones) {
		g.drop(s) // what comes next may be the other's
	}
	if err != nil || !f.Opening {
		return false
	}
	if k := keptOf(&f); !k.pickUp(f.ID).Untouched {
		u := conntrack.Update{SetSeq: [2]bool{f.HasSeq, f.HasSeq}}
		if f.HasState {
			u.SetLabel(conntrack.StateControl, [2]conntrack.Flight{})
		}
		if err := g.kernel.Update(f.Tuple[conntrack.Original], u); err != nil {
			g.kernelError("clear the state of a session", err)
		}
	}
	return true
}

// startConn starts the streams where the handshake was seen, or else picks them up.
func (g *Gateway) startConn(s *session, f *conntrack.Flow) {
	k := s.kept.pickUp(f.ID)
	if !g.Alone() {
		k.Lacks = [2]bool{} // the entry may be older than what the other gateway did last
	}
	k.Bypassed = k.Bypassed || g.began.at(g.now).since(g.damaged) < bypassedFor
	k.Recent = !g.Succeeds && g.began.at(g.now) < underWay
	s.conn.PickUp(k, s.home.carrier(f), !f.HasState)
	if from, ok := g.half.take(g.table.seen(f.Tuple[conntrack.Reply])); ok && k.Untouched {
		s.begun, s.first = true, from.server
		s.conn.Begin(from.client, from.server)
		return
	}
	s.kept.taken()
}

// drop forgets a session.
func (g *Gateway) drop(s *session) {
	if d := s.door(); d != nil {
		s.forgetDoor()
		g.orphans.add(d.Door, g.now)
	}
	g.transfers.endOf(s)
	g.released.leave(s, &g.room)
	g.table.remove(s)
	s.stepDown()
	g.countSessions()
	g.clients.leave(s.client, g.now)
}

// end closes what the control connection opened.
func (g *Gateway) end(s *session) {
	s.dialogue.End(s)
	g.transfers.endOf(s)
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

// Refused tells that the kernel did not do what Kernel.Update was asked for.
func (g *Gateway) Refused(original conntrack.Tuple, u conntrack.Update, err error) {
	s := g.table.find(original)
	if s == nil || s.original() != original || u.StateMask != 0 && !s.kept.labels {
		return // the last is the answer to what relabel asks
	}
	g.kernelError("store the state of a session", err)
	s.kept.refused(s, u.SetSeq != [2]bool{})
}

// Destroyed tells that the kernel's entry with this original tuple and number (conntrack.Flow.ID; 0: it is
// not known) is gone, and with it what it expected. The event may come when another connection is in its
// place, by the same number if it has the same place in memory (nf_ct_get_id in nf_conntrack_core.c).
func (g *Gateway) Destroyed(original conntrack.Tuple, number uint32) {
	s := g.table.find(original)
	if s != nil && number != 0 && (s.home.id != number || !s.ended && s.exists()) {
		return
	}
	g.orphans.remove(original)
	g.standby.remove(original)
	g.Stats.Standby.Store(int64(g.standby.known.Len()))
	if s != nil && s.original() == original {
		s.lostDoor(policy.SessionEnded)
		g.drop(s)
		g.Stats.Vanished.Add(1)
	}
}

// Deleted is Destroyed where another program did it, which may put another entry in its place.
func (g *Gateway) Deleted(now time.Time, original conntrack.Tuple, number uint32) {
	g.now = now
	s := g.table.find(original)
	switch {
	case g.Alone(), s == nil, s.original() != original:
		g.Destroyed(original, number)
	case number == 0, s.home.id == number:
		g.orphans.remove(original)
		g.deleted.add(s)
	}
}

// Has tells whether there is a session with this original tuple.
func (g *Gateway) Has(original conntrack.Tuple) bool {
	s := g.table.find(original)
	return s != nil && s.original() == original
}

// Changed tells that another program wrote the kernel's entry with this original tuple: another gateway may
// have the session. What we remember of it counts only where the entry is as we left it, and either edits are
// in flight that it did not touch, or the packets came here just now, or nothing was written but a label
// without anything of ours, as no gateway does; else the session is picked up anew when its packets come here
// again. A door that waits there is opened here too.
func (g *Gateway) Changed(now time.Time, original conntrack.Tuple) {
	g.now = now
	s := g.table.find(original)
	if s != nil && s.original() != original {
		s = nil
	}
	known := s != nil && s.kept.verify(s)
	if known && !s.suspect && s.kept.unsaved &&
		(!g.notAlone || g.began.at(now).since(s.lastSeen) < verifyEvery) {
		s.kept.update(s)
		return // it was nobody who has sessions
	}
	g.Accompanied()
	switch {
	case s == nil:
	case known && s.suspect:
		return // if its packets come here it is written anew
	case known && s.counts():
		s.shared = true
		return
	default:
		g.drop(s)
	}
	f, err := g.kernel.Flow(original)
	if err != nil || f.Tuple[conntrack.Original] != original {
		return // it is gone again
	}
	g.standby.add(original, g.drains)
	g.countSessions()
	g.standby.follow(g, &f)
}

// lost forgets a session of which a look at its entry told that another program had it, as if that had been
// told now.
func (g *Gateway) lost(s *session) {
	if g.drop(s); !s.gone {
		g.Changed(g.now, s.original())
	}
}

// Unheard tells that another program may have written entries of control connections until now: all sessions
// are looked at once more.
func (g *Gateway) Unheard(now time.Time) {
	g.NotAlone()
	g.unheard = g.began.at(now)
}

// Drained tells that all packets have been handled that had come when packets were read last.
func (g *Gateway) Drained() { g.drains++ }

// Damaged tells that there were no rules for a while, so that packets went by untouched, and are again.
func (g *Gateway) Damaged(now time.Time) {
	g.now = now
	g.damaged = g.began.at(now)
	for s := range g.table.all() {
		s.doubt()
	}
}

// Adopt tells the gateway of expectations that an earlier process made.
func (g *Gateway) Adopt(es []conntrack.Expectation) {
	g.now = time.Now()
	for _, e := range es {
		g.orphans.add(e, g.now)
	}
}

// sweep forgets sessions that ended, and asks the kernel for those that have been idle for long.
func (g *Gateway) sweep() {
	t, at := &g.table, g.began.at(g.now)
	for s := t.over.next; s != &t.over && at.since(s.lastSeen) > endedFor; s = t.over.next {
		g.drop(s)
	}
	asks := askStep
	looks, since := g.looks(at)
	if t.cursor == &t.live {
		t.cursor = t.live.next
	}
	for step := sweepStep; step > 0 && asks > 0 && t.cursor != &t.live; step-- {
		s := t.cursor
		t.cursor = s.next
		if at.since(s.lastSeen) > time.Second {
			s.conn.Rest()
		}
		switch {
		case !s.expireDoor():
			g.drop(s)
		case at.since(s.checked) > askedAfter && at.since(s.lastSeen) > askedAfter:
			if asks--; !s.kept.verify(s) {
				g.drop(s)
			}
		case looks > 0 && s.checked <= since:
			looks--
			s.kept.look(s)
		}
	}
	g.clients.sweep(g.now)
	g.orphans.sweep(g.now)
	g.led.sweep(at)
}
