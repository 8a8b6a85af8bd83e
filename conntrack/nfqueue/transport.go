package nfqueue

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	nfq "github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// This file reads and writes the socket of go-nfqueue past its own loop, through
// the raw connection that it offers. Two things need that, both measured with
// v2.1.0: Register sets up the queue in several round trips, each of which fails
// ("mismatched sequence") if a packet comes first, which under load is most of
// the time; and its loop costs a peek, a read and 64 allocations a packet,
// against none and a thirtieth of a system call here.

const (
	// headRoom is what most messages with a packet of an Ethernet fit into. The rest
	// of longer ones goes to a place of its own, tailRoom bytes long.
	headRoom = 2048
	tailRoom = packetRoom - headRoom
)

// transport moves datagrams between the socket and buffers that it keeps.
type transport struct {
	nf    *nfq.Nfqueue
	raw   syscall.RawConn
	stats *os.File // the table of queues in the socket's network namespace; nil if it may not be read

	heads []byte   // headRoom bytes for each slot
	tails []byte   // tailRoom bytes for each slot; not of Go's heap, so that only what is used costs memory
	whole [][]byte // for each slot, where a longer message is put together; nil until there was one

	// The rest is scratch space of the system calls. It is kept here, and the
	// functions given to raw are made once, so that nothing is allocated for a
	// packet.
	slots  []mmsghdr
	iovs   [][2]unix.Iovec
	want   int
	got    int
	errno  syscall.Errno
	readFn func(fd uintptr) bool
	outIov unix.Iovec
	outHdr unix.Msghdr
	sendFn func(fd uintptr)
}

// mmsghdr is struct mmsghdr of recvmmsg(2). The compiler pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

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
	t, err := wrap(raw, c.Batch)
	if err != nil {
		_ = nf.Close()
		return nil, err
	}
	t.nf = nf
	if f, err := os.Open(statsFile); err == nil {
		t.stats = f
	}
	// An error then comes without the message that it is about; where the kernel
	// cannot do that, there is room for both.
	_ = nf.Con.SetOption(netlink.CapAcknowledge, true)
	return t, nil
}

// wrap makes the buffers for batches of n datagrams.
func wrap(raw syscall.RawConn, n int) (*transport, error) {
	tails, err := unix.Mmap(-1, 0, n*tailRoom,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	t := &transport{
		raw: raw, heads: make([]byte, n*headRoom), tails: tails, whole: make([][]byte, n),
		slots: make([]mmsghdr, n), iovs: make([][2]unix.Iovec, n),
	}
	runtime.AddCleanup(t, func(tails []byte) { _ = unix.Munmap(tails) }, tails)
	_ = unix.Madvise(tails, unix.MADV_NOHUGEPAGE) // not every kernel has them
	for i := range t.slots {
		setIov(&t.iovs[i][0], t.heads[i*headRoom:][:headRoom])
		setIov(&t.iovs[i][1], tails[i*tailRoom:][:tailRoom])
		t.slots[i].hdr.Iov = &t.iovs[i][0]
		t.slots[i].hdr.SetIovlen(2)
	}
	t.outHdr.Iov = &t.outIov
	t.outHdr.SetIovlen(1)
	t.readFn, t.sendFn = t.read, t.send
	return t, nil
}

// receive waits for datagrams and returns how many there are, at most n; they
// are in t.datagram(0) and so on until the next receive.
func (t *transport) receive(n int) (int, error) {
	t.want = min(n, len(t.slots))
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

// datagram returns what was received in slot i, in one piece.
func (t *transport) datagram(i int) []byte {
	n, head := int(t.slots[i].len), t.heads[i*headRoom:][:headRoom]
	if n <= headRoom {
		return head[:n]
	}
	if t.whole[i] == nil {
		t.whole[i] = make([]byte, packetRoom)
	}
	b := t.whole[i]
	copy(b, head)
	copy(b[headRoom:n], t.tails[i*tailRoom:])
	return b[:n]
}

// write sends one datagram of whole messages. Netlink's peer is the kernel unless an
// address says otherwise, and the kernel is done with the messages when this returns;
// of a datagram that fails it has seen none.
func (t *transport) write(b []byte) error {
	setIov(&t.outIov, b)
	if err := t.raw.Control(t.sendFn); err != nil {
		return err
	}
	if t.errno != 0 {
		return os.NewSyscallError("sendmsg", t.errno)
	}
	return nil
}

func (t *transport) send(fd uintptr) {
	for {
		_, _, t.errno = syscall.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&t.outHdr)), 0)
		if t.errno != unix.EINTR {
			break
		}
	}
}

func setIov(v *unix.Iovec, b []byte) {
	v.Base = unsafe.SliceData(b)
	v.SetLen(len(b))
}

func (t *transport) setReadDeadline(at time.Time) error { return t.nf.Con.SetReadDeadline(at) }

func (t *transport) close() error {
	err := t.nf.Close()
	if t.stats != nil {
		err = errors.Join(err, t.stats.Close())
	}
	return err
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
