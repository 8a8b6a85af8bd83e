package rewrite

import (
	"encoding/binary"
	"net/netip"
)

// TCP header flags (RFC 9293 section 3.1).
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

const (
	protoTCP = 6

	optEnd       = 0
	optNop       = 1
	optSACK      = 5
	optTimestamp = 8  // RFC 7323
	optMD5       = 19 // RFC 2385
	optAO        = 29 // RFC 5925
	sackUnit     = 8
)

// Packet is a view of an IP packet that carries TCP. It is filled by Parse and
// can be used again; it never copies.
type Packet struct {
	raw  []byte // the packet, cut to its IP length
	v6   bool
	tcp  int // offset of the TCP header
	data int // offset of the payload
}

// Parse fills p from the bytes of an IPv4 or IPv6 packet, which p keeps. It
// returns false, and p must not be used, where there is no whole TCP header: another
// protocol, a fragment that is not the first, a truncated packet.
func (p *Packet) Parse(b []byte) bool {
	*p = Packet{}
	if len(b) < 20 {
		return false
	}
	switch b[0] >> 4 {
	case 4:
		ihl := int(b[0]&0x0f) * 4
		total := int(binary.BigEndian.Uint16(b[2:]))
		if ihl < 20 || total > len(b) || total < ihl || b[9] != protoTCP ||
			binary.BigEndian.Uint16(b[6:])&0x3fff != 0 { // fragment offset or more fragments
			return false
		}
		p.raw, p.tcp = b[:total], ihl
	case 6:
		if len(b) < 40 {
			return false
		}
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if total > len(b) || total == 40 {
			return false
		}
		off, ok := ip6Payload(b[:total])
		if !ok {
			return false
		}
		p.raw, p.v6, p.tcp = b[:total], true, off
	default:
		return false
	}
	if p.tcp+20 > len(p.raw) {
		return false
	}
	doff := int(p.raw[p.tcp+12]>>4) * 4
	p.data = p.tcp + doff
	return doff >= 20 && p.data <= len(p.raw)
}

// ip6Payload walks the extension headers (RFC 8200 section 4) to TCP.
func ip6Payload(b []byte) (int, bool) {
	next, off := b[6], 40
	for {
		switch next {
		case protoTCP:
			return off, true
		case 0, 43, 60: // hop-by-hop, routing, destination options
			if off+8 > len(b) {
				return 0, false
			}
			next, off = b[off], off+8+int(b[off+1])*8
		case 51: // authentication header: length in 4-byte units less 2
			if off+8 > len(b) {
				return 0, false
			}
			next, off = b[off], off+8+int(b[off+1])*4
		default:
			return 0, false
		}
		if off > len(b) {
			return 0, false
		}
	}
}

// Src returns the packet's source address and TCP port.
func (p *Packet) Src() netip.AddrPort { return p.endpoint(0) }

// Dst returns the packet's destination address and TCP port.
func (p *Packet) Dst() netip.AddrPort { return p.endpoint(1) }

// Key returns both addresses, in 16 bytes each (IPv4 mapped), both ports, and the zone in which the packet
// is tracked: its tuple for maps.
func (p *Packet) Key(zone uint16) (k [38]byte) {
	if p.v6 {
		copy(k[:32], p.raw[8:40])
	} else {
		k[10], k[11], k[26], k[27] = 0xff, 0xff, 0xff, 0xff
		copy(k[12:16], p.raw[12:16])
		copy(k[28:32], p.raw[16:20])
	}
	copy(k[32:], p.raw[p.tcp:p.tcp+4])
	k[36], k[37] = byte(zone>>8), byte(zone)
	return k
}

func (p *Packet) endpoint(which int) netip.AddrPort {
	port := binary.BigEndian.Uint16(p.raw[p.tcp+2*which:])
	if p.v6 {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(p.raw[8+16*which:])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(p.raw[12+4*which:])), port)
}

// Seq returns the sequence number as it is in the packet.
func (p *Packet) Seq() uint32 { return binary.BigEndian.Uint32(p.raw[p.tcp+4:]) }

// Ack returns the acknowledgement number; it means something only with the ACK flag.
func (p *Packet) Ack() uint32 { return binary.BigEndian.Uint32(p.raw[p.tcp+8:]) }

// Flags returns the TCP flags FIN to URG.
func (p *Packet) Flags() byte { return p.raw[p.tcp+13] & 0x3f }

// Payload returns the TCP payload; it aliases the packet.
func (p *Packet) Payload() []byte { return p.raw[p.data:] }

// Len returns the length of the IP packet in bytes.
func (p *Packet) Len() int { return len(p.raw) }

// HeaderLen returns the length of the IP and TCP headers in bytes.
func (p *Packet) HeaderLen() int { return p.data }

// IPv6 tells whether the packet is IPv6.
func (p *Packet) IPv6() bool { return p.v6 }

func (p *Packet) options() []byte { return p.raw[p.tcp+20 : p.data] }

// Signed tells whether the segment carries a TCP MD5 or AO signature: it cannot
// be changed without being rejected by the receiver.
func (p *Packet) Signed() bool {
	return findOption(p.options(), optMD5) != nil || findOption(p.options(), optAO) != nil
}

// SACK returns the bytes of the blocks of the SACK option (RFC 2018 section 3),
// a multiple of 8, or nil; they alias the packet.
func (p *Packet) SACK() []byte {
	o := findOption(p.options(), optSACK)
	if o == nil {
		return nil
	}
	return o[2 : 2+(len(o)-2)/sackUnit*sackUnit]
}

// findOption returns the whole option of this kind, or nil.
func findOption(o []byte, kind byte) []byte {
	for len(o) > 0 {
		switch {
		case o[0] == optEnd:
			return nil
		case o[0] == optNop:
			o = o[1:]
		case len(o) < 2 || o[1] < 2 || int(o[1]) > len(o):
			return nil
		case o[0] == kind:
			return o[:o[1]]
		default:
			o = o[o[1]:]
		}
	}
	return nil
}

// AppendChanged appends to dst a copy of the packet with another payload, sequence
// and acknowledgement number and flags, its IP length adjusted, and returns it
// with the view of the copy. Checksums are stale until Finish.
func (p *Packet) AppendChanged(dst []byte, seq, ack uint32, flags byte, payload []byte) ([]byte, Packet) {
	start := len(dst)
	dst = append(dst, p.raw[:p.data]...)
	dst = append(dst, payload...)
	out := Packet{raw: dst[start:], v6: p.v6, tcp: p.tcp, data: p.data}
	binary.BigEndian.PutUint32(out.raw[p.tcp+4:], seq)
	binary.BigEndian.PutUint32(out.raw[p.tcp+8:], ack)
	out.raw[p.tcp+13] = p.raw[p.tcp+13]&0xc0 | flags
	if p.v6 {
		binary.BigEndian.PutUint16(out.raw[4:], uint16(len(out.raw)-40))
	} else {
		binary.BigEndian.PutUint16(out.raw[2:], uint16(len(out.raw)))
	}
	return dst, out
}

// urgent returns the urgent pointer, an offset from Seq.
func (p *Packet) urgent() uint16 { return binary.BigEndian.Uint16(p.raw[p.tcp+18:]) }

func (p *Packet) setUrgent(v uint16) { binary.BigEndian.PutUint16(p.raw[p.tcp+18:], v) }

// Finish computes the IPv4 header and the TCP checksum anew.
func (p *Packet) Finish() {
	if !p.v6 {
		p.raw[10], p.raw[11] = 0, 0
		binary.BigEndian.PutUint16(p.raw[10:], ^fold(sum(0, p.raw[:p.tcp])))
	}
	seg := p.raw[p.tcp:]
	seg[16], seg[17] = 0, 0
	binary.BigEndian.PutUint16(seg[16:], ^fold(sum(p.pseudoSum(), seg)))
}

// ChecksumOK tells whether the TCP checksum is right.
func (p *Packet) ChecksumOK() bool { return fold(sum(p.pseudoSum(), p.raw[p.tcp:])) == 0xffff }

// pseudoSum is the sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).
func (p *Packet) pseudoSum() uint64 {
	addrs := p.raw[12:20]
	if p.v6 {
		addrs = p.raw[8:40]
	}
	return sum(protoTCP+uint64(len(p.raw)-p.tcp), addrs)
}

// sum adds b to a ones' complement sum (RFC 1071) as 16-bit big-endian words.
func sum(acc uint64, b []byte) uint64 {
	for len(b) >= 4 {
		acc += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		acc += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		acc += uint64(b[0]) << 8
	}
	return acc
}

func fold(acc uint64) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}
