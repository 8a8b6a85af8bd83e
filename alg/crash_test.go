package alg

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"github.com/ftpalg/ftpalg/alg/policy"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

var (
	crashes  = flag.Int("crashes", 1500, "how many random schedules the crash model runs")
	crashOne = flag.Int64("crash", -1, "seed of the only schedule to run, with a trace")
)

const (
	stepTime  = 3 * time.Millisecond // 1000 steps are what a segment may be held
	rto       = 80                   // steps without progress after which a sender repeats
	patience  = 100000               // steps that a session may take; in the second half nothing is lost any more
	tickSteps = 333
)

// fate is what may become of a line.
type fate uint8

const (
	exact   fate = iota // it arrives as one gateway without a crash would make it
	plain               // or as it was sent: nobody could know that it wanted a rewrite
	damaged             // it was in flight while the gateway was dead: it may be spoilt, but keeps its place
)

// sentLine is one line of a sender.
type sentLine struct {
	text  string
	want  []string // the renderings that are right
	start uint32   // offset in the sender's data
	fate  fate
	ask   int // a reply: the command it answers; -1: unknown
}

func (l *sentLine) end() uint32 { return l.start + uint32(len(l.text)) }

func (l *sentLine) spoil(f fate) { l.fate = max(l.fate, f) }

// arrived returns the length of the rendering of l that b starts with, or 0.
func (l *sentLine) arrived(b string) int {
	for _, w := range l.want {
		if strings.HasPrefix(b, w) {
			return len(w)
		}
	}
	if l.fate != exact && strings.HasPrefix(b, l.text) {
		return len(l.text)
	}
	return 0
}

// heard is an acknowledgement that moved a sender on, and what its receiver had then.
type heard struct {
	upTo uint32 // offset in the sender's data
	got  int
}

// peer is one end of the connection. It sends in its own numbers and receives in those that the
// gateway and the kernel make of the other's.
type peer struct {
	isn, una, nxt uint32
	data          []byte
	lines         []sentLine
	since         int    // step of the last progress or repetition
	dups          int    // duplicate acknowledgements in a row
	recover       uint32 // after a loss: up to where it repeats
	heard         []heard
	plainAt       []uint32 // offsets in lines that may pass untouched

	rcv    uint32
	got    []byte
	read   int // how much of got the application took
	early  map[uint32]byte
	ackDue bool
}

func (p *peer) offset(seq uint32) uint32 { return seq - p.isn }
func (p *peer) edge() uint32             { return p.isn + uint32(len(p.data)) }

// spoil notes what may become of all lines that are sent but for those that end up to offset from.
func (p *peer) spoil(from uint32, f fate) {
	for i := range p.lines {
		if l := &p.lines[i]; l.end() > from && l.start < p.offset(p.nxt) {
			l.spoil(f)
		}
	}
}

// spoilNext lets the line at seq pass untouched.
func (p *peer) spoilNext(seq uint32) {
	p.plainAt = append(p.plainAt, p.offset(seq))
}

// sack returns the option that reports the highest of the blocks that arrived behind a gap (RFC 2018), or nil.
func (p *peer) sack() []byte {
	if len(p.early) == 0 {
		return nil
	}
	right := p.rcv
	for at := range p.early {
		if after(at+1, right) {
			right = at + 1
		}
	}
	left := right
	for _, ok := p.early[left-1]; ok; _, ok = p.early[left-1] {
		left--
	}
	o := []byte{1, 1, 5, 10}
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(o, left), right)
}

// withOption puts an option, of a multiple of four bytes, into an IPv4 packet.
func withOption(pkt, option []byte) []byte {
	if option == nil {
		return pkt
	}
	pkt = slices.Insert(pkt, 40, option...)
	binary.BigEndian.PutUint16(pkt[2:], uint16(len(pkt)))
	pkt[32] += byte(len(option) / 4 << 4)
	var p rewrite.Packet
	p.Parse(pkt)
	p.Finish()
	return pkt
}

// add has the peer send a line.
func (p *peer) add(text string, ask int, want ...string) {
	if len(want) == 0 {
		want = []string{text}
	}
	p.lines = append(p.lines, sentLine{text: text, want: want, start: uint32(len(p.data)), ask: ask})
	p.data = append(p.data, text...)
}

// seg is a TCP segment on a network; queued one that waits for the program.
type (
	seg struct {
		seq, ack uint32
		data     []byte
		sack     []byte // the option
	}
	queued struct {
		dir conntrack.Dir
		pkt []byte
	}
)

// mortal is the kernel as a gateway sees it that may be killed before or after any call.
type mortal struct {
	*fakeKernel
	w *crashWorld
}

var errKilled = errors.New("killed")

func (m mortal) Update(t conntrack.Tuple, u conntrack.Update) error {
	m.w.mayDie("before Update")
	err := m.fakeKernel.Update(t, u)
	f := &m.flow
	m.w.tracef("  Update: state %b flight %+v seq %+v", f.State, f.Flight, f.Seq)
	m.w.mayDie("after Update")
	return err
}

func (m mortal) Expect(e conntrack.Expectation) error {
	for _, old := range m.expects {
		if old.Src == e.Src && old.Dst == e.Dst {
			_ = m.fakeKernel.Withdraw(old)
			break
		}
	}
	err := m.fakeKernel.Expect(e)
	m.w.mayDie("after Expect")
	return err
}

// crashWorld is a session: two peers, networks on both sides of the gateway that lose,
// repeat and reorder, the kernel, and the program, which dies now and then.
type crashWorld struct {
	*rand.Rand
	t     testing.TB
	trace bool
	step  int

	loss, reorder int // percent
	mss           int
	nagle         bool
	window        int  // bytes a peer may have in flight
	whole         bool // segments are of whole lines
	pipelined     bool
	todo          int // lines that the client will still send
	waiting       int // step at which the client sent its last line

	p         policy.Policy
	k         *fakeKernel
	g         *Gateway // nil: no program runs
	deaths    int      // still to come
	back      int      // step at which the next program starts
	sudden    bool     // the next one starts at once
	inFlight  [2]uint32
	unsure    bool         // it does not know all commands that wait for their replies
	plainAsk  map[int]bool // passive commands whose replies may pass untouched
	queue     []queued
	near, far [2][]seg // before and behind the gateway, by direction
	peer      [2]*peer // by the direction in which they send
}

func newCrashWorld(t testing.TB, seed uint64) *crashWorld {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	w := &crashWorld{Rand: r, t: t, plainAsk: map[int]bool{}}
	w.loss, w.reorder = r.IntN(3)*10, r.IntN(3)*15
	w.mss = []int{3, 12, 60, 536}[r.IntN(4)]
	w.nagle, w.whole, w.pipelined = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(3) > 0
	w.window = []int{60, 300, 1500}[r.IntN(3)]
	w.todo, w.deaths = 1+r.IntN(14), r.IntN(4)

	f := []conntrack.Flow{
		snatFlow(),
		natFlow(clientIn, published, serverAddr, netip.MustParseAddrPort("203.0.113.177:40000")),
		natFlow(netip.MustParseAddrPort("192.168.113.222:40000"), serverAddr, serverAddr, netip.MustParseAddrPort("9.9.9.9:40000")),
		natFlow(netip.MustParseAddrPort("192.168.113.222:40000"), netip.MustParseAddrPort("9.9.9.8:21"), serverAddr, netip.MustParseAddrPort("9.9.9.9:40000")),
		dnatFlow(),
	}[r.IntN(5)]
	w.p = policy.Default()
	w.p.FirstPort, w.p.LastPort = 40000, 40000
	d := newTalk(t, f, w.p)
	for dir := range d.seq {
		d.seq[dir] = r.Uint32()
		if r.IntN(2) == 0 {
			d.seq[dir] = -uint32(r.IntN(500)) // soon wraps
		}
	}
	d.rcv = d.seq
	d.restart()
	d.packet(toClient, d.seq[toClient]-1, rewrite.SYN, nil)
	d.login()
	w.k = d.k
	for dir := range w.peer {
		w.peer[dir] = &peer{isn: d.seq[dir], una: d.seq[dir], nxt: d.seq[dir], rcv: d.rcv[1-dir], early: map[uint32]byte{}}
	}
	w.g = d.g
	w.g.kernel = mortal{w.k, w}
	return w
}

func (w *crashWorld) tracef(format string, args ...any) {
	if w.trace {
		w.t.Logf("%5d "+format, append([]any{w.step}, args...)...)
	}
}

func (w *crashWorld) now() time.Time { return time.Unix(1e9, 0).Add(time.Duration(w.step) * stepTime) }

// start has a program take the queue.
func (w *crashWorld) start() {
	w.g = New(mortal{w.k, w}, w.p)
	w.g.Adopt(w.k.expects)
	w.g.OnKernelError = func(doing string, err error) { w.t.Errorf("%s: %v", doing, err) }
	if w.trace {
		w.g.OnRefused = func(r Refusal) { w.tracef("  refused: %v %q", r.Reason, r.Line) }
	}
}

// mayDie kills the program in the middle of a packet.
func (w *crashWorld) mayDie(when string) {
	if w.deaths > 0 && w.IntN(20) == 0 {
		w.tracef("  killed %s", when)
		panic(errKilled)
	}
}

// die ends the program with all packets that it has or that wait for it.
func (w *crashWorld) die() {
	w.deaths--
	w.g, w.queue = nil, nil
	for dir, p := range w.peer {
		w.inFlight[dir] = p.offset(p.una)
	}
	w.sudden, w.back = w.IntN(2) == 0, w.step
	if !w.sudden {
		w.back += w.IntN(400)
	}
	w.tracef("dead till %d: state %b flight %+v seq %+v", w.back, w.k.flow.State, w.k.flow.Flight, w.k.flow.Seq)
	if w.sudden {
		w.revive()
	}
}

// revive notes what was in flight while no program ran, and starts the next.
func (w *crashWorld) revive() {
	w.tracef("a new program")
	if open := w.unanswered(); len(open) > 0 {
		w.forget(open[0] + 1)
		w.plainAsk[open[0]] = w.plainAsk[open[0]] || len(open) > 1 // the label tells of one
	}
	for dir, p := range w.peer {
		if !w.whole || !w.sudden {
			p.spoil(w.inFlight[dir], damaged)
		} else if len(w.peer[1-dir].early)+len(w.far[dir]) > 0 {
			p.spoil(p.offset(p.una), plain) // of what lies behind a gap it is not known who passed it on
		}
		if !w.whole || !w.sudden {
			p.spoilNext(p.nxt) // what precedes it may never be seen
		}
	}
	w.start()
}

// forget lets the replies to commands from i on pass untouched, till none is due any more.
func (w *crashWorld) forget(i int) {
	w.unsure = true
	for ; i < len(w.peer[toServer].lines); i++ {
		w.plainAsk[i] = true
	}
}

// unanswered returns the commands that were sent and whose replies the server does not know to
// have arrived.
func (w *crashWorld) unanswered() (open []int) {
	c, s := w.peer[toServer], w.peer[toClient]
	answered := map[int]bool{}
	for i := range s.lines {
		if l := &s.lines[i]; l.end() <= s.offset(s.una) {
			answered[l.ask] = true
		}
	}
	for i := range c.lines {
		if c.lines[i].start < c.offset(c.nxt) && !answered[i] {
			open = append(open, i)
		}
	}
	return open
}

// toss puts a segment on a network, or loses or repeats it.
func (w *crashWorld) toss(net *[]seg, s seg) {
	if w.calm() {
		*net = append(*net, s)
		return
	}
	if w.IntN(100) < w.loss {
		return
	}
	*net = append(*net, s)
	if w.IntN(100) < w.loss/3 {
		*net = append(*net, s)
	}
}

// take removes a segment from a network, mostly the oldest.
func (w *crashWorld) take(net *[]seg) seg {
	i := 0
	if !w.calm() && w.IntN(100) < w.reorder {
		i = w.IntN(len(*net))
	}
	s := (*net)[i]
	*net = append((*net)[:i:i], (*net)[i+1:]...)
	return s
}

func (w *crashWorld) calm() bool { return w.step > patience/2 }

// transmit sends up to n bytes from seq.
func (w *crashWorld) transmit(dir conntrack.Dir, seq uint32, n int) {
	p := w.peer[dir]
	at := p.offset(seq)
	p.ackDue = false
	s := seg{seq, p.rcv, p.data[at : int(at)+n], p.sack()}
	w.tracef("%v sends %d+%d %q ack %d", dir, at, n, s.data, int32(s.ack-w.peer[1-dir].isn))
	w.toss(&w.near[dir], s)
}

// cut tells how much goes into a segment that starts at seq.
func (w *crashWorld) cut(p *peer, seq, end uint32) int {
	left := int(end - seq)
	if !w.whole {
		return min(left, 1+w.IntN(w.mss))
	}
	at := p.offset(seq)
	n, more := 0, w.IntN(4)
	for i := range p.lines {
		if l := &p.lines[i]; l.end() > at {
			if n > 0 && more == 0 {
				break
			}
			n = int(l.end() - at)
			more--
			if more < 0 {
				break
			}
		}
	}
	return min(n, left)
}

func after(a, b uint32) bool { return int32(a-b) > 0 }

// stepPeer has an end send something, or repeat it.
func (w *crashWorld) stepPeer(dir conntrack.Dir) {
	p := w.peer[dir]
	pending := p.una != p.nxt
	if !pending {
		p.since = w.step
	}
	n := 0
	if p.nxt != p.edge() {
		n = w.cut(p, p.nxt, p.edge())
	}
	switch {
	case pending && w.step-p.since > rto:
		w.repeat(dir)
	case n > 0 && !(w.nagle && pending && n < w.mss) && int(p.nxt-p.una) < w.window:
		w.transmit(dir, p.nxt, n)
		p.nxt += uint32(n)
	case pending && w.IntN(30) == 0:
		from := p.una
		if !w.whole {
			from += uint32(w.IntN(int(p.nxt - p.una)))
		}
		w.transmit(dir, from, w.cut(p, from, p.nxt))
	case w.IntN(100) == 0:
		w.toss(&w.near[dir], seg{p.nxt, p.rcv, nil, p.sack()})
	}
}

// repeat sends what is not acknowledged, as after a timeout or a loss.
func (w *crashWorld) repeat(dir conntrack.Dir) {
	p := w.peer[dir]
	p.since, p.dups, p.recover = w.step, 0, p.nxt
	w.transmit(dir, p.una, w.cut(p, p.una, p.nxt))
}

// arrive is what the queue rules do with a packet; see conntrack/ruleset.
func (w *crashWorld) arrive(dir conntrack.Dir, s seg) {
	never := w.k.flow.State&conntrack.StateNoBypass != 0
	wanted := never || len(s.data) > 0 || w.k.flow.State&conntrack.StateBusy != 0
	switch {
	case wanted && w.g != nil:
		w.queue = append(w.queue, queued{dir, withOption(tcpPacket(w.k.flow.Tuple[dir], s.seq, s.ack, rewrite.ACK, s.data), s.sack)})
	case never:
		w.tracef("%v is dropped", dir)
	default:
		w.leave(dir, s)
	}
}

// leave is the kernel's sequence adjustment (nf_ct_seq_adjust).
func (w *crashWorld) leave(dir conntrack.Dir, s seg) {
	this, other := w.k.flow.Seq[dir], w.k.flow.Seq[1-dir]
	if after(s.seq, this.Pos) {
		s.seq += uint32(this.After)
	} else {
		s.seq += uint32(this.Before)
	}
	if after(s.ack-uint32(other.Before), other.Pos) {
		s.ack -= uint32(other.After)
	} else {
		s.ack -= uint32(other.Before)
	}
	w.toss(&w.far[dir], s)
}

// work has the program take a packet from the queue, or tick.
func (w *crashWorld) work(tick bool) {
	defer func() {
		switch r := recover(); r {
		case nil:
		case errKilled:
			w.die()
		default:
			panic(r)
		}
	}()
	if tick {
		w.g.Tick(w.now())
	} else {
		q := w.queue[0]
		w.queue = w.queue[1:]
		w.handle(q.dir, q.pkt)
	}
	for h, ok := w.g.Next(); ok; h, ok = w.g.Next() {
		if !h.Drop {
			var p rewrite.Packet
			p.Parse(h.Data)
			w.handle(w.k.flow.Direction(conntrack.Tuple{Src: p.Src(), Dst: p.Dst()}), h.Data)
		}
	}
}

func (w *crashWorld) handle(dir conntrack.Dir, pkt []byte) {
	var p rewrite.Packet
	p.Parse(pkt)
	w.tracef("the gateway takes %v %d %q ack %d", dir, p.Seq()-w.peer[dir].isn, p.Payload(), int32(p.Ack()-w.peer[1-dir].isn))
	v, out := w.g.Handle(w.now(), uint32(w.step), pkt, false)
	switch v {
	case Rewrite:
		if !p.Parse(out) || !p.ChecksumOK() {
			w.t.Fatalf("a broken packet left: % x", out)
		}
		w.tracef("  %v: %d %q ack %d", v, p.Seq()-w.peer[dir].isn, p.Payload(), int32(p.Ack()-w.peer[1-dir].isn))
	case Hold, Drop:
		w.tracef("  %v", v)
		return
	}
	w.leave(dir, seg{seq: p.Seq(), ack: p.Ack(), data: append([]byte(nil), p.Payload()...)})
}

// receive gives the segment of direction dir to its receiver.
func (w *crashWorld) receive(dir conntrack.Dir, s seg) {
	p, from := w.peer[1-dir], w.peer[dir]
	w.tracef("%v arrives %d %q ack %d; want %d", dir, int32(s.seq-from.isn), s.data, int32(s.ack-p.isn), int32(p.rcv-from.isn))
	w.acknowledged(p, s, len(from.got))
	switch {
	case len(s.data) == 0:
		p.ackDue = p.ackDue || s.seq != p.rcv
		return
	case s.seq != p.rcv || w.IntN(3) > 0:
		p.ackDue = true
	}
	for i, c := range s.data {
		at := s.seq + uint32(i)
		if _, have := p.early[at]; !have && int32(at-p.rcv) >= 0 && int32(at-p.rcv) < 1<<16 {
			p.early[at] = c
		}
	}
	for c, ok := p.early[p.rcv]; ok; c, ok = p.early[p.rcv] {
		delete(p.early, p.rcv)
		p.got = append(p.got, c)
		p.rcv++
	}
	if s.seq != p.rcv-uint32(len(s.data)) {
		w.ack(1 - dir) // a gap or a duplicate is answered at once
	}
}

// acknowledged moves a sender on.
func (w *crashWorld) acknowledged(p *peer, s seg, got int) {
	dir := toServer
	if p == w.peer[toClient] {
		dir = toClient
	}
	switch {
	case after(s.ack, p.nxt):
		w.t.Fatalf("%v: %d is acknowledged, sent is up to %d", dir, p.offset(s.ack), p.offset(p.nxt))
	case after(s.ack, p.una):
		p.una, p.since, p.dups = s.ack, w.step, 0
		p.heard = append(p.heard, heard{p.offset(s.ack), len(w.peer[1-dir].got)})
		if after(p.recover, p.una) {
			w.transmit(dir, p.una, w.cut(p, p.una, p.nxt))
		}
	case s.ack == p.una && p.una != p.nxt && len(s.data) == 0:
		if p.dups++; p.dups == 3 && !after(p.recover, p.una) {
			w.repeat(dir)
		}
	}
}

func (w *crashWorld) ack(dir conntrack.Dir) {
	p := w.peer[dir]
	p.ackDue = false
	w.toss(&w.near[dir], seg{p.nxt, p.rcv, nil, p.sack()})
}

// command has the client say something.
func (w *crashWorld) command() {
	c := w.peer[toServer]
	i := len(c.lines)
	own, outside := w.k.flow.Tuple[0].Src.Addr(), w.k.flow.Tuple[1].Dst.Addr()
	named := netip.AddrPortFrom(own, uint16(10000+i))
	w.todo--
	w.waiting = w.step
	w.unsure = w.unsure && len(w.unanswered()) > 0
	w.plainAsk[i] = w.unsure
	form := func(format string, port func(dst []byte, a netip.AddrPort) []byte, arg string) {
		want := []string{}
		for _, p := range []uint16{named.Port(), w.p.FirstPort} {
			want = append(want, fmt.Sprintf(format, port(nil, netip.AddrPortFrom(outside, p))))
		}
		if own == outside {
			want = nil
		}
		c.add(fmt.Sprintf(format, arg), -1, want...)
	}
	eprt := func(dst []byte, a netip.AddrPort) []byte { return ftp.AppendEPRT(dst, '|', '1', a) }
	switch w.IntN(7) {
	case 0, 1:
		form("PORT %s\r\n", ftp.AppendPort, string(ftp.AppendPort(nil, named)))
	case 2:
		b := own.As4()
		form("PORT %s\r\n", ftp.AppendPort, fmt.Sprintf("%03d,%03d,%03d,%03d,%d,%d", b[0], b[1], b[2], b[3], named.Port()>>8, named.Port()&0xff))
	case 3:
		form("EPRT %s\r\n", eprt, string(eprt(nil, named)))
	case 4:
		c.add(fmt.Sprintf("PASV %04d\r\n", i), -1)
	case 5:
		c.add(fmt.Sprintf("NOOP %04d\r\n", i), -1)
	case 6:
		c.add(fmt.Sprintf("CWD some/where/%04d\r\n", i), -1)
	}
}

// stepClient has the client go on when it may. If a reply never comes it goes on some day.
func (w *crashWorld) stepClient() {
	c := w.peer[toServer]
	waits := strings.Count(string(c.got), "\n") < len(c.lines)
	if w.todo > 0 && (w.pipelined || !waits || w.step-w.waiting > 10*rto) {
		w.command()
	}
}

// stepServer answers the next line.
func (w *crashWorld) stepServer() {
	s := w.peer[toClient]
	n := strings.IndexByte(string(s.got[s.read:]), '\n') + 1
	if n == 0 {
		return
	}
	line := string(s.got[s.read : s.read+n])
	s.read += n
	i := len(s.lines)
	ask := -1
	for j := range w.peer[toServer].lines {
		if l := &w.peer[toServer].lines[j]; l.arrived(line) == len(line) {
			ask = j
		}
	}
	if ask < 0 || !strings.HasPrefix(line, "PASV") {
		s.add(fmt.Sprintf("200 %04d ok\r\n", i), ask)
		return
	}
	own, dialled := w.k.flow.Tuple[1].Src.Addr(), w.k.flow.Tuple[0].Dst.Addr()
	const format = "227 Entering Passive Mode (%s).\r\n"
	port := uint16(20000 + i)
	want := []string{}
	for _, p := range []uint16{port, w.p.FirstPort} {
		want = append(want, fmt.Sprintf(format, ftp.AppendPort(nil, netip.AddrPortFrom(dialled, p))))
	}
	s.add(fmt.Sprintf(format, ftp.AppendPort(nil, netip.AddrPortFrom(own, port))), ask, want...)
}

func (w *crashWorld) done() bool {
	c, s := w.peer[toServer], w.peer[toClient]
	return w.todo == 0 && c.una == c.edge() && s.una == s.edge() && s.read == len(s.got) && w.g != nil
}

// run lets everything happen in random order until all is said and acknowledged.
func (w *crashWorld) run() {
	for w.step = 0; !w.done(); w.step++ {
		if w.step > patience {
			c, s := w.peer[toServer], w.peer[toClient]
			w.t.Fatalf("the session stalls: the client is at %d of %d (sent %d), the server at %d of %d (sent %d)",
				c.offset(c.una), len(c.data), c.offset(c.nxt), s.offset(s.una), len(s.data), s.offset(s.nxt))
		}
		if w.g == nil && w.step >= w.back {
			w.revive()
		}
		if w.g != nil && w.step%tickSteps == 0 {
			w.work(true)
		}
		dir := conntrack.Dir(w.IntN(2))
		switch k := w.IntN(12); {
		case k < 3 && len(w.near[dir]) > 0:
			w.arrive(dir, w.take(&w.near[dir]))
		case k < 6 && len(w.far[dir]) > 0:
			w.receive(dir, w.take(&w.far[dir]))
		case k < 9 && len(w.queue) > 0:
			w.work(false)
		case k == 9:
			w.stepPeer(dir)
		case k == 10 && dir == toServer:
			w.stepClient()
		case k == 10:
			w.stepServer()
		case w.peer[dir].ackDue && w.IntN(4) == 0:
			w.ack(dir)
		case w.deaths > 0 && w.g != nil && w.IntN(40) == 0:
			w.tracef("killed")
			w.die()
		}
	}
	w.check(toServer)
	w.check(toClient)
}

// check compares what the receiver of a direction has with what was sent, line by line.
func (w *crashWorld) check(dir conntrack.Dir) {
	p, got := w.peer[dir], string(w.peer[1-dir].got)
	for _, at := range p.plainAt {
		for i := range p.lines {
			if l := &p.lines[i]; l.start <= at && at < l.end() {
				l.spoil(plain)
			}
		}
	}
	for i := range p.lines {
		l := &p.lines[i]
		if dir == toClient && l.ask >= 0 && (w.plainAsk[l.ask] || w.peer[toServer].lines[l.ask].fate != exact) {
			l.spoil(plain)
		}
	}
	r := reading{lines: p.lines, got: got, ends: make([]int, len(p.lines))}
	if !r.match(0, 0) {
		w.t.Fatalf("%v: line %d %s; from there on arrived %q", dir, r.line, r.why, got[r.at:])
	}
	for _, h := range p.heard {
		for i := range p.lines {
			if l := &p.lines[i]; l.end() <= h.upTo && r.ends[i] > h.got {
				w.t.Fatalf("%v: the sender heard that %d arrived, but line %d, %q, had not", dir, h.upTo, i, l.text)
			}
		}
	}
}

// reading finds the lines that were sent in what arrived.
type reading struct {
	lines []sentLine
	got   string
	ends  []int // where exact lines ended for the receiver

	line, at int // how far it came, and why not further
	why      string
}

// match tells whether the lines from i on are what arrived from at on.
func (r *reading) match(i, at int) bool {
	if i == len(r.lines) {
		return at == len(r.got) || r.fail(i, at, "was not sent")
	}
	l := &r.lines[i]
	if l.fate != damaged {
		n := l.arrived(r.got[at:])
		if n == 0 {
			return r.fail(i, at, fmt.Sprintf("%q is not there", l.text))
		}
		r.ends[i] = at + n
		return r.match(i+1, at+n)
	}
	next := i
	for next < len(r.lines) && r.lines[next].fate == damaged {
		next++
	}
	fits := false
	for to := at + 1; to <= len(r.got); to++ {
		if r.got[to-1] == '\n' && outOfStep(r.lines[i:next], r.got[at:to]) == "" {
			if fits = true; r.match(next, to) {
				return true
			}
		}
	}
	return !fits && r.fail(i, at, fmt.Sprintf("%q and spoilt ones after it are out of step: %s", l.text, outOfStep(r.lines[i:next], r.got[at:])))
}

func (r *reading) fail(line, at int, why string) bool {
	if r.why == "" || line >= r.line {
		r.line, r.at, r.why = line, at, why
	}
	return false
}

// outOfStep tells what is wrong with what arrived of lines that were in flight at a crash, if
// it is more than that they are spoilt.
func outOfStep(lines []sentLine, got string) string {
	least, most := 0, 0
	for i := range lines {
		l := &lines[i]
		lo, hi := len(l.text), len(l.text)
		for _, s := range l.want {
			lo, hi = min(lo, len(s)), max(hi, len(s))
		}
		least, most = least+min(lo, 1), most+hi+10
	}
	switch n := strings.Count(got, "\n"); {
	case !strings.HasSuffix(got, "\n"):
		return "the last has no end"
	case n < len(lines):
		return fmt.Sprintf("only %d arrived", n)
	case len(got) < least || len(got) > most:
		return fmt.Sprintf("%d bytes arrived, not %d to %d", len(got), least, most)
	}
	return ""
}

func (w *crashWorld) String() string {
	return fmt.Sprintf("%d steps, %d lines, loss %d reorder %d mss %d nagle %v whole %v pipelined %v window %d flow %v", w.step, len(w.peer[toServer].lines), w.loss, w.reorder, w.mss, w.nagle, w.whole, w.pipelined, w.window, w.k.flow.Tuple)
}

func runCrash(t *testing.T, seed uint64, trace bool) {
	w := newCrashWorld(t, seed)
	w.trace = trace
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %v", seed, w)
		}
	}()
	w.run()
}

func TestCrashAtAnyMomentLosesNoSession(t *testing.T) {
	if *crashOne >= 0 {
		runCrash(t, uint64(*crashOne), true)
		return
	}
	for seed := range uint64(*crashes) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runCrash(t, seed, false) })
	}
}
