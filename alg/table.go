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
	clients map[netip.Addr]*client
	list    session // head of the ring; next is the longest idle
	n       int
	held    int          // held packets in all
	dropped []heldPacket // of sessions that are gone
}

// client counts what one client network has.
type client struct {
	net      netip.Addr // an IPv4 address, or the first of an IPv6 /64
	sessions int
	open     int
	tokens   float64 // ports that it may open now
	filled   time.Time
}

func (t *table) init() {
	t.byTuple = map[conntrack.Tuple]*session{}
	t.clients = map[netip.Addr]*client{}
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
	if limit := g.policy.Limits.Sessions; limit > 0 && t.n >= limit {
		g.drop(t.list.next)
	}
	s := &session{flow: f, state: f.State, stored: f.State}
	s.set(conntrack.StateBusy|conntrack.StateNoBypass, false)
	if f.State&conntrack.StateAskedPassive != 0 {
		s.asks.push(ftp.Pasv)
	}
	if loopback || !f.HoldsOffsets() {
		s.holds = holdsProgram
	} else {
		for d := range s.half {
			s.half[d].Kernel = rewrite.Offset{Pos: f.Seq[d].Pos, Before: f.Seq[d].Before, After: f.Seq[d].After}
			s.await(conntrack.Dir(d))
		}
	}
	t.byTuple[f.Tuple[0]], t.byTuple[f.Tuple[1]] = s, s
	t.n++
	g.Stats.Sessions.Store(int64(t.n))
	g.Stats.SessionsTotal.Add(1)
	s.client = t.client(s.clientAddr().Addr(), g.policy.Limits.NewPerMinute, g.now)
	s.client.sessions++
	s.counted = true
	if e, ok := g.orphans[f.Tuple[conntrack.Original]]; ok {
		// It is ours to close. How it was asked for is not known any more, only by whom.
		s.open, s.openMode, s.openedAt = e, ModePASV, g.now
		if e.Src == s.serverAddr().Addr() {
			s.openMode = ModePORT
		}
		s.client.open++
	}
	limit := g.policy.Limits.SessionsPerClient
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
	if c.sessions == 0 && c.tokens >= float64(g.policy.Limits.NewPerMinute) {
		delete(t.clients, c.net) // nothing of it needs to be remembered
	}
}

// uncount leaves a session out of its client's count: it ended, or is forgotten.
func (s *session) uncount() {
	if s.counted {
		s.counted = false
		s.client.sessions--
	}
}

// client returns the counts of the network of a: one IPv4 address, or an IPv6 /64.
func (t *table) client(a netip.Addr, tokens int, now time.Time) *client {
	if p, err := a.Prefix(64); a.Is6() && err == nil {
		a = p.Addr()
	}
	c := t.clients[a]
	if c == nil {
		c = &client{net: a, tokens: float64(tokens), filled: now}
		t.clients[a] = c
	}
	return c
}

// overLimits tells which limit forbids s another port, and takes it from the client's allowance if none does.
func (g *Gateway) overLimits(s *session) Reason {
	l, c := g.policy.Limits, s.client
	if l.OpenPerClient > 0 && s.openMode == ModeNone && c.open >= l.OpenPerClient {
		return PinholeLimit
	}
	if l.NewPerMinute > 0 {
		rate := float64(l.NewPerMinute)
		c.tokens = min(rate, c.tokens+g.now.Sub(c.filled).Minutes()*rate)
		c.filled = g.now
		if c.tokens < 1 {
			return RateLimit
		}
		c.tokens--
	}
	return None
}

func (g *Gateway) countOpen(s *session) {
	s.openedAt = g.now
	s.client.open++
}

func (g *Gateway) uncountOpen(s *session) { s.client.open-- }

// forgetClients forgets those that have had no session for so long that their
// allowance is whole again.
func (t *table) forgetClients(now time.Time) {
	for a, c := range t.clients {
		if c.sessions == 0 && now.Sub(c.filled) > time.Minute {
			delete(t.clients, a)
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
			if s.openMode != ModeNone && now.Sub(s.openedAt) > g.policy.Timeout {
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
