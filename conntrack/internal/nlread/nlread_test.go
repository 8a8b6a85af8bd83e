package nlread

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func FuzzNextMessage(f *testing.F) {
	f.Add(acknowledgement(0))
	f.Add(append(acknowledgement(-int32(unix.EPERM)), acknowledgement(0)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			m, rest, ok := NextMessage(b)
			if ok && len(rest) >= len(b) || !ok && len(rest) != 0 {
				t.Fatalf("no progress: %d of %d bytes left", len(rest), len(b))
			}
			_ = Errno(m.Body)
			b = rest
		}
	})
}

func TestErrorOfAnAnswerIsRead(t *testing.T) {
	m, rest, ok := NextMessage(acknowledgement(-int32(unix.EPERM)))
	if !ok || len(rest) != 0 || m.Type != unix.NLMSG_ERROR || m.Seq != 7 || m.PortID != 9 {
		t.Fatalf("%+v, %d bytes left, %v", m, len(rest), ok)
	}
	if err := Errno(m.Body); !errors.Is(err, unix.EPERM) {
		t.Errorf("the error is %v, want %v", err, unix.EPERM)
	}
	m, _, _ = NextMessage(acknowledgement(0))
	if err := Errno(m.Body); err != nil {
		t.Errorf("an acknowledgement is the error %v", err)
	}
}

// acknowledgement is what the kernel says to message 7 of port 9, with the code of an error
// or 0.
func acknowledgement(code int32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, unix.NLMSG_HDRLEN+4)
	b = binary.NativeEndian.AppendUint16(b, unix.NLMSG_ERROR)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint32(b, 7)
	b = binary.NativeEndian.AppendUint32(b, 9)
	return binary.NativeEndian.AppendUint32(b, uint32(code))
}
