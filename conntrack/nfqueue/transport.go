package nfqueue

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	nfq "github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/unix"
)

// This file reads and writes the socket of go-nfqueue past its own loop, through
// the raw connection that it offers. Two things need that, both measured with
// v2.1.0: Register sets up the queue in several round trips, each of which fails
// ("mismatched sequence") if a packet comes first, which under load is most of
// the time; and its loop costs a peek, a read and 64 allocations a packet,
// against none and a thirtieth of a system call here.

// transport moves datagrams between the socket and buffers that it keeps.
type transport struct {
	nf   *nfq.Nfqueue
	raw  syscall.RawConn
	bufs [][]byte

	// The rest is scratch space of the system calls. It is kept here, and the
	// functions given to raw are made once, so that nothing is allocated for a
	// packet.
	slots   []mmsghdr
	iovs    []unix.Iovec
	want    int
	got     int
	errno   syscall.Errno
	readFn  func(fd uintptr) bool
	out     []byte
	payload []byte
	outIovs [3]unix.Iovec
	outHdr  unix.Msghdr
	sendFn  func(fd uintptr)
}

// mmsghdr is struct mmsghdr of recvmmsg(2). The compiler pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

var padding [4]byte

// newTransport opens the socket in the network namespace of the calling thread.
func newTransport(c Config) (*transport, error) {
	nf, err := nfq.Open(&nfq.Config{
		NfQueue:      c.Queue,
		MaxPacketLen: copyRange,
		MaxQueueLen:  c.MaxLen,
		Copymode:     nfq.NfQnlCopyPacket,
		Flags:        nfq.NfQaCfgFlagFailOpen,
		AfFamily:     unix.AF_UNSPEC,
	})
	if err != nil {
		return nil, err
	}
	raw, err := nf.Con.SyscallConn()
	if err != nil {
		_ = nf.Close()
		return nil, err
	}
	t := wrap(raw, c.Batch)
	t.nf = nf
	return t, nil
}

// wrap makes the buffers for batches of n datagrams.
func wrap(raw syscall.RawConn, n int) *transport {
	t := &transport{raw: raw, bufs: make([][]byte, n), slots: make([]mmsghdr, n), iovs: make([]unix.Iovec, n)}
	for i := range t.bufs {
		t.bufs[i] = make([]byte, packetRoom)
		t.iovs[i].Base = &t.bufs[i][0]
		t.iovs[i].SetLen(packetRoom)
		t.slots[i].hdr.Iov = &t.iovs[i]
		t.slots[i].hdr.SetIovlen(1)
	}
	t.readFn, t.sendFn = t.read, t.send
	return t
}

// receive waits for datagrams and returns how many there are, at most n; they
// are in t.datagram(0) and so on until the next receive.
func (t *transport) receive(n int) (int, error) {
	t.want = min(n, len(t.bufs))
	if err := t.raw.Read(t.readFn); err != nil {
		return 0, err
	}
	if t.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", t.errno)
	}
	return t.got, nil
}

// read is one recvmmsg; false means that there is nothing yet.
func (t *transport) read(fd uintptr) bool {
	for {
		n, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&t.slots[0])),
			uintptr(t.want), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		t.got, t.errno = int(n), errno
		return errno != unix.EAGAIN
	}
}

func (t *transport) datagram(i int) []byte { return t.bufs[i][:t.slots[i].len] }

// write sends t.out, and after it the payload if there is one, as one datagram.
// Netlink's peer is the kernel unless an address says otherwise, and the kernel
// is done with the message when this returns.
func (t *transport) write(payload []byte) error {
	t.payload = payload
	err := t.raw.Control(t.sendFn)
	t.payload = nil
	if err != nil {
		return err
	}
	if t.errno != 0 {
		return os.NewSyscallError("sendmsg", t.errno)
	}
	return nil
}

func (t *transport) send(fd uintptr) {
	n := 1
	setIov(&t.outIovs[0], t.out)
	if len(t.payload) > 0 {
		setIov(&t.outIovs[1], t.payload)
		setIov(&t.outIovs[2], padding[:-len(t.payload)&3])
		n = 3
	}
	t.outHdr.Iov = &t.outIovs[0]
	t.outHdr.SetIovlen(n)
	for {
		_, _, t.errno = syscall.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&t.outHdr)), 0)
		if t.errno != unix.EINTR {
			break
		}
	}
	t.outIovs = [3]unix.Iovec{} // do not keep the caller's payload alive
}

func setIov(v *unix.Iovec, b []byte) {
	v.Base, v.Len = unsafe.SliceData(b), 0
	v.SetLen(len(b))
}

// setReadBuffer asks for a receive buffer of so many bytes, beyond the system's
// limit if the program may.
func (t *transport) setReadBuffer(bytes int) error {
	var err error
	ctl := t.raw.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes); err != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
		}
	})
	if ctl != nil {
		return ctl
	}
	if err != nil {
		return fmt.Errorf("set a receive buffer of %d bytes: %w", bytes, err)
	}
	return nil
}
