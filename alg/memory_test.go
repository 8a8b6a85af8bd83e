package alg

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/rewrite"
)

// idle has a gateway with n sessions that logged in and are silent since.
func idle(n int) *Gateway {
	g, _ := newCrowd(policy.Default())
	now := time.Unix(1e9, 0)
	for i := range n {
		m := member(i)
		said := func(seq, ack uint32, text string) uint32 {
			g.Handle(now, 1, tcpPacket(m, seq, ack, rewrite.ACK, []byte(text)), false)
			return seq + uint32(len(text))
		}
		replied := func(seq, ack uint32, text string) uint32 {
			g.Handle(now, 1, tcpPacket(m.Reverse(), seq, ack, rewrite.ACK, []byte(text)), false)
			return seq + uint32(len(text))
		}
		g.Handle(now, 1, tcpPacket(m.Reverse(), 999, 1, rewrite.SYN|rewrite.ACK, nil), false)
		c, s := uint32(1), uint32(1000)
		s = replied(s, c, "220 ready\r\n")
		c = said(c, s, "USER anonymous\r\n")
		s = replied(s, c, "331 password\r\n")
		c = said(c, s, "PASS joe@example.org\r\n")
		s = replied(s, c, "230 in\r\n")
		c = said(c, s, "CWD pub\r\n")
		said(c, replied(s, c, "250 ok\r\n"), "")
	}
	for i := range 100 {
		g.Tick(now.Add(time.Duration(i) * 10 * time.Millisecond).Add(2 * time.Second))
	}
	return g
}

// An idle session is its struct and two places in the table. What Go takes for a struct grows in steps: this
// is where the next one begins.
func TestIdleSessionIsSmall(t *testing.T) {
	const most = 480 // bytes
	if n := unsafe.Sizeof(session{}); n > most {
		t.Errorf("it takes %d bytes, want %d at most", n, most)
	}
}

func TestSessionsGiveBackWhatTheyTook(t *testing.T) {
	const n, left = 10_000, 3
	start := heap()
	none := idle(0)
	before := heap()
	g := idle(n)
	full := heap()
	stay := 0
	for s := range g.table.all() {
		if stay++; stay > left {
			g.drop(s)
		}
	}
	g.Tick(time.Unix(1e9, 0).Add(time.Minute))
	if after := heap(); after > before+(before-start)+(full-before)/100 {
		t.Errorf("%d bytes for %d sessions, %d for %d and %d for none",
			after-before, left, full-before, n, before-start)
	}
	const few = 2048
	if g.table.most > few || len(g.table.byTuple) != 2*left {
		t.Errorf("%d places for %d keys, of %d sessions", g.table.most, len(g.table.byTuple), left)
	}
	runtime.KeepAlive(none)
	for s := range g.table.all() {
		if g.table.find(s.original()) != s || g.table.find(s.reply()) != s {
			t.Errorf("session %v is not found any more", s.original())
		}
	}
}

// One operation makes ten thousand sessions.
func BenchmarkIdleSessions(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		before := heap()
		g := idle(n)
		b.ReportMetric(float64(heap()-before)/n, "B/session")
		if got := g.Stats.Sessions.Load(); got != n {
			b.Fatalf("%d sessions, want %d", got, n)
		}
	}
}
