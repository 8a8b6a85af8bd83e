package alg

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Kernel is what the gateway asks of connection tracking; conntrack.Conn is it.
type Kernel interface {
	// Flow returns the entry that the tuple of either direction belongs to;
	// conntrack.ErrNotFound if there is none.
	Flow(t conntrack.Tuple) (conntrack.Flow, error)
	// Update changes the entry with this original tuple.
	Update(original conntrack.Tuple, u conntrack.Update) error
	// Expect lets a data connection in; see conntrack for its errors.
	Expect(e conntrack.Expectation) error
	// Withdraw takes an expectation back. It is no error if it was used meanwhile.
	Withdraw(e conntrack.Expectation) error
}

// Stats count what the gateway did. They may be read from any goroutine.
type Stats struct {
	Packets       [len(Verdicts)]atomic.Uint64
	Untouched     [numReasons]atomic.Uint64 // packets that were not looked into, by reason
	Sessions      atomic.Int64
	SessionsTotal atomic.Uint64
	Forgotten     atomic.Uint64 // sessions, before their end, to make room
	Opaque        atomic.Uint64 // sessions that became opaque
	Commands      [ftp.NumVerbs]atomic.Uint64
	Replies       [7]atomic.Uint64 // by first digit
	Rewrites      [len(Modes)]atomic.Uint64
	Opened        [len(Modes)]atomic.Uint64
	Closed        [numReasons]atomic.Uint64
	Refused       [numReasons]atomic.Uint64
	Masked        [len(MaskedReplies)]atomic.Uint64 // lines of replies made unreadable
	Unparsed      atomic.Uint64
	KernelErrors  atomic.Uint64
}

// Gateway follows control connections. It must be used from one goroutine,
// but for Stats.
type Gateway struct {
	Stats         Stats
	OnOpened      func(DataChannel)
	OnRefused     func(Refusal)
	OnKernelError func(doing string, err error)

	kernel   Kernel
	policy   Policy
	between  []NetworkPolicy
	table    table
	orphans  map[conntrack.Tuple]conntrack.Expectation // by original tuple of the control connection
	orphaned time.Time                                 // when the last of them came
	ready    []*session                                // may have held packets that can go on

	// Used anew for each packet.
	now     time.Time
	packet  rewrite.Packet
	edits   []rewrite.Edit
	arena   []byte // the texts of edits
	scratch [128]byte
	out     []byte
	reset   bool // the packet breaks a strict rule and becomes a reset
	fixed   bool // the line under way was passed on as it was: the port in it will have to do
}

// New returns a gateway with the policy p, but for the control connections that lie between
// one of the networks; of those the first that fits counts.
func New(k Kernel, p Policy, between ...NetworkPolicy) *Gateway {
	g := &Gateway{kernel: k, orphans: map[conntrack.Tuple]conntrack.Expectation{}}
	g.table.init()
	g.SetPolicy(p, between...)
	return g
}

// SetPolicy changes the policies, as in New, for everything from the next packet on.
func (g *Gateway) SetPolicy(p Policy, between ...NetworkPolicy) {
	p.Strict = p.Strict.whole()
	g.policy, g.between = p, slices.Clone(between)
	for i := range g.between {
		g.between[i].Policy.Strict = g.between[i].Policy.Strict.whole()
	}
	for s := g.table.list.next; s != &g.table.list; s = s.next {
		s.policy = g.policyOf(&s.flow)
	}
}

// policyOf returns the policy of a control connection.
func (g *Gateway) policyOf(f *conntrack.Flow) *Policy {
	for i := range g.between {
		if g.between[i].fits(f) {
			return &g.between[i].Policy
		}
	}
	return &g.policy
}

// Adopt tells the gateway of expectations that an earlier process made, so that a
// line that comes again is rewritten to the same port.
func (g *Gateway) Adopt(es []conntrack.Expectation) {
	g.now = time.Now()
	for _, e := range es {
		g.orphan(e)
	}
}

// orphan keeps an expectation whose session is not known, or not any more.
func (g *Gateway) orphan(e conntrack.Expectation) {
	g.orphans[e.Master] = e
	if end := g.now.Add(e.Timeout); end.After(g.orphaned) {
		g.orphaned = end
	}
}

// keep stores the text of an edit until the packet is done.
func (g *Gateway) keep(b []byte) []byte {
	at := len(g.arena)
	g.arena = append(g.arena, b...)
	return g.arena[at:len(g.arena):len(g.arena)]
}

func (g *Gateway) kernelError(doing string, err error) {
	g.Stats.KernelErrors.Add(1)
	if g.OnKernelError != nil {
		g.OnKernelError(doing, err)
	}
}

// Handle takes one IP packet, id being what a verdict on it needs later if it is
// held, and returns what is to happen to it. The returned bytes, in place of the packet if the
// verdict is Rewrite, are valid until the next call. loopback tells that the packet
// travels on lo, where the kernel holds no offsets.
func (g *Gateway) Handle(now time.Time, id uint32, data []byte, loopback bool) (Verdict, []byte) {
	v, why, out := g.handle(now, id, data, loopback)
	g.Stats.Packets[v].Add(1)
	if why != None {
		g.Stats.Untouched[why].Add(1)
	}
	return v, out
}

func (g *Gateway) handle(now time.Time, id uint32, data []byte, loopback bool) (Verdict, Reason, []byte) {
	g.now, g.edits, g.arena, g.reset = now, g.edits[:0], g.arena[:0], false
	p := &g.packet
	if !p.Parse(data) {
		return Accept, NotTCP, nil
	}
	s, dir, why := g.session(p, loopback)
	if s == nil {
		return Accept, why, nil
	}
	if p.Signed() {
		return Accept, Signed, nil
	}
	send, recv := &s.half[dir], &s.half[dir.Opposite()]

	if p.Flags()&rewrite.SYN != 0 {
		g.begin(s, p)
		return Accept, None, nil
	}
	if p.Flags()&rewrite.RST != 0 {
		g.end(s)
	}
	if s.stored&conntrack.StateOpaque != 0 {
		// It left the queue: only its end is seen, and the kernel holds its offsets.
		g.noteFIN(s, dir, p.Flags())
		return Accept, OpaqueFlow, nil
	}
	if p.Flags()&rewrite.ACK != 0 {
		g.acked(s, dir.Opposite(), p)
	}
	if s.unsure[dir] && len(p.Payload()) > 0 {
		if s.holds != holdsProgram && s.flow.HasState && g.ask(s, dir) {
			return Rewrite, OutOfOrder, g.out
		}
		s.guess(dir, p.Seq())
	}

	n := len(p.Payload())
	if p.Flags()&rewrite.FIN != 0 && n == 0 {
		n = 1
	}
	class, waited := g.classify(s, dir, p.Seq(), n)
	switch {
	case s.unsure[dir]:
		g.noteFIN(s, dir, p.Flags())
	case class == rewrite.Gap:
		switch {
		case n == 0:
		case waited && g.ask(s, dir):
			return Rewrite, HoldExpired, g.out
		case g.hold(s, dir, id, data, loopback):
			return Hold, OutOfOrder, nil
		default:
			return Drop, OutOfOrder, nil // lost, to the sender: it sends it again
		}
	case class == rewrite.InOrder:
		s.probes[dir] = 0
		if len(p.Payload()) > 0 {
			g.read(s, dir, send.Stream.Fresh(p.Seq(), p.Payload()))
			if len(s.held[dir]) > 0 {
				g.wake(s)
			}
		}
		g.noteFIN(s, dir, p.Flags())
	}
	g.persist(s)

	out, changed := rewrite.Translate(g.out[:0], p, send, recv)
	if g.reset {
		return Rewrite, None, g.asReset(p, out, changed)
	}
	if !changed {
		return Accept, None, nil
	}
	g.out = out
	return Rewrite, None, out
}

// classify tells where n bytes at seq lie, and whether they waited too long for what precedes
// them. Where that will never come it goes on behind it.
func (g *Gateway) classify(s *session, dir conntrack.Dir, seq uint32, n int) (class rewrite.Class, waited bool) {
	class, waited = s.half[dir].Stream.Classify(seq, n), s.waited[dir]
	s.waited[dir] = false
	switch {
	case class != rewrite.Gap || n == 0 || s.unsure[dir]:
		return class, waited
	case s.hasClaim(dir, seq), waited && s.probes[dir] >= maxProbes:
		g.missed(s, dir, seq)
	case s.toldByKernel(dir, seq):
		s.guess(dir, seq)
	default:
		return rewrite.Gap, waited
	}
	return rewrite.InOrder, waited
}

// session finds or makes the session of a packet and tells its direction.
func (g *Gateway) session(p *rewrite.Packet, loopback bool) (*session, conntrack.Dir, Reason) {
	t := conntrack.Tuple{Src: p.Src(), Dst: p.Dst()}
	s := g.table.find(t)
	if p.Flags()&rewrite.SYN != 0 {
		if p.Flags()&rewrite.ACK == 0 {
			return nil, 0, None // anybody can send one
		}
		if s != nil && g.anew(s, p, t) {
			g.drop(s)
			s = nil
		}
	}
	if s == nil {
		if p.Flags()&rewrite.RST != 0 && len(g.orphans) == 0 {
			return nil, 0, None // nothing to close
		}
		f, err := g.kernel.Flow(t)
		if err != nil {
			if !errors.Is(err, conntrack.ErrNotFound) {
				g.kernelError("look up a control connection", err)
				return nil, 0, KernelError
			}
			return nil, 0, UnknownFlow
		}
		s = g.add(f, loopback)
	}
	g.table.touch(s, g.now)
	return s, s.flow.Direction(t), None
}

// anew tells whether a SYN/ACK belongs to a new connection that has the ports of s again. Then
// the kernel has a new entry for it, in which nothing has been noted yet. A server
// that sends one in the middle must not make us forget where we are.
func (g *Gateway) anew(s *session, p *rewrite.Packet, t conntrack.Tuple) bool {
	if s.begun && p.Seq() == s.isn {
		return false // the handshake's, once more
	}
	f, err := g.kernel.Flow(t)
	return err == nil && f.State&^conntrack.StateControl == 0
}

// begin starts both streams at the server's SYN/ACK, of a connection on which nothing was said yet.
func (g *Gateway) begin(s *session, p *rewrite.Packet) {
	if s.begun || s.stored&^conntrack.StateControl != 0 {
		return
	}
	s.begun, s.isn, s.unsure, s.proven = true, p.Seq(), [2]bool{}, [2]bool{true, true}
	s.half[toServer].Stream.Start(p.Ack(), 0)
	s.half[toClient].Stream.Start(p.Seq()+1, 0)
}

// startsLine tells whether a line of this direction can begin with b.
func startsLine(dir conntrack.Dir, b byte) bool {
	if dir == toClient {
		return b >= '1' && b <= '6' || b == 0xff
	}
	return b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b == 0xff
}

// acked takes the acknowledgement of direction dir in p.
func (g *Gateway) acked(s *session, dir conntrack.Dir, p *rewrite.Packet) {
	st, ack := &s.half[dir].Stream, p.Ack()
	s.asked[dir] = false
	switch {
	case s.unsure[dir], st.Behind() && s.allArrived(dir, ack):
		g.place(s, dir, ack)
	case st.Acked(ack):
		s.prove(dir)
	case !s.proven[dir]:
		g.placeAnew(s, dir, ack)
	default:
		g.claim(s, dir, ack)
	}
	if !s.proven[dir] {
		s.notePlain(dir, p.SACK())
	}
}

// claim notes that the receiver of direction dir acknowledged up to final number ack more than we have
// seen. If it is true then something passed by while the queue was full, and what the
// sender sends next starts behind it.
func (g *Gateway) claim(s *session, dir conntrack.Dir, ack uint32) {
	s.claimed[dir], s.claims[dir] = ack-uint32(s.half[dir].Stream.Delta()), true
	for _, h := range s.held[dir] {
		if s.hasClaim(dir, h.seq) {
			g.missed(s, dir, h.seq)
			return
		}
	}
}

// hasClaim tells whether the receiver claims to have all before original number seq.
func (s *session) hasClaim(dir conntrack.Dir, seq uint32) bool {
	return s.claims[dir] && int32(s.claimed[dir]-seq) >= 0
}

// missed goes on at original number seq, behind bytes that passed by unseen. Where a line ends
// there is not known, so nothing counts until the next end.
func (g *Gateway) missed(s *session, dir conntrack.Dir, seq uint32) {
	g.Stats.Untouched[MissedSegments].Add(1)
	g.skipTo(s, dir, seq)
}

// skipTo starts a direction at seq, in the middle of a line.
func (g *Gateway) skipTo(s *session, dir conntrack.Dir, seq uint32) {
	if st := &s.half[dir].Stream; st.Behind() {
		s.guess(dir, seq)
	} else {
		st.Start(seq, st.Delta())
	}
	s.line[dir].reset()
	s.line[dir].skip = true
	s.claims[dir] = false
	g.wake(s)
}

// read passes new data to the dialogue and the stream.
func (g *Gateway) read(s *session, dir conntrack.Dir, data []byte) {
	if data = g.skipPlain(s, dir, data); len(data) == 0 {
		return
	}
	if s.midway[dir] {
		s.midway[dir] = false
		s.line[dir].skip = s.has(midLine[dir]) || !startsLine(dir, data[0])
	}
	clear := data
	if s.opaque() {
		clear = g.clearAgain(s, dir, data)
	}
	at := len(data) - len(clear)
	switch {
	case len(clear) == 0:
	case dir == toServer:
		g.commands(s, clear)
	default:
		g.replies(s, clear)
	}
	if at > 0 {
		for i := range g.edits {
			g.edits[i].At += at
		}
	}
	g.take(s, dir, data, g.edits)
}

// midLine is the bit that tells that a direction's last byte was not the end of a line.
var midLine = [2]conntrack.State{toServer: conntrack.StateMidLineClient, toClient: conntrack.StateMidLineServer}

// take appends data to the stream and moves the kernel's offset accordingly.
func (g *Gateway) take(s *session, dir conntrack.Dir, data []byte, edits []rewrite.Edit) {
	h := &s.half[dir]
	seq, was, behind := h.Stream.Edge(), h.Stream.Delta(), h.Stream.Behind()
	told, _ := h.Stream.Told()
	h.Stream.Append(data, edits)

	n := 0 // edits that changed the length
	for _, e := range edits {
		if len(e.Text) != e.Del {
			n++
		}
	}
	if n == 0 && !behind || s.holds == holdsProgram || h.Stream.Behind() {
		return
	}
	f, is := h.Stream.InFlight(), h.Stream.Delta()
	if f.Edits == 0 {
		h.Kernel = rewrite.Offset{Pos: h.Stream.Edge() - 1, Before: is, After: is}
		return
	}
	if int32(f.Last-seq) < 0 {
		f.Last, f.Before = seq, was // it only goes on swallowing
	}
	s.tangled[dir] = behind || n > 1 || len(data) > neverSplit || is < was && (told != seq || bytes.IndexByte(data[:f.Last-seq], '\n') >= 0)
	if s.tangled[dir] {
		seq = f.Last
	}
	h.Kernel = rewrite.Shift(seq, f.Last, f.Before, f.After)
}

// neverSplit is a number of bytes that arrive together or not at all: they fit into a
// segment on every path, also after an edit.
const neverSplit = 400

// clearAgain returns what of data is clear text again after TLS (CCC).
func (g *Gateway) clearAgain(s *session, dir conntrack.Dir, data []byte) []byte {
	if s.has(conntrack.StateNotFTP) {
		return nil
	}
	t := &s.tls[dir]
	rest := t.skip(data)
	if len(rest) == 0 || !t.clear() || !s.tls[dir.Opposite()].clear() || !startsLine(dir, rest[0]) {
		return nil
	}
	s.set(conntrack.StateOpaque, false)
	s.set(conntrack.StateLoggedIn, true) // it could log in only inside TLS
	s.asks = asks{in: s.asks.in, out: s.asks.out}
	if dir == toClient {
		s.asks.push(ftp.CCC) // the reply in clear text belongs to it
	}
	return rest
}

// goOpaque stops reading the session.
func (g *Gateway) goOpaque(s *session) {
	g.Stats.Opaque.Add(1)
	g.withdraw(s, SessionEnded)
	s.set(conntrack.StateOpaque, true)
	s.tls = [2]tlsRecords{}
	s.line[toServer].reset()
	s.line[toClient].reset()
}

// notFTP stops reading a session that speaks another protocol.
func (g *Gateway) notFTP(s *session) {
	g.goOpaque(s)
	s.set(conntrack.StateNotFTP, true)
	g.refuse(s, NotFTP, nil)
}

// noteFIN ends the session when the server ends it. A client may only say that it has no more
// commands, and wait for its last transfer.
func (g *Gateway) noteFIN(s *session, dir conntrack.Dir, flags byte) {
	if dir == toClient && flags&rewrite.FIN != 0 {
		g.end(s)
	}
}

// end closes what the control connection opened.
func (g *Gateway) end(s *session) {
	s.over = true
	s.uncount()
	g.withdraw(s, SessionEnded)
}

// settleOffset makes the kernel's offset one for all numbers once the receiver has every edit: the
// sender may repeat a line whose acknowledgement was lost, and where it ends is right then.
// Nor does a position, after half of all sequence numbers, count as being ahead of them.
func (s *session) settleOffset(dir int) {
	h := &s.half[dir]
	if k := &h.Kernel; k.Before != k.After && s.holds != holdsProgram && !s.unsure[dir] && !h.Stream.Behind() && h.Stream.InFlight().Edits == 0 {
		k.Before = k.After
	}
}

// programHolds keeps the offsets of s here: all its packets must be queued from now on.
func (g *Gateway) programHolds(s *session) {
	s.holds, s.proven = holdsProgram, [2]bool{true, true}
	s.half[toServer].Kernel, s.half[toClient].Kernel = rewrite.Offset{}, rewrite.Offset{}
}

// inFlight notes the edits in flight for a process after us, and tells what of
// StateBusy and StateNoBypass must be set for them.
//
// The kernel knows one position. Without us that is enough for one edit, in a segment that
// cannot be delivered in part; see rewrite.Shift. With more of them it would put the sender's
// repetition in the wrong place, or acknowledge what did not arrive.
func (s *session) inFlight() (flight [2]conntrack.Flight, must conntrack.State) {
	for d := range s.half {
		h := &s.half[d]
		f := h.Stream.InFlight()
		if s.asked[d] || s.hasPlain[d] || s.midway[d] {
			must |= conntrack.StateBusy // every acknowledgement counts
		}
		switch {
		case s.holds == holdsProgram:
			if f.Edits > 0 || h.Stream.Delta() != 0 {
				must |= conntrack.StateBusy
			}
		case s.unsure[d] && s.flow.Flight[d].End == 0:
		case s.unsure[d]:
			must |= conntrack.StateBusy | s.stored&conntrack.StateNoBypass
			flight[d] = s.flow.Flight[d] // as the process before us left it
		case h.Stream.Behind():
			must |= conntrack.StateBusy | s.stored&conntrack.StateNoBypass
			seq, delta := h.Stream.Told()
			flight[d] = s.flight(d, seq, delta, s.flow.Flight[d].End)
		case f.Edits > 0:
			must |= conntrack.StateBusy
			if f.Edits > 1 || s.tangled[d] {
				must |= conntrack.StateNoBypass
			}
			flight[d] = s.flight(d, f.Line, f.Base, bounded(f.End-h.Kernel.Pos))
		}
	}
	return flight, must
}

func (s *session) flight(dir int, line uint32, base int32, end uint16) conntrack.Flight {
	k := s.half[dir].Kernel
	return conntrack.Flight{Back: bounded(k.Pos + 1 - line), Base: int16(base - k.Before), End: end}
}

func bounded(n uint32) uint16 { return uint16(min(max(int32(n), 0), math.MaxUint16)) }

// persist brings what the kernel keeps of the session up to date, before the
// packet that needs it leaves.
func (g *Gateway) persist(s *session) {
	s.set(conntrack.StateAskedPassive, s.asks.passive())
	for dir := range s.half {
		if !s.unsure[dir] && !s.midway[dir] {
			s.set(midLine[dir], s.line[dir].midLine())
		}
		s.settleOffset(dir)
	}
	flight, must := s.inFlight()
	want := s.state | must
	if must != 0 || s.policy.TLS == TLSWatch && !s.has(conntrack.StateNotFTP) {
		want &^= conntrack.StateOpaque
	}
	u := conntrack.Update{StateMask: want ^ s.stored, State: want, Flight: flight}
	if !s.flow.HasState {
		u.StateMask = 0
	}
	for d := range flight {
		k := s.half[d].Kernel
		u.Seq[d] = conntrack.SeqAdj{Pos: k.Pos, Before: k.Before, After: k.After}
		u.SetSeq[d] = s.holds != holdsProgram && u.Seq[d] != s.flow.Seq[d]
		u.SetFlight[d] = s.flow.HasState && flight[d] != s.flow.Flight[d]
	}
	u.Liberal = s.holds == holdsProgram && !s.liberal && (s.half[0].Stream.Delta() != 0 || s.half[1].Stream.Delta() != 0)
	if u.Empty() {
		return
	}
	s.liberal = s.liberal || u.Liberal
	if err := g.kernel.Update(s.flow.Tuple[conntrack.Original], u); err != nil {
		g.kernelError("store the state of a session", err)
		if u.SetSeq != [2]bool{} {
			g.programHolds(s)
		}
		return
	}
	if s.flow.HasState {
		s.stored, s.flow.Flight = want, flight
	}
	if u.SetSeq != [2]bool{} {
		g.offsetsStored(s, u)
	}
}

// offsetsStored notes that the kernel was given offsets. The first time it makes sure
// that it took them: where the entry has no room for them it says nothing.
func (g *Gateway) offsetsStored(s *session, u conntrack.Update) {
	if s.holds == holdsUnknown {
		f, err := g.kernel.Flow(s.flow.Tuple[conntrack.Original])
		if err != nil || u.SetSeq[0] && f.Seq[0] != u.Seq[0] || u.SetSeq[1] && f.Seq[1] != u.Seq[1] {
			g.programHolds(s)
			g.persist(s) // what was stored for it is not so
			return
		}
		s.holds = holdsKernel
	}
	s.flow.Seq = u.Seq
}
