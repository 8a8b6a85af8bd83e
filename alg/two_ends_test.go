package alg

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
	"github.com/ftpalg/ftpalg/test/sim"
)

// twoEnds is a gateway between two ends of which nothing is believed: beside what they say they send anything
// under any number. It watches that for one number only one byte leaves until it is acknowledged.
type twoEnds struct {
	t    testing.TB
	g    *Gateway
	k    *recorder
	now  time.Time
	lose int // so many of the next packets are lost behind the gateway

	side [2]sideOfTwo // by the direction in which it sends
	read func(dir conntrack.Dir, data string)
}

// sideOfTwo is a direction: its sender in original numbers, its receiver in final ones.
type sideOfTwo struct {
	first, nxt uint32 // original
	sent       []byte
	edge       uint32 // original number up to which a reader at the gateway has read

	rcv   uint32 // final
	have  bytesAt
	got   []byte
	left  bytesAt // what left first
	end   uint32  // final number behind the last that left
	acked uint32  // final number that the gateway was told
}

// bytesAt are bytes by how far from the first of a direction they are, plus 1; 0 is none.
type bytesAt []uint16

// note keeps c at the place i, if there is none, and returns what is there.
func (b *bytesAt) note(i uint32, c byte) byte {
	if grow := int(i) + 1 - len(*b); grow > 0 {
		*b = append(*b, make([]uint16, grow)...)
	}
	if (*b)[i] == 0 {
		(*b)[i] = uint16(c) + 1
	}
	return byte((*b)[i] - 1)
}

func newTwoEnds(t testing.TB, f conntrack.Flow, p policy.Policy) *twoEnds {
	w := &twoEnds{t: t, now: time.Unix(1e9, 0), read: func(conntrack.Dir, string) {}}
	w.k = &recorder{fakeKernel: fakeKernel{flow: f, taken: map[uint16]bool{}}}
	w.g = New(w.k, p)
	for d, first := range [2]uint32{4294967200, 5000} { // the client's soon wraps
		w.side[d] = sideOfTwo{
			first: first, nxt: first, edge: first, rcv: first, end: first, acked: first,
		}
	}
	w.segment(toClient, sim.Segment{Seq: 4999, Flags: rewrite.SYN})
	return w
}

// login takes the session to where ports may be opened.
func (w *twoEnds) login() *twoEnds {
	for _, l := range []string{
		"s220 ready\r\n", "cUSER joe\r\n", "s331 password\r\n", "cPASS x\r\n", "s230 in\r\n",
	} {
		dir := toServer
		if l[0] == 's' {
			dir = toClient
		}
		w.say(dir, l[1:])
	}
	return w
}

// say sends new data, which is acknowledged.
func (w *twoEnds) say(dir conntrack.Dir, text string) {
	w.send(dir, []byte(text))
	w.ack(dir)
}

// send sends new data.
func (w *twoEnds) send(dir conntrack.Dir, data []byte) {
	s := &w.side[dir]
	at := s.nxt
	s.sent = append(s.sent, data...)
	s.nxt += uint32(len(data))
	w.segment(dir, sim.Segment{Seq: at, Data: data})
}

// repeat sends again up to n bytes from the offset at in what was said.
func (w *twoEnds) repeat(dir conntrack.Dir, at, n int) {
	s := &w.side[dir]
	at = min(at, len(s.sent))
	w.segment(dir, sim.Segment{Seq: s.first + uint32(at), Data: s.sent[at:min(at+n, len(s.sent))]})
}

// ack has the receiver of direction dir say what it has.
func (w *twoEnds) ack(dir conntrack.Dir) {
	w.segment(dir.Opposite(), sim.Segment{Seq: w.side[1-dir].nxt})
}

// segment is a packet of an end that acknowledges what it has, plus s.Ack.
func (w *twoEnds) segment(dir conntrack.Dir, s sim.Segment) {
	s.Ack += w.side[1-dir].rcv
	pkt := sim.Packet(w.k.flow.Tuple[dir], s)
	const queued = rewrite.SYN | rewrite.FIN | rewrite.RST
	const all = conntrack.StateBusy | conntrack.StateNoBypass
	if len(s.Data) > 0 || s.Flags&queued != 0 || w.k.flow.State&all != 0 {
		w.handle(pkt)
	}
	for h, ok := w.g.Next(); ok; h, ok = w.g.Next() {
		if !h.Drop {
			w.handle(h.Data)
		}
	}
}

// tick lets a second pass.
func (w *twoEnds) tick() {
	w.now = w.now.Add(time.Second)
	w.g.Tick(w.now)
	for h, ok := w.g.Next(); ok; h, ok = w.g.Next() {
		if !h.Drop {
			w.handle(h.Data)
		}
	}
}

func (w *twoEnds) handle(pkt []byte) {
	var p, q rewrite.Packet
	p.Parse(pkt)
	dir := w.k.flow.Direction(conntrack.Tuple{Src: p.Src(), Dst: p.Dst()})
	back := &w.side[1-dir]
	if int32(p.Ack()-back.acked) > 0 && int32(p.Ack()-back.end) <= 0 {
		back.acked = p.Ack()
	}
	v, out := w.g.Handle(w.now, 1, pkt, false)
	switch v {
	case Hold, Drop:
		return
	case Accept:
		out = pkt
	}
	if !q.Parse(out) || !q.ChecksumOK() {
		w.t.Fatalf("a broken packet left: % x", out)
	}
	if q.Flags()&rewrite.SYN != 0 {
		return // nothing in it is taken: both ends answer it with a challenge (RFC 5961 section 4)
	}
	if probe := int32(p.Seq()-q.Seq()) > 1<<15; !probe {
		w.readAt(dir, p.Seq(), p.Payload())
	}
	w.leave(dir, adjusted(w.k.flow.Seq[dir], q.Seq()), q.Payload())
}

// readAt has a reader at the gateway read what is new of a packet that it let pass.
func (w *twoEnds) readAt(dir conntrack.Dir, seq uint32, data []byte) {
	s := &w.side[dir]
	if len(data) == 0 {
		return
	}
	if int32(seq-s.edge) > 0 {
		s.edge = seq // what precedes it is believed to have gone by unseen
	}
	if old := int(int32(s.edge - seq)); old < len(data) {
		s.edge = seq + uint32(len(data))
		w.read(dir, string(data[old:]))
	}
}

// leave watches what goes to the receiver, which keeps what it had first.
func (w *twoEnds) leave(dir conntrack.Dir, seq uint32, data []byte) {
	s := &w.side[dir]
	if len(data) > 0 && int32(seq-s.end) > 0 {
		s.acked, s.end = seq, seq // the gateway believes that what precedes it went by unseen
	}
	for i, c := range data {
		n := seq + uint32(i)
		if int32(n-s.acked) < 0 {
			continue
		}
		if b := s.left.note(n-s.first, c); b != c {
			w.t.Fatalf("%v: number %d left as %q and then as %q", dir, n-s.first, b, c)
		}
		if int32(n+1-s.end) > 0 {
			s.end = n + 1
		}
	}
	if w.lose > 0 {
		w.lose--
		return
	}
	for i, c := range data {
		if n := seq + uint32(i); int32(n-s.rcv) >= 0 {
			s.have.note(n-s.first, c)
		}
	}
	for i := int(s.rcv - s.first); i < len(s.have) && s.have[i] != 0; i++ {
		s.got = append(s.got, byte(s.have[i]-1))
		s.rcv++
	}
}
