package replay

import (
	"encoding/binary"
	"net/netip"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// filled returns the IP packet with zeros for what the capture cut off, in buf, so that its header
// can be read and its length be known; and what of it was captured.
func filled(buf, ip []byte) (packet, kept []byte) {
	total := 0
	switch {
	case len(ip) >= 20 && ip[0]>>4 == 4:
		total = int(binary.BigEndian.Uint16(ip[2:]))
	case len(ip) >= 40 && ip[0]>>4 == 6:
		total = 40 + int(binary.BigEndian.Uint16(ip[4:]))
	}
	if total <= len(ip) {
		return ip, ip
	}
	n := copy(buf[:total], ip)
	clear(buf[n:total])
	return buf[:total], ip
}

// shortened returns a copy of an IP packet that was cut, with a length that fits what is left.
func shortened(ip []byte) []byte {
	b := append([]byte(nil), ip...)
	if b[0]>>4 == 4 {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	} else {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	}
	return b
}

// readdressed returns a copy of a TCP packet as it arrives at the gateway, with tuple t. Checksums
// are stale: nothing looks at them here. An IPv6 packet with extension headers is not changed.
func readdressed(ip []byte, t conntrack.Tuple) []byte {
	b := append([]byte(nil), ip...)
	at, tcp := 12, int(b[0]&0x0f)*4
	if b[0]>>4 == 6 {
		if b[6] != 6 {
			return b
		}
		at, tcp = 8, 40
	}
	n := copy(b[at:], t.Src.Addr().AsSlice())
	copy(b[at+n:], t.Dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[tcp:], t.Src.Port())
	binary.BigEndian.PutUint16(b[tcp+2:], t.Dst.Port())
	return b
}

// mark is what of a packet stays as it is when a router translates and forwards it.
type mark struct {
	seq, ack uint32
	flags    byte
	id       uint32 // IPv4 identification or IPv6 flow label
	payload  int    // bytes
}

func markOf(p *rewrite.Packet, ip []byte) (m mark, hops byte) {
	m = mark{seq: p.Seq(), ack: p.Ack(), flags: p.Flags(), payload: len(p.Payload())}
	if p.IPv6() {
		m.id = binary.BigEndian.Uint32(ip) & 0xfffff
		return m, ip[7]
	}
	m.id = uint32(binary.BigEndian.Uint16(ip[4:]))
	return m, ip[8]
}

func tupleOf(p *rewrite.Packet) conntrack.Tuple { return conntrack.Tuple{Src: p.Src(), Dst: p.Dst()} }

// shareEnd tells whether two tuples have an end in common, as those of a connection before and
// after one translation have, at least in the server's port.
func shareEnd(a, b conntrack.Tuple) bool {
	return a.Src == b.Src || a.Dst == b.Dst || portOf(a.Dst) == portOf(b.Dst) ||
		portOf(a.Src) == portOf(b.Src)
}

func portOf(a netip.AddrPort) uint16 { return a.Port() }
