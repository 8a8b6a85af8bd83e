package rewrite

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// world is a sender and a receiver TCP with the editor and a kernel that holds
// its offset between them, and networks on both sides that lose, repeat and reorder.
type world struct {
	*rand.Rand
	t testing.TB

	loss, reorder int // percent
	nagle         bool
	kernel        bool // the kernel holds the offset
	mss           int
	limited       bool // losses end when this many steps are done

	// The sender, in original numbers.
	isn  uint32
	data []byte
	una  uint32
	nxt  uint32
	idle int // steps without progress: stands for the retransmission timer

	// The editor, and the kernel behind it.
	conn    Conn
	room    Room
	carried [2]int32
	want    []byte // what a perfect proxy would have sent so far
	plan    editPlan

	// The receiver, in final numbers.
	got      []byte
	rcvNxt   uint32
	early    map[uint32]byte
	sack     []uint32 // blocks, newest first
	ackDue   bool
	there    [][]byte // packets on the way to the receiver
	here     [][]byte // packets on the way from the sender to the editor
	backward [][]byte // packets on the way from the receiver to the editor
	home     [][]byte // packets on the way to the sender
}

// editPlan tells how random edits look.
type editPlan struct {
	rate    int // percent of pieces that are edited
	maxDel  int
	maxText int
	swallow bool // whole pieces vanish, as when an argument is replaced early
}

func newWorld(t testing.TB, seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))
	w := &world{Rand: r, t: t, early: map[uint32]byte{}}
	w.loss, w.reorder = r.IntN(4)*8, r.IntN(3)*15
	w.nagle, w.kernel = r.IntN(2) == 0, r.IntN(3) > 0
	w.mss = []int{1, 3, 20, 100, 536}[r.IntN(5)]
	w.isn = r.Uint32()
	if r.IntN(3) == 0 {
		w.isn = uint32(0) - uint32(r.IntN(200)) // soon wraps
	}
	n := 1 + r.IntN(40)*w.mss
	if n > 3000 {
		n = 3000
	}
	w.data = make([]byte, n)
	for i := range w.data {
		w.data[i] = byte('a' + r.IntN(26))
	}
	w.plan = editPlan{rate: r.IntN(101), maxDel: 1 + r.IntN(30), maxText: r.IntN(30), swallow: r.IntN(3) == 0}
	w.una, w.nxt, w.rcvNxt = w.isn, w.isn, w.isn
	w.room = Room{MaxPackets: 100, MaxBytes: 1 << 20}
	if r.IntN(4) == 0 {
		w.room = Room{MaxPackets: 10, MaxBytes: 1 << 10} // others have it all
	}
	w.conn.PickUp(Kept{}, map[bool]Carrier{true: Kernel, false: Program}[w.kernel], false)
	w.conn.Begin(w.isn, 1000)
	return w
}

// segment builds a packet of the data direction, or of the other one if back is true.
func segment(back bool, seq, ack uint32, payload []byte, sack []uint32) []byte {
	opt := 0
	if len(sack) > 0 {
		opt = 4 + 4*len(sack)
	}
	b := make([]byte, 40+opt, 40+opt+len(payload))
	b = append(b, payload...)
	b[0], b[8], b[9] = 0x45, 64, protoTCP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(b[20:], 40000)
	binary.BigEndian.PutUint16(b[22:], 21)
	if back {
		copy(b[12:], []byte{10, 0, 0, 2, 10, 0, 0, 1})
		binary.BigEndian.PutUint16(b[20:], 21)
		binary.BigEndian.PutUint16(b[22:], 40000)
	}
	binary.BigEndian.PutUint32(b[24:], seq)
	binary.BigEndian.PutUint32(b[28:], ack)
	b[32], b[33] = byte((20+opt)/4<<4), ACK
	if opt > 0 {
		b[40], b[41], b[42], b[43] = optNop, optNop, optSACK, byte(2+4*len(sack))
		for i, v := range sack {
			binary.BigEndian.PutUint32(b[44+4*i:], v)
		}
	}
	var p Packet
	p.Parse(b)
	p.Finish()
	return b
}

// toss puts a packet on a network, or loses or repeats it.
func (w *world) toss(net *[][]byte, b []byte) {
	if w.limited {
		*net = append(*net, b)
		return
	}
	if w.IntN(100) < w.loss {
		return
	}
	*net = append(*net, b)
	if w.IntN(100) < w.loss/3 {
		*net = append(*net, b)
	}
}

// take removes a packet from a network, mostly the oldest.
func (w *world) take(net *[][]byte) []byte {
	i := 0
	if !w.limited && w.IntN(100) < w.reorder {
		i = w.IntN(len(*net))
	}
	b := (*net)[i]
	*net = append((*net)[:i:i], (*net)[i+1:]...)
	return b
}

func (w *world) edge() uint32 { return w.isn + uint32(len(w.data)) }

func (w *world) transmit(seq uint32, n int) {
	off := int(seq - w.isn)
	w.toss(&w.here, segment(false, seq, 1000, w.data[off:off+n], nil))
}

// stepSender sends new data, or repeats from una when nothing has moved for long.
func (w *world) stepSender() {
	left := int(w.edge() - w.nxt)
	n := min(left, 1+w.IntN(w.mss))
	switch {
	case w.idle > 60 && w.una != w.nxt:
		w.idle = 0
		n := min(int(w.nxt-w.una), 1+w.IntN(w.mss*3))
		w.transmit(w.una, n)
	case n > 0 && !(w.nagle && w.una != w.nxt && n < w.mss) && w.nxt-w.una < 4000:
		w.transmit(w.nxt, n)
		w.nxt += uint32(n)
	case w.una != w.nxt && w.IntN(20) == 0:
		// A repetition with other borders.
		from := uint32(w.IntN(int(w.nxt - w.una)))
		n := 1 + w.IntN(int(w.nxt-w.una-from))
		w.transmit(w.una+from, min(n, w.mss*2))
	case w.IntN(60) == 0 && w.una != w.isn:
		w.toss(&w.here, segment(false, w.una-1, 1000, nil, nil)) // keep-alive
	}
}

// randomEdits invents edits of fresh data and notes what a proxy would make of it.
func (w *world) randomEdits(fresh []byte) []Edit {
	var edits []Edit
	at := 0
	if w.plan.swallow && w.IntN(2) == 0 {
		edits = append(edits, Edit{At: 0, Del: len(fresh)})
		return edits
	}
	for at < len(fresh) && w.IntN(100) < w.plan.rate {
		at += w.IntN(len(fresh) - at)
		del := 1 + w.IntN(min(len(fresh)-at, w.plan.maxDel))
		text := make([]byte, w.IntN(w.plan.maxText+1))
		for i := range text {
			text[i] = byte('A' + w.IntN(26))
		}
		edits = append(edits, Edit{At: at, Del: del, Text: text})
		at += del
	}
	return edits
}

func apply(fresh []byte, edits []Edit) []byte {
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(append(out, fresh[at:e.At]...), e.Text...)
		at = e.At + e.Del
	}
	return append(out, fresh[at:]...)
}

// stepReceiver takes a packet and acknowledges.
func (w *world) stepReceiver(b []byte) {
	var p Packet
	p.Parse(b)
	seq, payload := p.Seq(), p.Payload()
	if len(payload) == 0 {
		w.ackDue = true
		return
	}
	if seq-w.rcvNxt == 0 {
		w.ackDue = w.ackDue || w.IntN(3) > 0
	} else {
		w.ackDue = true
	}
	dup := !after(seq+uint32(len(payload)), w.rcvNxt)
	if dup && before(seq, w.rcvNxt) {
		w.noteSACK(seq, seq+uint32(len(payload)))
	}
	for i, c := range payload {
		s := seq + uint32(i)
		if before(s, w.rcvNxt) {
			continue
		}
		if at := int(s - w.isn); at >= len(w.want) || w.want[at] != c {
			w.t.Fatalf("byte %d arrived as %q; a proxy would have sent %q", at, c,
				w.want[min(at, len(w.want)):min(at+1, len(w.want))])
		}
		w.early[s] = c
	}
	if after(seq, w.rcvNxt) {
		w.noteSACK(seq, seq+uint32(len(payload)))
	}
	for {
		c, ok := w.early[w.rcvNxt]
		if !ok {
			break
		}
		delete(w.early, w.rcvNxt)
		w.got = append(w.got, c)
		w.rcvNxt++
	}
}

func (w *world) noteSACK(l, r uint32) {
	w.sack = append([]uint32{l, r}, w.sack...)
	if len(w.sack) > 6 {
		w.sack = w.sack[:6]
	}
}

func (w *world) stepAck() {
	if !w.ackDue && w.IntN(30) > 0 {
		return
	}
	w.ackDue = false
	var blocks []uint32
	for i := 0; i+1 < len(w.sack); i += 2 {
		if i == 0 || after(w.sack[i], w.rcvNxt) {
			blocks = append(blocks, w.sack[i], w.sack[i+1])
		}
	}
	w.sack = nil
	w.toss(&w.backward, segment(true, 1000, w.rcvNxt, nil, blocks))
}

func (w *world) stepHome(b []byte) {
	var p Packet
	p.Parse(b)
	if ack := p.Ack(); after(ack, w.una) {
		if after(ack, w.nxt) {
			w.t.Fatalf("%d is acknowledged, sent is up to %d", ack-w.isn, w.nxt-w.isn)
		}
		w.una, w.idle = ack, 0
	}
}
