package rewrite

// Sizes, in bytes, that every path carries (RFC 791 section 3.2, RFC 8200 section 5).
const (
	alwaysFits4 = 576
	alwaysFits6 = 1280
)

// Emit appends to dst the packet that must leave us in place of p and
// returns true, or returns false where p may leave as it is.
//
// A packet is never made longer than it was or than every path carries: the
// tail that does not fit stays unacknowledged, and the sender repeats it.
func (c *Conn) Emit(dst []byte, dir Dir, p *Packet) ([]byte, bool) {
	send, recv := &c.half[dir], &c.half[dir.Opposite()]
	if send.leaves(p) && recv.acknowledged(p) {
		return dst, false
	}
	payload, flags := p.Payload(), p.Flags()
	if st := &send.stream; flags&SYN == 0 && st.knows(p.Seq()) &&
		after(p.Seq()+uint32(len(payload)), st.edge) {
		payload, flags = payload[:max(0, int32(st.edge-p.Seq()))], flags&^FIN // what was not taken
	}
	out, final := send.final(p.Seq(), payload, flags&SYN != 0)
	seq := final - uint32(send.carried)
	if room := maxLen(p) - p.HeaderLen(); len(out) > room {
		out, flags = out[:room], flags&^FIN
	}
	ack, sack := recv.acknowledgement(p)
	if seq == p.Seq() && ack == p.Ack() && string(out) == string(p.Payload()) &&
		!recv.sackChanges(sack) {
		return dst, false
	}
	dst, q := p.AppendChanged(dst, seq, ack, flags, out)
	if sack != nil {
		recv.translateSACK(findOption(q.options(), optSACK))
	}
	if flags&URG != 0 && send.stream.knows(p.Seq()) {
		q.setUrgent(uint16(send.stream.Final(p.Seq()+uint32(p.urgent())) - final))
	}
	c.changed(&q)
	return dst, true
}

// probeBack is how many bytes before a packet, or before what is not acknowledged, its probe is: where
// nothing is known more than will be in flight, so that the receiver has had what is there, or takes it
// for a repetition.
const probeBack = 1 << 16

// Probe appends to dst a packet in place of p that asks its receiver
// what it has: one old byte, like a keep-alive (RFC 9293 section 3.8.4). It is
// acknowledged and thrown away, and the sender of p repeats p.
func (c *Conn) Probe(dst []byte, dir Dir, p *Packet) []byte {
	send, recv := &c.half[dir], &c.half[dir.Opposite()]
	ack, sack := recv.acknowledgement(p)
	at := p.Seq()
	if known := send.stream.Original(send.stream.acked); !send.unsure && after(at, known) {
		at = known
	}
	dst, q := p.AppendChanged(dst, at-probeBack, ack, p.Flags()&^(FIN|PSH|URG), []byte{0})
	if sack != nil {
		recv.translateSACK(findOption(q.options(), optSACK))
	}
	c.changed(&q)
	return dst
}

func maxLen(p *Packet) int {
	if p.v6 {
		return max(p.Len(), alwaysFits6)
	}
	return max(p.Len(), alwaysFits4)
}
