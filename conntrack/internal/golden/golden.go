package golden

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// genmsgLen is the length of a struct nfgenmsg, whose numbers are big endian everywhere.
const genmsgLen = 4

// Attrs reads attributes in hexadecimal, with spaces anywhere, and returns them as this machine has them.
func Attrs(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	attrs(b)
	return b
}

// Message is Attrs for a message of nfnetlink.
func Message(t testing.TB, text string) []byte {
	t.Helper()
	const header = unix.NLMSG_HDRLEN + genmsgLen
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil || len(b) < header {
		t.Fatalf("a message of %d bytes: %v", len(b), err)
	}
	word(b)
	half(b[4:])
	half(b[6:])
	word(b[8:])
	word(b[12:])
	attrs(b[header:])
	return b
}

func attrs(b []byte) {
	for len(b) >= unix.SizeofNlAttr {
		size, typ := half(b), half(b[2:])
		if typ&unix.NLA_F_NESTED != 0 {
			attrs(b[unix.SizeofNlAttr:size])
		}
		b = b[min(len(b), (int(size)+3)&^3):]
	}
}

func half(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	binary.NativeEndian.PutUint16(b, v)
	return v
}

func word(b []byte) { binary.NativeEndian.PutUint32(b, binary.LittleEndian.Uint32(b)) }
