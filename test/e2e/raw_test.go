package e2e

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
	"github.com/ftpalg/ftpalg/test/lab"
)

// raw sends TCP over IPv4 from a host, in whose name ever.
type raw struct {
	testing.TB
	fd int
}

func newRaw(t testing.TB, h *lab.Host) *raw {
	t.Helper()
	r := &raw{TB: t}
	must(t, h.Do(func() (err error) {
		r.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	}))
	t.Cleanup(func() { unix.Close(r.fd) })
	return r
}

// send sends a segment. The window is as large as it can be without scaling.
func (r *raw) send(t conntrack.Tuple, seq, ack uint32, flags byte, data []byte) {
	r.Helper()
	b := append(make([]byte, 40, 40+len(data)), data...)
	b[0], b[8], b[9] = 4<<4|5, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], t.Src.Addr().AsSlice())
	copy(b[16:], t.Dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[20:], t.Src.Port())
	binary.BigEndian.PutUint16(b[22:], t.Dst.Port())
	binary.BigEndian.PutUint32(b[24:], seq)
	binary.BigEndian.PutUint32(b[28:], ack)
	b[32], b[33] = 5<<4, flags
	binary.BigEndian.PutUint16(b[34:], 1<<16-1)
	var p rewrite.Packet
	if !p.Parse(b) {
		r.Fatalf("no packet: % x", b)
	}
	p.Finish()
	to := &unix.SockaddrInet4{Addr: t.Dst.Addr().As4()}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := unix.Sendto(r.fd, b, 0, to)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.ENOBUFS) || time.Now().After(end) {
			r.Fatalf("sending a raw packet: %v", err)
		}
	}
}

// repaired does something with a connection while the kernel neither sends nor takes anything on it.
func repaired(t testing.TB, c net.Conn, f func(fd int) error) {
	t.Helper()
	tcp, err := c.(*net.TCPConn).SyscallConn()
	must(t, err)
	var done error
	must(t, tcp.Control(func(fd uintptr) {
		done = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_ON),
			f(int(fd)))
	}))
	must(t, done)
}

// vanish has one end of a connection go without a word, as a machine does that loses its power.
func vanish(t testing.TB, c net.Conn) {
	t.Helper()
	repaired(t, c, func(int) error { return nil })
	must(t, c.Close())
}

// Queues of a connection in repair (enum in include/uapi/linux/tcp.h).
const (
	receiveQueue = 1 // TCP_RECV_QUEUE
	sendQueue    = 2 // TCP_SEND_QUEUE
)

// numbers are what one end of a connection sends and expects next.
func numbers(t testing.TB, c net.Conn) (seq, ack uint32) {
	t.Helper()
	repaired(t, c, func(fd int) error {
		next := func(queue int) uint32 {
			n, err := 0, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR_QUEUE, queue)
			if err == nil {
				n, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUEUE_SEQ)
			}
			must(t, err)
			return uint32(n)
		}
		seq, ack = next(sendQueue), next(receiveQueue)
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_OFF_NO_WP)
	})
	return seq, ack
}

// number reads the first number of a file, as a host has it, of /proc/sys/net for instance.
func number(t testing.TB, h *lab.Host, file string) (n int) {
	t.Helper()
	must(t, h.Do(func() error {
		text, err := os.ReadFile(file)
		if err == nil {
			n, err = strconv.Atoi(strings.Fields(string(text))[0])
		}
		return err
	}))
	return n
}

// scaled makes a flood smaller on machines that are slow: FTPALG_FLOODS=10 makes it a tenth.
func scaled(t testing.TB, n int) int {
	t.Helper()
	text := os.Getenv("FTPALG_FLOODS")
	if text == "" {
		return n
	}
	by, err := strconv.Atoi(text)
	if err != nil || by < 1 {
		t.Fatalf("FTPALG_FLOODS=%s: want by what floods are divided", text)
	}
	return n / by
}
