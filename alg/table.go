package alg

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// endedFor is how long an ended session is remembered for its last repetitions.
const endedFor = 30 * time.Second

// sweepStep is how many sessions a tick looks at besides those with held packets.
const sweepStep = 256

// table holds the sessions, found by the tuple of either direction, in the order
// in which they were last seen. What it forgets can be picked up again from the kernel.
type table struct {
	byTuple map[conntrack.Tuple]*session
	clients map[netip.Prefix]*client
	all     client  // counts what all clients have
	list    session // head of the ring; next is the longest idle
	n       int
	held    int          // held packets in all
	dropped []heldPacket // of sessions that are gone
}

// client counts what one client network has.
type client struct {
	net      netip.Prefix
	sessions int
	open     int
	spent    float64 // share of a minute's new ports, at the time spentAt
	spentAt  time.Time
}

func (t *table) init() {
	t.byTuple = map[conntrack.Tuple]*session{}
	t.clients = map[netip.Prefix]*client{}
	t.list.prev, t.list.next = &t.list, &t.list
}

func (t *table) find(k conntrack.Tuple) *session { return t.byTuple[k] }

func (t *table) touch(s *session, now time.Time) {
	s.lastSeen = now
	s.unlink()
	s.prev, s.next = t.list.prev, &t.list
	s.prev.next, s.next.prev = s, s
}

func (s *session) unlink() {
	if s.next != nil {
		s.prev.next, s.next.prev = s.next, s.prev
		s.prev, s.next = nil, nil
	}
}

// add makes the session of a flow, with what the kernel remembers of it.
func (g *Gateway) add(f conntrack.Flow, loopback bool) *session {
	t := &g.table
	if old := t.byTuple[f.Tuple[0]]; old != nil {
		g.drop(old)
	}
	if limit := g.policy.Limits.Total.Sessions; limit > 0 && t.n >= limit {
		g.drop(t.list.next)
		g.Stats.Forgotten.Add(1)
	}
	s := &session{flow: f, policy: g.policyOf(&f), state: f.State, stored: f.State, unsure: [2]bool{true, true}}
	s.set(conntrack.StateBusy|conntrack.StateNoBypass, false)
	if f.State&conntrack.StateAskedPassive != 0 {
		s.asks.push(ftp.Pasv)
	}
	if loopback || !f.HoldsOffsets() {
		s.holds = holdsProgram
	} else {
		for d := range s.half {
			s.half[d].Kernel = rewrite.Offset{Pos: f.Seq[d].Pos, Before: f.Seq[d].Before, After: f.Seq[d].After}
		}
	}
	t.byTuple[f.Tuple[0]], t.byTuple[f.Tuple[1]] = s, s
	t.n++
	g.Stats.Sessions.Store(int64(t.n))
	g.Stats.SessionsTotal.Add(1)
	s.client = t.client(s.policy.Limits.network(s.clientAddr().Addr()))
	s.client.sessions++
	s.counted = true
	if e, ok := g.orphans[f.Tuple[conntrack.Original]]; ok {
		// It is ours to close. How it was asked for is not known any more, only by whom.
		s.open, s.openMode = e, ModePASV
		if e.Src == s.serverAddr().Addr() {
			s.openMode = ModePORT
		}
		g.countOpen(s)
	}
	limit := s.policy.Limits.PerClient.Sessions
	s.overLimit = limit > 0 && s.client.sessions > limit
	return s
}

// drop forgets a session.
func (g *Gateway) drop(s *session) {
	t := &g.table
	if s.openMode != ModeNone {
		g.settleOpen(s)
		g.orphan(s.open)
	}
	for d := range s.held {
		t.held -= len(s.held[d])
		t.dropped = append(t.dropped, s.held[d]...)
	}
	g.ready = slices.DeleteFunc(g.ready, func(r *session) bool { return r == s })
	s.unlink()
	for _, k := range s.flow.Tuple {
		if t.byTuple[k] == s {
			delete(t.byTuple, k)
		}
	}
	t.n--
	g.Stats.Sessions.Store(int64(t.n))
	c := s.client
	s.uncount()
	if c.forgettable(g.now) {
		delete(t.clients, c.net)
	}
}

// uncount leaves a session out of its client's count: it ended, or is forgotten.
func (s *session) uncount() {
	if s.counted {
		s.counted = false
		s.client.sessions--
	}
}

// client returns the counts of a network.
func (t *table) client(net netip.Prefix) *client {
	c := t.clients[net]
	if c == nil {
		c = &client{net: net}
		t.clients[net] = c
	}
	return c
}

// overLimits tells which limit forbids s another port, and takes it from the allowances if none does.
func (g *Gateway) overLimits(s *session) Reason {
	of, all := s.policy.Limits.PerClient, g.policy.Limits.Total
	if s.openMode == ModeNone && (s.client.isFull(of) || g.table.all.isFull(all)) {
		return PinholeLimit // else one closes for it
	}
	if s.client.hasSpent(of, g.now) || g.table.all.hasSpent(all, g.now) {
		return RateLimit
	}
	s.client.spend(of)
	g.table.all.spend(all)
	return None
}

func (c *client) isFull(l Limit) bool { return l.Open > 0 && c.open >= l.Open }

// hasSpent tells whether the allowance, which comes back evenly, is not enough for a port.
func (c *client) hasSpent(l Limit, now time.Time) bool {
	c.spent, c.spentAt = max(0, c.spent-now.Sub(c.spentAt).Minutes()), now
	return l.NewPerMinute > 0 && c.spent+0.5/float64(l.NewPerMinute) > 1
}

func (c *client) spend(l Limit) {
	if l.NewPerMinute > 0 {
		c.spent += 1 / float64(l.NewPerMinute)
	}
}

// forgettable tells whether nothing of it needs to be remembered.
func (c *client) forgettable(now time.Time) bool {
	return c.sessions == 0 && c.open == 0 && now.Sub(c.spentAt).Minutes() >= c.spent
}

func (g *Gateway) countOpen(s *session) {
	s.openedAt = g.now
	s.client.open++
	g.table.all.open++
}

func (g *Gateway) uncountOpen(s *session) {
	s.client.open--
	g.table.all.open--
}

// forgetClients forgets those of which nothing needs to be remembered.
func (t *table) forgetClients(now time.Time) {
	for net, c := range t.clients {
		if c.forgettable(now) {
			delete(t.clients, net)
		}
	}
}

// sweep looks at the longest idle sessions and at those that hold packets.
func (t *table) sweep(g *Gateway, now time.Time) {
	t.forgetClients(now)
	if now.After(g.orphaned) {
		clear(g.orphans)
	}
	step := sweepStep
	for s := t.list.next; s != &t.list; {
		next := s.next
		switch {
		case s.over && now.Sub(s.lastSeen) > endedFor:
			g.drop(s)
		default:
			if s.openMode != ModeNone && now.Sub(s.openedAt) > s.open.Timeout {
				g.settleOpen(s) // the kernel let it go
			}
			if t.held > 0 {
				g.expireHeld(s, now)
			}
		}
		if step--; step < 0 && t.held == 0 {
			return
		}
		s = next
	}
}
