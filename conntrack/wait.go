package conntrack

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// waiter waits until there is something to read. Go's poller would do that too, but each datagram of a socket
// that it knows wakes it, also while nobody waits. That costs some microseconds, of whoever had the event
// made: of a packet on its way.
type waiter struct {
	fds   [2]unix.PollFd // what is read, and a bell that wakes
	until atomic.Int64   // nanoseconds since began; 0: for ever
	began time.Time
}

func (w *waiter) init(fd int) error {
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	w.fds = [...]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(bell), Events: unix.POLLIN}}
	w.began = time.Now()
	return nil
}

// setDeadline ends the waiting at t, never if t is zero. Another goroutine may wait.
func (w *waiter) setDeadline(t time.Time) {
	at := int64(0)
	if !t.IsZero() {
		at = max(1, int64(t.Sub(w.began)))
	}
	w.until.Store(at)
	w.wake()
}

// over tells whether the deadline has passed.
func (w *waiter) over() bool {
	left, ends := w.left()
	return ends && left <= 0
}

func (w *waiter) left() (left time.Duration, ends bool) {
	at := w.until.Load()
	return time.Duration(at) - time.Since(w.began), at != 0
}

// wake ends a wait, or else the next one. Another goroutine may wait.
func (w *waiter) wake() {
	// It fails only if it was rung very often and never heard, and so will be heard anyway.
	_, _ = unix.Write(int(w.fds[1].Fd), binary.NativeEndian.AppendUint64(nil, 1))
}

// sleep returns when there is something to read, after a wake, and at the deadline.
func (w *waiter) sleep() error {
	timeout := -1 // milliseconds; no limit
	if left, ends := w.left(); ends {
		timeout = int(max(0, left+time.Millisecond-1) / time.Millisecond)
	}
	_, err := unix.Poll(w.fds[:], timeout)
	switch {
	case err == unix.EINTR:
		return nil
	case err != nil:
		return os.NewSyscallError("poll", err)
	case w.fds[1].Revents != 0:
		var rung [8]byte
		_, _ = unix.Read(int(w.fds[1].Fd), rung[:])
	}
	return nil
}

func (w *waiter) close() error {
	return os.NewSyscallError("close", unix.Close(int(w.fds[1].Fd)))
}
