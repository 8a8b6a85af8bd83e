package sim

import (
	"encoding/binary"
	"slices"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Segment is a TCP segment on a network.
type Segment struct {
	Seq, Ack uint32
	Flags    byte // beside ACK
	Data     []byte
	SACK     []byte // the option with what pads it to a multiple of four bytes; nil: none
}

// Packet returns the IPv4 packet of s with the tuple t.
func Packet(t conntrack.Tuple, s Segment) []byte {
	b := make([]byte, 40, 40+len(s.SACK)+len(s.Data))
	b = append(append(b, s.SACK...), s.Data...)
	b[0], b[8], b[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], t.Src.Addr().AsSlice())
	copy(b[16:], t.Dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[20:], t.Src.Port())
	binary.BigEndian.PutUint16(b[22:], t.Dst.Port())
	binary.BigEndian.PutUint32(b[24:], s.Seq)
	binary.BigEndian.PutUint32(b[28:], s.Ack)
	b[32], b[33] = byte(5+len(s.SACK)/4)<<4, s.Flags|rewrite.ACK
	var p rewrite.Packet
	p.Parse(b)
	p.Finish()
	return b
}

// segmentOf copies what an end sees of a packet. Its SACK option is left out: the ends look at
// acknowledgements only.
func segmentOf(p *rewrite.Packet) Segment {
	return Segment{
		Seq: p.Seq(), Ack: p.Ack(), Flags: p.Flags() &^ rewrite.ACK, Data: slices.Clone(p.Payload()),
	}
}

// sackOption reports the bytes from left to right (RFC 2018).
func sackOption(left, right uint32) []byte {
	o := []byte{1, 1, 5, 10}
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(o, left), right)
}

// after compares sequence numbers modulo 2^32 (RFC 9293 section 3.4).
func after(a, b uint32) bool { return int32(a-b) > 0 }
