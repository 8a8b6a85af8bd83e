package nfqueue

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	nfq "github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// This file reads and writes the socket of go-nfqueue past its own loop. Three things need that, the first
// two measured with v2.1.0: Register sets up the queue in several round trips, each of which fails
// ("mismatched sequence") if a packet comes first, which under load is most of the time; its loop costs a
// peek, a read and 64 allocations a packet, against none and a thirtieth of a system call here; and through
// Go's poller a packet that comes alone wakes one thread that wakes another, and costs three system calls
// more. So the socket is taken out of the poller, and its reader sleeps in the kernel.

const (
	// headRoom is what most messages with a packet of an Ethernet fit into. The rest
	// of longer ones goes to a place of its own, tailRoom bytes long.
	headRoom = 2048
	tailRoom = packetRoom - headRoom
)

// transport moves datagrams between the socket and buffers that it keeps. One goroutine may use it; wake and
// close may be called by others.
type transport struct {
	fd    int      // blocking, and nobody else's
	stats *os.File // the table of queues in the socket's network namespace; nil if it may not be read

	use     sync.Mutex  // held while the socket is used, but for wake
	leaving atomic.Bool // close was called
	waking  sync.Mutex  // of what follows
	closed  bool

	heads []byte   // headRoom bytes for each slot
	tails []byte   // tailRoom bytes for each slot; not of Go's heap, so that only what is used costs memory
	whole [][]byte // for each slot, where a longer message is put together; nil until there was one

	// The rest is scratch space of the system calls, kept here so that nothing is allocated for a packet.
	slots   []mmsghdr
	iovs    [][2]unix.Iovec
	outIov  unix.Iovec
	outHdr  unix.Msghdr
	eager   bool          // the next packet is looked for before the reader sleeps
	timeout time.Duration // that the socket has for reading; 0: none
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
	defer nf.Close()
	// An error then comes without the message that it is about; where the kernel
	// cannot do that, there is room for both.
	_ = nf.Con.SetOption(netlink.CapAcknowledge, true)
	fd, err := detach(nf)
	if err != nil {
		return nil, err
	}
	t, err := wrap(fd, c.Batch)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	if f, err := os.Open(statsFile); err == nil {
		t.stats = f
	}
	return t, nil
}

// detach returns another descriptor of the socket, which Go's poller does not know once nf is closed.
func detach(nf *nfq.Nfqueue) (fd int, err error) {
	raw, err := nf.Con.SyscallConn()
	if err != nil {
		return -1, err
	}
	ctl := raw.Control(func(of uintptr) {
		if fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			err = os.NewSyscallError("fcntl", err)
		}
	})
	if ctl != nil || err != nil {
		return -1, errors.Join(ctl, err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}

// wrap makes the buffers for batches of n datagrams.
func wrap(fd, n int) (*transport, error) {
	tails, err := unix.Mmap(-1, 0, n*tailRoom,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	t := &transport{
		fd: fd, heads: make([]byte, n*headRoom), tails: tails, whole: make([][]byte, n),
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
	return t, nil
}

// receive waits for datagrams until a time (zero: for ever) and returns how many there are, at most n; they
// are in t.datagram(0) and so on until the next receive. The error is os.ErrDeadlineExceeded after
// that time, os.ErrClosed after close.
func (t *transport) receive(n int, until time.Time) (int, error) {
	t.use.Lock()
	defer t.use.Unlock()
	n = min(n, len(t.slots))
	for began := time.Now(); ; {
		if t.leaving.Load() {
			return 0, os.ErrClosed
		}
		flags, err := t.patience(until)
		if err != nil {
			return 0, err
		}
		looks := t.eager && flags != unix.MSG_DONTWAIT && time.Since(began) < longestLook
		got, errno := t.read(n, flags, looks)
		switch {
		case errno == 0:
			t.eager = time.Since(began) < longestLook
			return got, nil
		case errno == unix.EAGAIN && looks:
			_, _, _ = syscall.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		case errno == unix.EAGAIN && flags == unix.MSG_DONTWAIT:
			t.eager = false
			return 0, os.ErrDeadlineExceeded
		case errno != unix.EINTR && errno != unix.EAGAIN:
			return 0, os.NewSyscallError("recvmmsg", errno)
		}
	}
}

// longestLook is for how long the reader looks for the next packet again and again before it sleeps, if it
// did not wait longer for the last: to be woken takes longer than most of what it does with one. Hypervisors
// do so too, for twice as long (Documentation/virt/kvm/halt-polling.rst). Whoever else wants the processor
// goes first.
const longestLook = 100 * time.Microsecond

// read calls recvmmsg. Who only looks keeps Go's processor meanwhile.
func (t *transport) read(n int, flags uintptr, looks bool) (got int, errno syscall.Errno) {
	var r uintptr
	if looks {
		r, _, errno = syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(t.fd),
			uintptr(unsafe.Pointer(&t.slots[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	} else {
		r, _, errno = syscall.Syscall6(unix.SYS_RECVMMSG, uintptr(t.fd),
			uintptr(unsafe.Pointer(&t.slots[0])), uintptr(n), flags, 0, 0)
	}
	return int(r), errno
}

// A socket can be told how long to wait, but not until when. So that this is not told anew for each packet
// it may wait for somewhat longer than it should, or for less, and then it waits again.
const (
	longestWait = 250 * time.Millisecond
	lateness    = 50 * time.Millisecond
)

// patience has the socket wait until about a time, and returns how to call recvmmsg.
func (t *transport) patience(until time.Time) (flags uintptr, err error) {
	wait := time.Duration(0)
	if !until.IsZero() {
		if wait = time.Until(until); wait <= 0 {
			return unix.MSG_DONTWAIT, nil
		}
		wait = min(wait, longestWait)
		if t.timeout >= wait/2 && t.timeout <= wait+lateness && t.timeout > 0 {
			return unix.MSG_WAITFORONE, nil
		}
		wait = max(wait, time.Millisecond)
	}
	if t.timeout != wait {
		tv := unix.NsecToTimeval(wait.Nanoseconds())
		if err := unix.SetsockoptTimeval(t.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
		t.timeout = wait
	}
	return unix.MSG_WAITFORONE, nil
}

// noOperation is answered and does nothing else (netlink_rcv_skb in net/netlink/af_netlink.c).
var noOperation = sync.OnceValue(func() []byte {
	b := appendHeader(nil, unix.NLMSG_NOOP, unix.NLM_F_REQUEST|unix.NLM_F_ACK, verdictSeq, 0)
	setLen(b, len(b))
	return b
})

// wake ends a receive that waits: the kernel is asked for an answer.
func (t *transport) wake() error {
	t.waking.Lock()
	defer t.waking.Unlock()
	if t.closed {
		return os.ErrClosed
	}
	return os.NewSyscallError("sendto", unix.Send(t.fd, noOperation(), unix.MSG_DONTWAIT))
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
	t.use.Lock()
	defer t.use.Unlock()
	if t.leaving.Load() {
		return os.ErrClosed
	}
	setIov(&t.outIov, b)
	for {
		_, _, errno := syscall.Syscall(unix.SYS_SENDMSG, uintptr(t.fd), uintptr(unsafe.Pointer(&t.outHdr)),
			unix.MSG_DONTWAIT)
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return os.NewSyscallError("sendmsg", errno)
	}
}

func setIov(v *unix.Iovec, b []byte) {
	v.Base = unsafe.SliceData(b)
	v.SetLen(len(b))
}

// close closes the socket, once its reader is out of it.
func (t *transport) close() error {
	t.leaving.Store(true)
	err := t.wake()
	if errors.Is(err, os.ErrClosed) {
		return err
	}
	t.use.Lock()
	defer t.use.Unlock()
	t.waking.Lock()
	defer t.waking.Unlock()
	t.closed = true
	err = errors.Join(err, os.NewSyscallError("close", unix.Close(t.fd)))
	if t.stats != nil {
		err = errors.Join(err, t.stats.Close())
	}
	return err
}

// setReadBuffer asks for a receive buffer of so many bytes, beyond the system's
// limit if the program may.
func (t *transport) setReadBuffer(bytes int) error {
	err := unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
	if err != nil {
		err = unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	}
	if err != nil {
		return fmt.Errorf("set a receive buffer of %d bytes: %w", bytes, err)
	}
	return nil
}
