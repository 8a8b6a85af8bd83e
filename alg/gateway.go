package alg

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// What all sessions may use together for packets that wait and for what may have to be repeated.
const (
	maxWaiting = 1024     // packets; the queue must have room for others
	maxBytes   = 64 << 20 // bytes
)

// Gateway follows control connections. It must be used from one goroutine, but for Stats.
type Gateway struct {
	Stats         Stats
	OnOpened      func(DataChannel)
	OnRefused     func(Refusal)
	OnTransfer    func(*Transfer) // may keep it; nil: nobody wants to know
	OnAdopted     func(client, server netip.AddrPort)
	OnKernelError func(doing string, err error)

	Company       // other programs that write what this one writes
	Succeeds bool // another program had the packets until this one had them: none went by unseen

	Fates fate.Book // what comes of the doors; the kernel's events go there
	Names Names     // what is kept of names

	kernel    Kernel
	policy    policy.Policy
	between   []policy.Network
	table     table
	clients   *clients
	orphans   orphans
	standby   standby
	half      halfOpen
	room      rewrite.Room
	released  released
	transfers transferBook
	zones     zones
	led       ledElsewhere
	began     beginning
	damaged   moment // when packets went by last because there were no rules
	drains    uint32 // how often all packets that there were had been handled
	deleted   deleted
	cameNow   []*fate.Story // their data connections came: see settle

	// Used anew for each packet.
	now    time.Time
	origin Origin
	packet rewrite.Packet
	draft  dialogue.Draft
	shut   bool // nothing was opened for the line at hand, though it is edited
	out    []byte
}

// New returns a gateway with the policy p, but for the control connections that lie between
// one of the networks; of those the first that fits counts.
func New(k Kernel, p policy.Policy, between ...policy.Network) *Gateway {
	g := &Gateway{kernel: k, clients: &clients{}, began: beginning{time.Now()}, damaged: never}
	g.unheard, g.led.all = never, never
	g.room = rewrite.Room{MaxPackets: maxWaiting, MaxBytes: maxBytes}
	g.table.init()
	g.half.init()
	g.Fates.Stats = &g.Stats.Stats
	g.Fates.Update, g.Fates.OnCame, g.Fates.OnKernelError = k.Update, g.came, g.kernelError
	g.SetPolicy(p, between...)
	return g
}

// Share has the limits over all clients, and over each of them, count for g and other together. It must be
// called before either has a packet; from then on each may be used from a goroutine of its own.
// Of what may wait and be remembered g gets the part of one of n.
func (g *Gateway) Share(other *Gateway, n int) {
	g.clients = other.clients
	g.room.MaxPackets, g.room.MaxBytes = maxWaiting/n, maxBytes/n
}

// Unseen tells whether packets pass by, or did, next to those that are handled from now on, because there are
// too many: what is missing in a stream is then not waited for. Next is to be called after it.
func (g *Gateway) Unseen(pass bool) {
	if g.room.Unseen = pass; pass {
		g.released.all()
	}
}

// SetPolicy changes the policies, as in New, for everything from the next packet on.
func (g *Gateway) SetPolicy(p policy.Policy, between ...policy.Network) {
	p.Strict = p.Strict.Whole()
	g.policy, g.between = p, slices.Clone(between)
	for i := range g.between {
		g.between[i].Policy.Strict = g.between[i].Policy.Strict.Whole()
	}
	for s := range g.table.all() {
		e := s.dialogue.Endpoints()
		s.setPolicy(g.policyOf(&e))
	}
}

// policyOf returns the policy of a control connection.
func (g *Gateway) policyOf(e *dialogue.Endpoints) *policy.Policy {
	for i := range g.between {
		if n := &g.between[i]; n.Fits(e.Client.Addr(), e.Dialled.Addr(), e.Server.Addr()) {
			return &n.Policy
		}
	}
	return &g.policy
}

func (g *Gateway) kernelError(doing string, err error) {
	g.Stats.KernelErrors.Add(1)
	if g.OnKernelError != nil {
		g.OnKernelError(doing, err)
	}
}

// Handle takes one IP packet, id being what a verdict on it needs later if it is
// held, and returns what is to happen to it. The returned bytes, in place of the packet if the
// verdict is Rewrite, are valid until the next call. loopback is as in Origin.
func (g *Gateway) Handle(now time.Time, id uint32, data []byte, loopback bool) (Verdict, []byte) {
	return g.HandleFrom(Origin{Loopback: loopback}, now, id, data)
}

// HandleFrom is Handle of a packet of which the kernel tells more.
func (g *Gateway) HandleFrom(from Origin, now time.Time, id uint32, data []byte) (Verdict, []byte) {
	if g.origin = from; g.table.blind {
		g.origin.Zone = 0
	}
	v, why, out := g.handle(now, id, data)
	g.Stats.Packets[v].Add(1)
	if why != policy.None {
		g.Stats.Untouched[why].Add(1)
	}
	return v, out
}

// handle is the way of a packet.
func (g *Gateway) handle(now time.Time, id uint32, data []byte) (Verdict, policy.Reason, []byte) {
	p := &g.packet
	if !p.Parse(data) {
		return Accept, policy.NotTCP, nil
	}
	g.now = now
	g.draft.Begin(now)
	if p.Flags()&rewrite.SYN != 0 {
		g.handshake(p)
		return Accept, policy.None, nil
	}
	s, dir, why := g.session(p)
	switch {
	case why == policy.OldEntry:
		return Drop, why, nil
	case s == nil:
		return Accept, why, nil
	case p.Signed():
		return Accept, policy.Signed, nil
	case p.Flags()&rewrite.RST != 0 && s.conn.Ends(dir, p):
		s.reset = 1 << dir
		g.end(s)
	}
	if s.kept.state&conntrack.StateOpaque != 0 {
		// It left the queue: only its end is seen, and the kernel holds its offsets.
		if dir == fromServer && p.Flags()&rewrite.FIN != 0 {
			g.end(s)
		}
		return Accept, policy.OpaqueFlow, nil
	}
	if out, echo, changed := s.conn.Echo(g.out[:0], dir, p); changed {
		g.out = out
		return Rewrite, policy.SeenTwice, out
	} else if echo {
		return Accept, policy.SeenTwice, nil
	}
	return g.pass(s, dir, id)
}

// pass takes a packet through the connection and the dialogue of its session.
func (g *Gateway) pass(s *session, dir rewrite.Dir, id uint32) (Verdict, policy.Reason, []byte) {
	p := &g.packet
	s.confirm(dir, p)
	a := s.conn.Receive(dir, p, &g.room)
	switch a.Fate {
	case rewrite.Wait:
		s.kept.update(s)
		w := rewrite.Waiting{ID: id, Entry: g.origin.Entry, Loopback: g.origin.Loopback, Dir: dir}
		if !s.home.fresh(g.began.at(g.now)) && s.conn.Hold(g.now, p, w, &g.room) {
			g.released.hold(s)
			return Hold, policy.OutOfOrder, nil
		}
		return Drop, policy.OutOfOrder, nil // lost, to the sender: it sends it again
	case rewrite.Ask, rewrite.Full:
		s.kept.update(s) // the answer must be queued
		g.out = s.conn.Probe(g.out[:0], dir, p)
		return Rewrite, whyAsked(&a), g.out
	}
	s.read(dir, &a)
	s.kept.update(s)
	out, changed := s.conn.Emit(g.out[:0], dir, p)
	s.conn.Account(&g.room)
	if s.conn.Holds() {
		g.released.wake(s)
	}
	switch {
	case g.draft.Reset:
		return Rewrite, policy.None, g.asReset(p, out, changed)
	case !changed:
		return Accept, policy.None, nil
	}
	g.out = out
	return Rewrite, policy.None, out
}

// asReset makes a reset of the packet p, or of what was to leave in its place, so that its
// receiver closes and the violation never arrives. There is one verdict for one packet, so
// the sender is not told: it repeats the packet, which goes on with the line refused
// as ever, and the receiver, which knows the connection no more, answers with a reset of its own.
// The same happens if the reset is lost or the receiver is behind: then it sees the refused line.
func (g *Gateway) asReset(p *rewrite.Packet, out []byte, changed bool) []byte {
	q := *p
	if changed {
		q.Parse(out)
	}
	out, rst := q.AppendChanged(out[:0], q.Seq(), q.Ack(), rewrite.RST|rewrite.ACK, nil)
	rst.Finish()
	g.out = out
	return out
}

// Next returns a held packet that can be handled again now.
func (g *Gateway) Next() (Held, bool) { return g.released.next(&g.room) }

// Idle tells that there is nothing that time changes: no Tick is needed before the next packet.
func (g *Gateway) Idle() bool {
	return g.table.n+g.table.ended+g.transfers.n == 0 && g.clients.none() && g.orphans.none() &&
		g.Fates.None()
}

// Tick lets go of held packets whose predecessor never came, and forgets sessions that ended or
// are gone. It is to be called about every second, and Next after it.
func (g *Gateway) Tick(now time.Time) {
	g.now = now
	g.settle()
	g.released.expire(now)
	g.deleted.sweep(g)
	g.sweep()
	g.Fates.Sweep(now)
	g.transfers.tell(g, now)
}

// EndTransfers tells of all transfers what is known now: nobody will see how they end.
func (g *Gateway) EndTransfers(now time.Time) {
	g.Fates.End(now)
	g.transfers.tellAll(g, now)
}

// Snapshot appends to rows at most so many sessions, in the order in which they were last seen, and
// tells whether that were all. The next call goes on with others, or begins anew after done. Sessions
// may come and go between calls; each is there once.
func (g *Gateway) Snapshot(now time.Time, rows []Session, most int) (all []Session, done bool) {
	return g.table.snapshot(rows, most, func(s *session) Session { return rowOf(s, now) })
}

// handshake notes a SYN/ACK: both streams start at it. A SYN alone anybody can send. Neither
// takes more than a few bytes here.
//
// One that tells other numbers than the last counts while the handshake is under way: a connection begins
// anew by the same ports, or a server answers a repeated SYN with another cookie. Later it is nobody's, for
// its receiver answers it with a challenge and goes on as before (RFC 5961 section 4).
func (g *Gateway) handshake(p *rewrite.Packet) {
	if p.Flags()&rewrite.ACK == 0 {
		return
	}
	t, now := tupleOf(p, g.origin.Zone), start{client: p.Ack(), server: p.Seq() + 1}
	s := g.table.find(t)
	was, noted := g.half.noted(t)
	switch {
	case s != nil && s.begun && now.server == s.first:
		return // once more
	case (s != nil || noted && was != now) && !g.anew(t):
		return
	case s != nil:
		g.end(s)
		g.drop(s)
	}
	g.Stats.HalfOpen.Add(1)
	if noted && was != now {
		g.half.take(t) // which of the two its client took nobody knows: it is picked up at its first data
		return
	}
	g.half.note(t, now)
}

// session finds or makes the session of a packet and tells its direction, or why it must be dropped.
func (g *Gateway) session(p *rewrite.Packet) (*session, rewrite.Dir, policy.Reason) {
	s, dir := g.table.of(p, g.origin.Zone)
	if s != nil {
		unheard := s.checked <= g.unheard
		if s.kept.trusts(s, dir, p) && s.home.stands(s, p) {
			g.table.touch(s, g.began.at(g.now))
			return s, dir, s.home.judge(s)
		}
		if s.home.awaited(s) {
			return s, dir, policy.OldEntry
		}
		if unheard {
			g.lost(s)
		} else {
			g.drop(s)
		}
	}
	if p.Flags()&rewrite.RST != 0 && g.orphans.none() {
		return nil, 0, policy.None // nothing to close
	}
	t := tupleOf(p, g.origin.Zone)
	f, err := g.zones.lookUp(g.kernel, t)
	switch {
	case errors.Is(err, conntrack.ErrNotFound):
		return nil, 0, policy.UnknownFlow
	case errors.Is(err, errTwoZones):
		return nil, 0, policy.TwoZones
	case err != nil:
		g.kernelError("look up a control connection", err)
		return nil, 0, policy.KernelError
	case g.standby.written(f.Tuple[conntrack.Original], g.drains):
		return nil, 0, policy.OldEntry
	}
	s = g.add(f, s)
	g.table.touch(s, g.began.at(g.now))
	return s, s.direction(t), s.home.judge(s)
}
