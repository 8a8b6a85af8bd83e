package wire

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
)

// atOnce is how many packets one system call sends.
const atOnce = 64

// sender sends packets from a host, many in a system call.
type sender struct {
	fd    int
	n     int
	bufs  [atOnce][headers + 64]byte
	iovs  [atOnce]unix.Iovec
	addrs [atOnce]unix.RawSockaddrInet4
	msgs  [atOnce]mmsghdr
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func newSender(h *lab.Host) (*sender, error) {
	s := &sender{}
	err := h.Do(func() (err error) {
		s.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening a raw socket on host %s: %w", h, err)
	}
	// Packets that wait in a queue of the gateway count against it.
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 256<<20); err != nil {
		_ = unix.Close(s.fd)
		return nil, fmt.Errorf("setting the send buffer of a raw socket: %w", err)
	}
	for i := range s.msgs {
		s.iovs[i].Base = &s.bufs[i][0]
		s.addrs[i].Family = unix.AF_INET
		h := &s.msgs[i].hdr
		h.Iov, h.Name, h.Namelen = &s.iovs[i], (*byte)(unsafe.Pointer(&s.addrs[i])), unix.SizeofSockaddrInet4
		h.SetIovlen(1)
	}
	return s, nil
}

// room is where the next packet is to be written.
func (s *sender) room() []byte { return s.bufs[s.n][:] }

// add takes the packet that was written to room.
func (s *sender) add(pkt []byte) error {
	s.iovs[s.n].SetLen(len(pkt))
	copy(s.addrs[s.n].Addr[:], pkt[16:20])
	if s.n++; s.n == atOnce {
		return s.flush()
	}
	return nil
}

// flush sends what was added.
func (s *sender) flush() error {
	for at := 0; at < s.n; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msgs[at])),
			uintptr(s.n-at), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			s.n = 0
			return fmt.Errorf("sending raw packets: %w", errno)
		default:
			at += int(n)
		}
	}
	s.n = 0
	return nil
}

func (s *sender) close() { _ = unix.Close(s.fd) }
