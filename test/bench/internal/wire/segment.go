package wire

import (
	"encoding/binary"
	"net/netip"
)

const (
	fin, syn, rst, psh, ack = 0x01, 0x02, 0x04, 0x08, 0x10

	headers = 40    // bytes of an IPv4 and a TCP header without options
	window  = 65535 // bytes; what both ends say they can take
	ttl     = 64
)

// segment writes an IPv4 packet with a TCP segment into b and returns it.
func segment(b []byte, from, to netip.AddrPort, seq, acked uint32, flags byte, payload []byte) []byte {
	b = b[:headers+len(payload)]
	clear(b[:headers])
	src, dst := from.Addr().As4(), to.Addr().As4()
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[6] = 0x40 // do not fragment
	b[8], b[9] = ttl, 6
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	t := b[20:]
	binary.BigEndian.PutUint16(t[0:], from.Port())
	binary.BigEndian.PutUint16(t[2:], to.Port())
	binary.BigEndian.PutUint32(t[4:], seq)
	binary.BigEndian.PutUint32(t[8:], acked)
	t[12], t[13] = 5<<4, flags
	binary.BigEndian.PutUint16(t[14:], window)
	copy(t[20:], payload)
	pseudo := sum(b[12:20], uint32(6+len(t)))
	binary.BigEndian.PutUint16(t[16:], ^fold(sum(t, pseudo)))
	return b // the kernel fills in the header checksum of what comes from a raw socket
}

// sum adds the 16-bit words of b (RFC 1071).
func sum(b []byte, s uint32) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
