package alg

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Ten thousand clients each send a line without end, of which nothing is acknowledged. What is kept of
// them is bounded, and another client is served.
func TestTenThousandEndlessLines(t *testing.T) {
	const (
		n       = 10000
		session = 8 << 10 // bytes that one may take beside what it has to repeat
		segment = 1400
	)
	for _, start := range []string{"PORT 1", "\xff\xf4"} {
		g, _ := newCrowd(policy.Default())
		now := time.Unix(1e9, 0)
		piece := bytes.Repeat([]byte(" "), segment)
		before := heap()
		for i := range n {
			m := member(i)
			g.Handle(now, 1, tcpPacket(m.Reverse(), 0, 1, rewrite.SYN|rewrite.ACK, nil), false)
			g.Handle(now, 1, tcpPacket(m, 1, 1, rewrite.ACK, []byte(start)), false)
		}
		for k := range 20 {
			for i := range n {
				seq := uint32(1 + len(start) + k*segment)
				g.Handle(now, 1, tcpPacket(member(i), seq, 1, rewrite.ACK, piece), false)
			}
		}
		if g.table.n != n || g.room.Bytes() > maxBytes {
			t.Errorf("%q: %d sessions keep %d bytes, want %d at most", start, g.table.n, g.room.Bytes(),
				maxBytes)
		}
		// What grows has up to twice the room that it needs.
		if used := heap() - before; used > 2*maxBytes+n*session {
			t.Errorf("%q: the gateway takes %d bytes", start, used)
		} else {
			t.Logf("%q: the gateway takes %d bytes, of which %d may be repeated", start, used, g.room.Bytes())
		}
		if g.Stats.Untouched[policy.HistoryFull].Load() == 0 {
			t.Errorf("%q: what there is no room for is not counted", start)
		}
		a := &asker{g: g, now: now}
		g.OnRefused = func(r Refusal) { a.got = r.Reason }
		if why := a.ask(n+1, 40000); why != policy.None {
			t.Errorf("%q: another client's port is refused because of %v", start, why)
		}
		runtime.KeepAlive(g)
	}
}

// heap is how many bytes are in use.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
