package alg

import (
	"errors"
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
	Opaque        atomic.Uint64 // sessions that became opaque
	Commands      [ftp.NumVerbs]atomic.Uint64
	Replies       [7]atomic.Uint64 // by first digit
	Rewrites      [len(Modes)]atomic.Uint64
	Opened        [len(Modes)]atomic.Uint64
	Closed        [numReasons]atomic.Uint64
	Refused       [numReasons]atomic.Uint64
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

// New returns a gateway.
func New(k Kernel, p Policy) *Gateway {
	g := &Gateway{kernel: k, orphans: map[conntrack.Tuple]conntrack.Expectation{}}
	g.SetPolicy(p)
	g.table.init()
	return g
}

// SetPolicy changes the policy for everything from the next packet on.
func (g *Gateway) SetPolicy(p Policy) {
	p.Strict = p.Strict.whole()
	g.policy = p
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
	if !send.Stream.Started() {
		g.pickUp(s, dir, p.Seq(), p.Payload())
	}
	if p.Flags()&rewrite.ACK != 0 && recv.Stream.Started() && !recv.Stream.Acked(p.Ack()) {
		g.claim(s, dir.Opposite(), p.Ack())
	}

	n := len(p.Payload())
	if p.Flags()&rewrite.FIN != 0 && n == 0 {
		n = 1
	}
	if send.Stream.Classify(p.Seq(), n) == rewrite.Gap && n > 0 && s.hasClaim(dir, p.Seq()) {
		g.missed(s, dir, p.Seq())
	}
	switch send.Stream.Classify(p.Seq(), n) {
	case rewrite.Gap:
		switch {
		case n == 0:
		case g.hold(s, dir, id, data, loopback):
			return Hold, OutOfOrder, nil
		default:
			return Drop, OutOfOrder, nil // lost, to the sender: it sends it again
		}
	case rewrite.InOrder:
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
	s.begun, s.isn = true, p.Seq()
	s.half[toServer].Stream.Start(p.Ack(), 0)
	s.half[toClient].Stream.Start(p.Seq()+1, 0)
}

// pickUp starts a direction in the middle: an earlier process had it, or nobody.
func (g *Gateway) pickUp(s *session, dir conntrack.Dir, seq uint32, payload []byte) {
	h, l := &s.half[dir], &s.line[dir]
	h.Stream.Start(seq, h.Kernel.At(seq))
	g.mayRepeat(s, dir, seq)
	mid := conntrack.StateMidLineClient
	if dir == toClient {
		mid = conntrack.StateMidLineServer
	}
	l.skip = s.has(mid) || len(payload) > 0 && !startsLine(dir, payload[0])
}

// mayRepeat sees to it that a direction that is picked up before its last edit
// repeats the edits of the process before us.
func (g *Gateway) mayRepeat(s *session, dir conntrack.Dir, seq uint32) {
	h, f := &s.half[dir], s.flow.Flight[dir]
	k := h.Kernel
	first, base := k.Pos, k.Before
	if k.After < k.Before {
		first++ // see rewrite.Shift
	}
	if f != (conntrack.Flight{}) {
		first, base = k.Pos-uint32(f.Back), k.Before+int32(f.Base)
	} else if k.Before == k.After {
		return
	}
	if int32(seq-first) <= 0 && first-seq < recently {
		s.redo[dir] = true
		h.Stream.Start(seq, base)
	}
}

// recently bounds, in bytes, how far before an edit the sender may be that repeats it.
const recently = 4096

// startsLine tells whether a line of this direction can begin with b.
func startsLine(dir conntrack.Dir, b byte) bool {
	if dir == toClient {
		return b >= '1' && b <= '6' || b == 0xff
	}
	return b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b == 0xff
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
	h := &s.half[dir]
	h.Stream.Start(seq, h.Stream.Delta())
	s.line[dir].reset()
	s.line[dir].skip = true
	s.claims[dir] = false
	g.wake(s)
}

// read passes new data to the dialogue and the stream.
func (g *Gateway) read(s *session, dir conntrack.Dir, data []byte) {
	h := &s.half[dir]
	seq, was := h.Stream.Edge(), h.Stream.Delta()
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
	if s.redo[dir] {
		g.repeat(s, dir, data)
		return
	}
	h.Stream.Append(data, g.edits)
	if is := h.Stream.Delta(); is != was && s.holds != holdsProgram {
		h.Kernel = rewrite.Shift(seq, was, is)
		g.storeOffset(s, dir)
	}
}

// repeat takes data of a picked-up direction, up to the last edit of the process before us.
// Behind it the offset must be what the kernel knows it was.
func (g *Gateway) repeat(s *session, dir conntrack.Dir, data []byte) {
	h := &s.half[dir]
	if past := int32(h.Stream.Edge() + uint32(len(data)) - h.Kernel.Pos); past <= 1 || data[len(data)-1] != '\n' {
		h.Stream.Append(data, g.edits)
		return
	}
	s.redo[dir] = false
	want := int(h.Kernel.After - h.Stream.Delta())
	for _, e := range g.edits {
		want -= len(e.Text) - e.Del
	}
	if n := len(data) + want; want != 0 && n > 0 {
		// What it said is not known any more. Repeat its end, or leave out its start:
		// at worst a line is refused, but the stream stays in step.
		text := g.keep(data)
		for len(text) < n {
			text = append(text, data[max(0, len(data)-(n-len(text))):]...)
		}
		g.edits = g.edits[:0]
		g.addEdit(0, len(data), text[len(text)-n:])
	}
	h.Stream.Append(data, g.edits)
}

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

func (g *Gateway) noteFIN(s *session, dir conntrack.Dir, flags byte) {
	if flags&rewrite.FIN == 0 {
		return
	}
	s.fin[dir] = true
	if s.fin[toServer] && s.fin[toClient] {
		g.end(s)
	}
}

// end closes what the control connection opened.
func (g *Gateway) end(s *session) {
	s.over = true
	s.uncount()
	g.withdraw(s, SessionEnded)
}

// storeOffset hands a changed offset to the kernel before the packet that needs it leaves.
func (g *Gateway) storeOffset(s *session, dir conntrack.Dir) {
	u := conntrack.Update{StateMask: conntrack.StateBusy, State: conntrack.StateBusy}
	k := s.half[dir].Kernel
	u.Seq[dir], u.SetSeq[dir] = conntrack.SeqAdj{Pos: k.Pos, Before: k.Before, After: k.After}, true
	s.stored |= conntrack.StateBusy
	orig := s.flow.Tuple[conntrack.Original]
	if err := g.kernel.Update(orig, u); err != nil {
		g.kernelError("store a sequence offset", err)
		g.programHolds(s)
		return
	}
	if s.holds == holdsUnknown {
		// Where the entry has no room for it the kernel says nothing.
		f, err := g.kernel.Flow(orig)
		if err != nil || f.Seq[dir] != u.Seq[dir] {
			g.programHolds(s)
			return
		}
		s.holds = holdsKernel
	}
}

// renewOffset gives the kernel an offset that depends on no position any more, long before the
// sequence numbers have gone so far that the position counts as being ahead of them.
func (g *Gateway) renewOffset(s *session, dir conntrack.Dir) {
	h := &s.half[dir]
	if k := h.Kernel; h.Stream.Started() && k.Before != k.After && s.holds != holdsProgram && int32(h.Stream.Edge()-k.Pos) > 1<<30 {
		h.Kernel.Before = k.After
		g.storeOffset(s, dir)
	}
}

// programHolds keeps the offsets of s here: all its packets must be queued from now on.
func (g *Gateway) programHolds(s *session) {
	s.holds = holdsProgram
	s.half[toServer].Kernel, s.half[toClient].Kernel = rewrite.Offset{}, rewrite.Offset{}
}

// inFlight notes the edits in flight for a process after us, and tells whether
// the kernel alone cannot translate the session's acknowledgements.
func (s *session) inFlight() (flight [2]conntrack.Flight, busy bool) {
	for d := range s.half {
		h := &s.half[d]
		seq, delta, ok := h.Stream.Oldest()
		busy = busy || ok || s.holds == holdsProgram && h.Stream.Delta() != 0
		back := h.Kernel.Pos - seq
		if ok && back > 0 && back < 1<<16 && s.holds != holdsProgram {
			flight[d] = conntrack.Flight{Back: uint16(back), Base: int16(delta - h.Kernel.Before)}
		}
	}
	return flight, busy
}

// persist brings what the kernel keeps of the session up to date.
func (g *Gateway) persist(s *session) {
	s.set(conntrack.StateAskedPassive, s.asks.passive())
	s.set(conntrack.StateMidLineClient, s.line[toServer].midLine())
	s.set(conntrack.StateMidLineServer, s.line[toClient].midLine())
	for dir := range s.half {
		g.renewOffset(s, conntrack.Dir(dir))
	}
	flight, busy := s.inFlight()
	want := s.state
	if busy {
		want |= conntrack.StateBusy
	}
	if busy || g.policy.TLS == TLSWatch && !s.has(conntrack.StateNotFTP) {
		want &^= conntrack.StateOpaque
	}
	if want == s.stored && flight == s.flow.Flight || !s.flow.HasState {
		return
	}
	u := conntrack.Update{StateMask: want ^ s.stored, State: want, Flight: flight}
	for d := range flight {
		u.SetFlight[d] = flight[d] != s.flow.Flight[d]
	}
	if err := g.kernel.Update(s.flow.Tuple[conntrack.Original], u); err != nil {
		g.kernelError("store the state of a session", err)
		return
	}
	s.stored, s.flow.Flight = want, flight
}
