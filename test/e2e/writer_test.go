package e2e

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// wire is a session to do unusual things with.
type wire struct {
	testing.TB
	r *lab.Routed
	g *gateway
	s *ftptest.Server
	c *ftptest.Client
	// middle is called in the middle of what the case does.
	middle func()
	n      int
}

// seen returns the lines that the server received since the last call.
func (w *wire) seen() (lines []string) {
	w.Helper()
	all := w.s.Sessions()
	got := all[len(all)-1].Commands
	lines, w.n = got[w.n:], len(got)
	return lines
}

// replies reads n replies.
func (w *wire) replies(n int) (codes []int) {
	w.Helper()
	for range n {
		r, err := w.c.ReadReply()
		if err != nil {
			w.Fatalf("after the replies %v: %v", codes, err)
		}
		codes = append(codes, r.Code)
	}
	return codes
}

func (w *wire) write(text string) {
	w.Helper()
	must(w, w.c.WriteAs(ftptest.Wire{}, []byte(text)))
}

// awaitRepetition waits until the client has sent something again.
func (w *wire) awaitRepetition() {
	w.Helper()
	raw, err := w.c.Conn().(*net.TCPConn).SyscallConn()
	must(w, err)
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		var info *unix.TCPInfo
		var asked error
		must(w, raw.Control(func(fd uintptr) {
			info, asked = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		}))
		must(w, asked)
		if info.Total_retrans > 0 {
			return
		}
		if time.Now().After(deadline) {
			w.Fatal("the client sends nothing again")
		}
	}
}

// urgent writes bytes as urgent data.
func urgent(w *wire, text string) {
	w.Helper()
	raw, err := w.c.Conn().(*net.TCPConn).SyscallConn()
	must(w, err)
	var sent error
	must(w, raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), []byte(text), unix.MSG_OOB, nil)
		return true
	}))
	must(w, sent)
}
