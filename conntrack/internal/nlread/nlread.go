package nlread

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

const typeMask = 0x3fff // NLA_TYPE_MASK: without the NESTED and NET_BYTEORDER flags

// Aligned rounds a length in bytes up to where the next message or attribute begins.
func Aligned(n int) int { return (n + 3) &^ 3 }

// Message is a netlink message.
type Message struct {
	Type   uint16 // NLMSG_…, or a subsystem of nfnetlink in the upper byte and what it calls it below
	Flags  uint16 // NLM_F_…
	Seq    uint32 // of the request that it answers; 0 if nobody asked
	PortID uint32 // of the socket whose request it answers or tells of
	Body   []byte // what follows struct nlmsghdr
}

// NextMessage splits the first message off b. ok is false and rest empty if there is none.
func NextMessage(b []byte) (m Message, rest []byte, ok bool) {
	if len(b) < unix.NLMSG_HDRLEN {
		return Message{}, nil, false
	}
	size := binary.NativeEndian.Uint32(b)
	if size < unix.NLMSG_HDRLEN || uint64(size) > uint64(len(b)) {
		return Message{}, nil, false
	}
	n := int(size)
	return Message{
		Type: binary.NativeEndian.Uint16(b[4:]), Flags: binary.NativeEndian.Uint16(b[6:]),
		Seq: binary.NativeEndian.Uint32(b[8:]), PortID: binary.NativeEndian.Uint32(b[12:]),
		Body: b[unix.NLMSG_HDRLEN:n],
	}, b[min(len(b), Aligned(n)):], true
}

// Errno reads the negative errno with which struct nlmsgerr and NLMSG_DONE begin;
// nil if it is 0, or absent.
func Errno(body []byte) error {
	if len(body) < 4 {
		return nil
	}
	if n := int32(binary.NativeEndian.Uint32(body)); n != 0 {
		return unix.Errno(-n)
	}
	return nil
}

// NextAttr splits the first attribute off b. It returns ok false at the end and
// at the first attribute that does not fit.
func NextAttr(b []byte) (typ uint16, value, rest []byte, ok bool) {
	if len(b) < unix.SizeofNlAttr {
		return 0, nil, nil, false
	}
	size := int(binary.NativeEndian.Uint16(b))
	if size < unix.SizeofNlAttr || size > len(b) {
		return 0, nil, nil, false
	}
	typ = binary.NativeEndian.Uint16(b[2:]) & typeMask
	return typ, b[unix.SizeofNlAttr:size], b[min(len(b), Aligned(size)):], true
}

// Attr finds one attribute; nil if it is not there.
func Attr(b []byte, want uint16) []byte {
	for {
		typ, v, rest, ok := NextAttr(b)
		if !ok || typ == want {
			return v
		}
		b = rest
	}
}

// U16 reads a number of 2 bytes; 0 if the attribute is absent or short.
func U16(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// U32 reads a number of 4 bytes; 0 if the attribute is absent or short.
func U32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// U64 reads a number of 8 bytes; 0 if the attribute is absent or short.
func U64(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Text cuts off the NUL and what follows.
func Text(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}

// PortID is the netlink port id of a socket that is bound or connected. Events of what was asked for by it
// carry it; it is no process id.
func PortID(fd int) (uint32, error) {
	a, err := unix.Getsockname(fd)
	if err != nil {
		return 0, fmt.Errorf("ask for the port id of a netlink socket: %w", err)
	}
	if nl, ok := a.(*unix.SockaddrNetlink); ok {
		return nl.Pid, nil
	}
	return 0, fmt.Errorf("ask for the port id of a netlink socket: %T is no netlink address", a)
}
