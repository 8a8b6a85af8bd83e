package rewrite_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/ftpalg/ftpalg/rewrite"
)

// segment returns a packet from 192.0.2.1 to 198.51.100.1.
func segment(seq, ack uint32, payload string) []byte {
	src, dst := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	b := make([]byte, 40, 40+len(payload))
	b[0], b[8], b[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(b[2:], uint16(40+len(payload)))
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(b[20:], 40000)
	binary.BigEndian.PutUint16(b[22:], 21)
	binary.BigEndian.PutUint32(b[24:], seq)
	binary.BigEndian.PutUint32(b[28:], ack)
	b[32], b[33] = 5<<4, rewrite.ACK
	b = append(b, payload...)
	var p rewrite.Packet
	p.Parse(b)
	p.Finish()
	return b
}

// A word of a stream grows. Its repetition, with other borders, gives the same bytes again.
func ExampleConn() {
	var conn rewrite.Conn
	conn.Begin(1000, 5000)
	room := rewrite.Room{MaxPackets: 64, MaxBytes: 1 << 20}
	for _, raw := range [][]byte{
		segment(1000, 5000, "hello world\n"),
		segment(1012, 5000, "again\n"),
		segment(1006, 5000, "world\nagain\n"), // lost on its way, and repeated
	} {
		var p, out rewrite.Packet
		p.Parse(raw)
		arrival := conn.Receive(rewrite.Original, &p, &room)
		if len(arrival.New) > 0 {
			var edits []rewrite.Edit
			if string(arrival.New) == "hello world\n" {
				edits = append(edits, rewrite.Edit{At: 6, Del: 5, Text: []byte("universe")})
			}
			conn.Take(rewrite.Original, arrival.New, edits)
		}
		kept := conn.Keep() // is to be stored before the packet leaves
		if b, changed := conn.Emit(nil, rewrite.Original, &p); changed {
			raw = b
		}
		out.Parse(raw)
		fmt.Printf("%d %q, %d bytes longer in flight\n", out.Seq(), out.Payload(), kept.Mark[0].Grown)
	}
	// Output:
	// 1000 "hello universe\n", 3 bytes longer in flight
	// 1015 "again\n", 3 bytes longer in flight
	// 1006 "universe\nagain\n", 3 bytes longer in flight
}
