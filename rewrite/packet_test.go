package rewrite

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// ip4 is an IPv4 packet around a TCP segment.
func ip4(tcp []byte) []byte {
	b := append([]byte{0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protoTCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}, tcp...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// ip6 is an IPv6 packet with extension headers, of which next is the first, around a TCP segment.
func ip6(next byte, ext, tcp []byte) []byte {
	b := make([]byte, 40)
	b[0], b[6], b[7] = 0x60, next, 64
	copy(b[8:], netip.MustParseAddr("2001:db8::1").AsSlice())
	copy(b[24:], netip.MustParseAddr("2001:db8::2").AsSlice())
	b = append(append(b, ext...), tcp...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

// tcp is a segment from port 40000 to 21.
func tcp(flags byte, options, payload []byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, 40000)
	binary.BigEndian.PutUint16(b[2:], 21)
	binary.BigEndian.PutUint32(b[4:], 1000)
	binary.BigEndian.PutUint32(b[8:], 2000)
	b[12], b[13] = byte(5+len(options)/4)<<4, flags
	return append(append(b, options...), payload...)
}

func set(b []byte, at int, v ...byte) []byte {
	b = slices.Clone(b)
	copy(b[at:], v)
	return b
}

func TestPacketParse(t *testing.T) {
	seg := tcp(ACK|PSH, nil, []byte("NOOP\r\n"))
	plain4, plain6 := ip4(seg), ip6(protoTCP, nil, seg)
	hop, dest := []byte{60, 0, 1, 4, 0, 0, 0, 0}, []byte{protoTCP, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0}
	auth := []byte{protoTCP, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	withOptions4 := set(slices.Concat(plain4[:20], []byte{1, 1, 1, 1}, plain4[20:]), 0, 0x46, 0, 0,
		byte(len(plain4)+4))
	for _, c := range []struct {
		name    string
		b       []byte
		payload string // "-": not to be parsed
	}{
		{"IPv4", plain4, "NOOP\r\n"},
		{"IPv4 with padding behind", append(slices.Clone(plain4), 0, 0, 0), "NOOP\r\n"},
		{"IPv4 with options", withOptions4, "NOOP\r\n"},
		{"IPv4 without payload", ip4(tcp(ACK, nil, nil)), ""},
		{"IPv6", plain6, "NOOP\r\n"},
		{"IPv6 with padding behind", append(slices.Clone(plain6), 0, 0, 0), "NOOP\r\n"},
		// RFC 8200 section 4.1
		{"IPv6 with hop-by-hop and destination options", ip6(0, append(hop, dest...), seg), "NOOP\r\n"},
		{"IPv6 with a routing header", ip6(43, []byte{protoTCP, 0, 0, 0, 0, 0, 0, 0}, seg), "NOOP\r\n"},
		// RFC 4302: 4-byte units less 2
		{"IPv6 with an authentication header", ip6(51, auth, seg), "NOOP\r\n"},
		{"TCP options", ip4(tcp(ACK, []byte{1, 1, 1, 0}, []byte("x"))), "x"},
		{"nothing", nil, "-"},
		{"one byte", []byte{0x45}, "-"},
		{"IP version 5", set(plain4, 0, 0x55), "-"},
		{"IPv4 header of 16 bytes", set(plain4, 0, 0x44), "-"},
		{"IPv4 header longer than the packet", set(plain4[:40], 0, 0x4f, 0, 0, 40), "-"},
		{"IPv4 length beyond the bytes", plain4[:len(plain4)-1], "-"},
		{"IPv4 length within the header", set(plain4, 2, 0, 19), "-"},
		{"UDP", set(plain4, 9, 17), "-"},
		{"first fragment", set(plain4, 6, 0x20, 0), "-"},
		{"later fragment", set(plain4, 6, 0, 1), "-"},
		{"last fragment", set(plain4, 6, 0x1f, 0xff), "-"},
		{"TCP header cut", ip4(seg[:19]), "-"},
		{"data offset below 20", ip4(set(seg, 12, 4<<4)), "-"},
		{"data offset beyond the packet", ip4(set(seg, 12, 15<<4)), "-"},
		{"IPv6 header cut", plain6[:39], "-"},
		{"IPv6 length beyond the bytes", plain6[:len(plain6)-1], "-"},
		{"IPv6 jumbogram", set(plain6, 4, 0, 0), "-"}, // RFC 2675
		{"IPv6 UDP", set(plain6, 6, 17), "-"},
		{"IPv6 fragment", ip6(44, []byte{protoTCP, 0, 0, 1, 0, 0, 0, 9}, seg), "-"},
		{"IPv6 ESP", ip6(50, nil, seg), "-"},
		{"IPv6 no next header", ip6(59, nil, seg), "-"},
		{"IPv6 extension beyond the packet", ip6(0, []byte{protoTCP, 255, 0, 0, 0, 0, 0, 0}, seg), "-"},
		{"IPv6 extension cut", ip6(0, []byte{protoTCP, 0, 0, 0}, nil), "-"},
		{"IPv6 extensions without end", ip6(0, bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 0}, 20), nil), "-"},
	} {
		var p Packet
		ok := p.Parse(c.b)
		if ok != (c.payload != "-") {
			t.Errorf("%s: parsed: %v", c.name, ok)
			continue
		}
		if ok && (string(p.Payload()) != c.payload || p.Src().Port() != 40000 || p.Dst().Port() != 21 ||
			p.Seq() != 1000 || p.Ack() != 2000 || p.IPv6() != (c.b[0]>>4 == 6) ||
			p.HeaderLen()+len(c.payload) != p.Len()) {
			t.Errorf("%s: %v to %v, %d, %d, %q", c.name, p.Src(), p.Dst(), p.Seq(), p.Ack(), p.Payload())
		}
	}
}

func TestOptionsAreFoundWhateverStandsAround(t *testing.T) {
	block := []byte{0, 0, 0, 1, 0, 0, 0, 9}
	for _, c := range []struct {
		name    string
		options []byte
		signed  bool
		sack    []byte
	}{
		{"none", nil, false, nil},
		{"timestamps", []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, false, nil},
		{"SACK behind timestamps", append([]byte{8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 1, 1, 5, 10},
			block...), false, block},
		{"SACK of half a block", []byte{5, 6, 0, 0, 0, 1, 1, 1}, false, []byte{}},
		{"SACK of one and a half", append([]byte{5, 14}, append(block, 9, 9, 9, 9, 1, 1)...), false, block},
		{"MD5", append([]byte{19, 18}, make([]byte, 18)...), true, nil}, // RFC 2385
		{"AO", []byte{29, 4, 1, 1}, true, nil},                          // RFC 5925
		{"MD5 behind the end", []byte{0, 19, 2, 0}, false, nil},
		{"MD5 within another", []byte{254, 4, 19, 2}, false, nil},
		{"length 0", []byte{5, 0, 19, 2}, false, nil},
		{"length 1", []byte{5, 1, 19, 2}, false, nil},
		{"length beyond the header", []byte{1, 1, 5, 10}, false, nil},
		{"kind in the last byte", []byte{1, 1, 1, 19}, false, nil},
	} {
		var p Packet
		if !p.Parse(ip4(tcp(ACK, c.options, []byte("x")))) {
			t.Fatalf("%s: not parsed", c.name)
		}
		if p.Signed() != c.signed || !bytes.Equal(p.SACK(), c.sack) || (p.SACK() == nil) != (c.sack == nil) {
			t.Errorf("%s: signed %v, SACK % x", c.name, p.Signed(), p.SACK())
		}
	}
}

// RFC 1071 sums, against the definition: the ones' complement sum over everything is all ones.
func checkSums(t *testing.T, p *Packet) {
	t.Helper()
	naive := func(parts ...[]byte) uint16 {
		var s uint32
		for _, b := range parts {
			for i := 0; i < len(b); i += 2 {
				w := uint32(b[i]) << 8
				if i+1 < len(b) {
					w |= uint32(b[i+1])
				}
				if s += w; s > 0xffff {
					s -= 0xffff
				}
			}
		}
		return uint16(s)
	}
	seg := p.raw[p.tcp:]
	n := len(seg)
	addrs := p.raw[12:20]
	if p.v6 {
		addrs = p.raw[8:40]
	} else if naive(p.raw[:p.tcp]) != 0xffff {
		t.Fatalf("the IPv4 header's checksum is wrong: % x", p.raw[:p.tcp])
	}
	if naive(addrs, []byte{0, protoTCP, byte(n >> 8), byte(n)}, seg) != 0xffff || !p.ChecksumOK() {
		t.Fatalf("the TCP checksum is wrong: % x", p.raw)
	}
}

func FuzzPacket(f *testing.F) {
	seg := tcp(ACK, append([]byte{1, 1, 5, 10}, 0, 0, 0, 1, 0, 0, 0, 9), []byte("PORT 1,2,3,4,5,6\r\n"))
	f.Add(ip4(seg), []byte("EPRT"))
	f.Add(ip6(protoTCP, nil, seg), []byte(nil))
	f.Add(ip6(0, []byte{protoTCP, 0, 1, 4, 0, 0, 0, 0}, seg), []byte("odd"))
	f.Add(ip4(tcp(ACK|URG|FIN, []byte{19, 2, 0, 0}, nil)), []byte("x"))
	f.Fuzz(func(t *testing.T, b, payload []byte) {
		var p Packet
		had := slices.Clone(b)
		if !p.Parse(b) {
			return
		}
		if p.Len() > len(b) || p.HeaderLen() < 40 || p.HeaderLen()+len(p.Payload()) != p.Len() ||
			len(p.SACK())%sackUnit != 0 {
			t.Fatalf("%d of %d bytes, header %d", p.Len(), len(b), p.HeaderLen())
		}
		p.Signed()
		if len(payload) > 60000-p.HeaderLen() {
			return
		}
		out, q := p.AppendChanged([]byte("before"), 7, 8, FIN|ACK, payload)
		q.Finish()
		checkSums(t, &q)
		var r Packet
		if string(out[:6]) != "before" || !r.Parse(out[6:]) || !bytes.Equal(r.Payload(), payload) ||
			r.Seq() != 7 || r.Ack() != 8 || r.Flags() != FIN|ACK || r.Src() != p.Src() ||
			r.Dst() != p.Dst() ||
			!bytes.Equal(r.options(), p.options()) {
			t.Fatalf("% x was changed to % x", b, out[6:])
		}
		if !bytes.Equal(b, had) {
			t.Fatal("the packet itself was changed")
		}
		meetStreams(t, &p)
	})
}

// meetStreams passes the packet through streams: any may meet any.
func meetStreams(t *testing.T, p *Packet) {
	var c Conn
	c.half[Original].stream.Start(p.Seq(), 3)
	c.Take(Original, p.Payload(), nil)
	c.half[Reply].begin(p.Ack() - 5)
	c.Take(Reply, []byte("12345"), []Edit{{At: 1, Del: 2, Text: []byte("abcdef")}})
	var r Packet
	if out, changed := c.Emit(nil, Original, p); changed && p.Len() < 60000 {
		if !r.Parse(out) {
			t.Fatalf("% x was translated to % x", p.raw, out)
		}
		checkSums(t, &r)
	}
}
