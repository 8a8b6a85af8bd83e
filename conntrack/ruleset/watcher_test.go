package ruleset_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

// watcher takes notes of the packets in the queue and accepts them.
type watcher struct{ notes chan string }

// watch serves the queue until the test ends.
func watch(t testing.TB, n *netnstest.NS) *watcher { t.Helper(); return watchQueue(t, n, queue) }

func watchQueue(t testing.TB, n *netnstest.NS, number uint16) *watcher {
	t.Helper()
	var q *nfqueue.Queue
	n.Do(func() {
		var err error
		if q, err = nfqueue.Open(nfqueue.Config{Queue: number}); err != nil {
			t.Error(err)
		}
	})
	w, done := &watcher{make(chan string, 1000)}, make(chan struct{})
	go func() {
		defer close(done)
		pkts := make([]nfqueue.Packet, 8)
		for {
			n, err := q.Receive(pkts)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			for _, p := range pkts[:n] {
				w.note(p.Payload)
				_ = q.Verdict(p.ID, nfqueue.Accept, nil)
			}
		}
	}()
	t.Cleanup(func() { _ = q.Close(); <-done })
	return w
}

// note writes down flags and payload of an IPv4 or IPv6 TCP packet.
func (w *watcher) note(p []byte) {
	at := 40
	if p[0]>>4 == 4 {
		at = int(p[0]&15) * 4
	}
	tcp := p[at:]
	var s string
	for i, name := range []string{"F", "S", "R"} {
		if tcp[13]&(1<<i) != 0 {
			s += name
		}
	}
	if tcp[13]&0x10 != 0 {
		s += "."
	}
	s += string(tcp[tcp[12]>>4*4:])
	w.notes <- s
}

// expect waits for these packets, and then for a while for others, of which there must
// be none.
func (w *watcher) expect(t testing.TB, when, want string) {
	t.Helper()
	var got []string
	for wait, missing := patience, len(strings.Fields(want)); ; missing-- {
		if missing == 0 {
			wait = 60 * time.Millisecond // longer than a delayed ACK
		}
		select {
		case s := <-w.notes:
			got = append(got, s)
			continue
		case <-time.After(wait):
		}
		break
	}
	if s := strings.Join(got, " "); s != want {
		t.Errorf("%s: queued %q, want %q", when, s, want)
	}
}

func dial(t testing.TB, n *netnstest.NS) (c *conntrack.Conn) {
	t.Helper()
	n.Do(func() {
		var err error
		if c, err = conntrack.Dial(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func connect(t testing.TB, r *netnstest.Router, server, port string) (client, peer net.Conn) {
	t.Helper()
	return meet(t, r.Client, r.Server.Listen(net.JoinHostPort(server, port)))
}

func meet(t testing.TB, from *netnstest.NS, l net.Listener) (client, peer net.Conn) {
	t.Helper()
	client, err := from.Dial(nil, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	return client, peer
}

func say(t testing.TB, from, to net.Conn, text string) {
	t.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	_ = to.SetReadDeadline(time.Now().Add(patience))
	if n, err := to.Read(b); err != nil || string(b[:n]) != text {
		t.Fatalf("read %q, %v", b[:n], err)
	}
}

func addrPort(t testing.TB, a net.Addr) netip.AddrPort {
	t.Helper()
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}
