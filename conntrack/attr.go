package conntrack

import (
	"encoding/binary"
	"net/netip"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// encoder writes the netlink messages of one datagram into a buffer that is kept
// for the next one. Headers are in host byte order, all nfnetlink payload is big
// endian (include/uapi/linux/netlink.h, nfnetlink.h).
type encoder struct {
	b  []byte
	at int // where the message under way begins
}

const (
	genmsgLen = 4 // struct nfgenmsg
	headerLen = unix.NLMSG_HDRLEN + genmsgLen
)

// start begins a datagram and its first message; family is the nfgen_family, an AF_
// number.
func (e *encoder) start(typ, flags uint16, seq uint32, family uint8) {
	e.b = e.b[:0]
	e.add(typ, flags, seq, family)
}

// add begins another message behind the one that was finished.
func (e *encoder) add(typ, flags uint16, seq uint32, family uint8) {
	e.at = len(e.b)
	var h [headerLen]byte
	binary.NativeEndian.PutUint16(h[4:], typ)
	binary.NativeEndian.PutUint16(h[6:], flags)
	binary.NativeEndian.PutUint32(h[8:], seq)
	h[16] = family // version 0 and res_id 0 follow
	e.b = append(e.b, h[:]...)
}

// finish writes the length of the message and returns the datagram.
func (e *encoder) finish() []byte {
	binary.NativeEndian.PutUint32(e.b[e.at:], uint32(len(e.b)-e.at))
	return e.b
}

// nest opens a nested attribute; give the result to end.
func (e *encoder) nest(typ uint16) int {
	at := len(e.b)
	e.header(typ|unix.NLA_F_NESTED, 0)
	return at
}

func (e *encoder) end(at int) {
	binary.NativeEndian.PutUint16(e.b[at:], uint16(len(e.b)-at))
}

func (e *encoder) header(typ uint16, size int) {
	e.b = binary.NativeEndian.AppendUint16(e.b, uint16(unix.SizeofNlAttr+size))
	e.b = binary.NativeEndian.AppendUint16(e.b, typ)
}

func (e *encoder) bytes(typ uint16, v []byte) {
	e.header(typ, len(v))
	e.b = append(e.b, v...)
	for len(e.b)%4 != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) u8(typ uint16, v uint8) { e.bytes(typ, []byte{v}) }

func (e *encoder) u16(typ uint16, v uint16) {
	e.bytes(typ, []byte{byte(v >> 8), byte(v)})
}

func (e *encoder) u32(typ uint16, v uint32) {
	e.header(typ, 4)
	e.b = binary.BigEndian.AppendUint32(e.b, v)
}

// str writes a string with its NUL: the kernel compares names including it.
func (e *encoder) str(typ uint16, s string) {
	e.header(typ, len(s)+1)
	e.b = append(e.b, s...)
	e.b = append(e.b, 0)
	for len(e.b)%4 != 0 {
		e.b = append(e.b, 0)
	}
}

// tuple writes a nested tuple of TCP. Both addresses must be of one family.
func (e *encoder) tuple(typ uint16, t Tuple) {
	e.tupleOf(typ, t, unix.IPPROTO_TCP)
}

func (e *encoder) tupleOf(typ uint16, t Tuple, proto uint8) {
	at := e.nest(typ)
	e.addresses(t, proto)
	e.end(at)
}

func (e *encoder) addresses(t Tuple, proto uint8) {
	ip := e.nest(ctaTupleIP)
	e.addr(ctaIPv4Src, ctaIPv6Src, t.Src.Addr())
	e.addr(ctaIPv4Dst, ctaIPv6Dst, t.Dst.Addr())
	e.end(ip)
	l4 := e.nest(ctaTupleProto)
	e.u8(ctaProtoNum, proto)
	e.u16(ctaProtoSrcPort, t.Src.Port())
	e.u16(ctaProtoDstPort, t.Dst.Port())
	e.end(l4)
}

func (e *encoder) addr(v4, v6 uint16, a netip.Addr) {
	if a.Is4() {
		b := a.As4()
		e.bytes(v4, b[:])
		return
	}
	b := a.As16()
	e.bytes(v6, b[:])
}

// parseTuple reads a nested tuple. What is missing stays invalid or zero.
func parseTuple(b []byte) Tuple {
	ip, l4 := nlread.Attr(b, ctaTupleIP), nlread.Attr(b, ctaTupleProto)
	src, dst := nlread.U16(nlread.Attr(l4, ctaProtoSrcPort)), nlread.U16(nlread.Attr(l4, ctaProtoDstPort))
	return Tuple{
		Src: netip.AddrPortFrom(parseAddr(ip, ctaIPv4Src, ctaIPv6Src), src),
		Dst: netip.AddrPortFrom(parseAddr(ip, ctaIPv4Dst, ctaIPv6Dst), dst),
	}
}

func parseAddr(b []byte, v4, v6 uint16) netip.Addr {
	if a := nlread.Attr(b, v4); len(a) == 4 {
		return netip.AddrFrom4([4]byte(a))
	}
	if a := nlread.Attr(b, v6); len(a) == 16 {
		return netip.AddrFrom16([16]byte(a))
	}
	return netip.Addr{}
}
