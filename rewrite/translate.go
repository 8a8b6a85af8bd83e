package rewrite

import "encoding/binary"

// Half is one direction of a connection: its stream, and what the kernel adds
// to its packets after they leave us.
type Half struct {
	Stream Stream
	Kernel Offset
}

// Sizes, in bytes, that every path carries (RFC 791 section 3.2, RFC 8200 section 5).
const (
	alwaysFits4 = 576
	alwaysFits6 = 1280
)

// Translate appends to dst the packet that must leave us in place of p and
// returns true, or returns false where p may leave as it is. p travels in the direction
// of send, whose stream has taken its payload; its acknowledgement is for recv.
//
// A packet is never made longer than it was or than every path carries: the
// tail that does not fit stays unacknowledged, and the sender repeats it.
func Translate(dst []byte, p *Packet, send, recv *Half) ([]byte, bool) {
	payload, flags := p.Payload(), p.Flags()
	out, final := payload, p.Seq()+uint32(send.Kernel.At(p.Seq()))
	if flags&SYN == 0 && send.Stream.knows(p.Seq()) {
		out, final = send.Stream.Emit(p.Seq(), payload)
	}
	seq, lower, ok := send.Kernel.Seq(final)
	if !ok {
		out, final = send.expressible(out, final, lower)
		seq, _, _ = send.Kernel.Seq(final)
	}
	if room := maxLen(p) - p.HeaderLen(); len(out) > room {
		out, flags = out[:room], flags&^FIN
	}

	ack, sack := recv.acknowledgement(p)
	if seq == p.Seq() && ack == p.Ack() && len(out) == len(payload) && string(out) == string(payload) && !recv.sackChanges(sack) {
		return dst, false
	}

	dst, q := p.AppendChanged(dst, seq, ack, flags, out)
	if sack != nil {
		recv.translateSACK(findOption(q.options(), optSACK))
	}
	if flags&URG != 0 && send.Stream.knows(p.Seq()) {
		q.setUrgent(uint16(send.Stream.Final(p.Seq()+uint32(p.urgent())) - final))
	}
	q.Finish()
	return dst, true
}

// probeBack is how many bytes before a packet its probe is: more than can be in flight, so
// that the receiver has had what is there, or takes it for a repetition.
const probeBack = 1 << 16

// Probe appends to dst a packet in place of p, whose acknowledgement is for recv, that asks its receiver
// what it has: one old byte, like a keep-alive (RFC 9293 section 3.8.4). It is
// acknowledged and thrown away, and the sender of p repeats p.
func Probe(dst []byte, p *Packet, recv *Half) []byte {
	ack, sack := recv.acknowledgement(p)
	dst, q := p.AppendChanged(dst, p.Seq()-probeBack, ack, p.Flags()&^(FIN|PSH|URG), []byte{0})
	if sack != nil {
		recv.translateSACK(findOption(q.options(), optSACK))
	}
	q.Finish()
	return dst
}

// acknowledgement returns the number and the SACK option, nil if there is none to
// translate, with which p's acknowledgement must leave us.
func (h *Half) acknowledgement(p *Packet) (ack uint32, sack []byte) {
	ack = p.Ack()
	if p.Flags()&ACK == 0 || !h.Stream.Started() {
		return ack, nil
	}
	ack, _ = h.Kernel.Ack(h.Stream.Original(ack))
	return ack, p.SACK()
}

// expressible moves the start of a segment out of the hole that a growing edit
// tears in what the kernel can say: to lower, before it, while that is
// remembered; else everything in the hole is acknowledged already and is left out.
func (h *Half) expressible(out []byte, final, lower uint32) ([]byte, uint32) {
	if longer, ok := h.Stream.EmitFrom(lower, out, final); ok {
		return longer, lower
	}
	higher := h.Kernel.Pos + uint32(h.Kernel.After) + 1
	if skip := higher - final; skip < uint32(len(out)) {
		return out[skip:], higher
	}
	return out, lower
}

func maxLen(p *Packet) int {
	if p.v6 {
		return max(p.Len(), alwaysFits6)
	}
	return max(p.Len(), alwaysFits4)
}

// block translates the SACK block at b for the kernel to finish.
func (h *Half) block(b []byte) (l, r uint32, ok bool) {
	l, r, ok = h.Stream.Block(binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]))
	if !ok {
		return 0, 0, false
	}
	l, okL := h.Kernel.Ack(l)
	r, okR := h.Kernel.Ack(r)
	return l, r, okL && okR
}

func (h *Half) sackChanges(blocks []byte) bool {
	for b := blocks; len(b) >= sackUnit; b = b[sackUnit:] {
		if l, r, ok := h.block(b); !ok || l != binary.BigEndian.Uint32(b) || r != binary.BigEndian.Uint32(b[4:]) {
			return true
		}
	}
	return false
}

// translateSACK rewrites a SACK option in place. A block of which nothing
// certain can be said is left out, and the room filled with no-operations.
func (h *Half) translateSACK(opt []byte) {
	kept := 2
	for b := opt[2:]; len(b) >= sackUnit; b = b[sackUnit:] {
		if l, r, ok := h.block(b); ok {
			binary.BigEndian.PutUint32(opt[kept:], l)
			binary.BigEndian.PutUint32(opt[kept+4:], r)
			kept += sackUnit
		}
	}
	if opt[1] = byte(kept); kept == 2 {
		kept = 0
	}
	for i := kept; i < len(opt); i++ {
		opt[i] = optNop
	}
}
