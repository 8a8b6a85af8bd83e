package metrics

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
	"github.com/ftpalg/ftpalg/test/sim"
)

// crowd is a connection tracker that has an entry for whoever asks, and a helper for a part of them.
type crowd struct{}

func (crowd) Flow(t conntrack.Tuple) (conntrack.Flow, error) {
	if t.Src.Port() == 21 {
		t = t.Reverse()
	}
	f := conntrack.Flow{
		Tuple: [2]conntrack.Tuple{t, t.Reverse()}, HasState: true, State: conntrack.StateControl,
	}
	if t.Src.Port()%2 == 0 {
		f.Helper = conntrack.HelperCarrier
	}
	return f, nil
}

func (crowd) Update(conntrack.Tuple, conntrack.Update) error { return nil }
func (crowd) Expect(*conntrack.Expectation) error            { return nil }
func (crowd) Withdraw(conntrack.Expectation) error           { return nil }

// visit has client i, of an address of its own, log in under a name of its own and ask for a port.
func visit(g *alg.Gateway, i int) {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i))
	m := conntrack.Tuple{Src: netip.AddrPortFrom(netip.AddrFrom4(a), uint16(20000+i%1000)),
		Dst: netip.MustParseAddrPort("192.0.2.1:21")}
	next := [2]uint32{1, 1}
	now := time.Unix(1e9, 0)
	send := func(dir conntrack.Dir, s sim.Segment) {
		t := m
		if dir == conntrack.Reply {
			t = t.Reverse()
		}
		s.Ack = next[1-dir]
		g.Handle(now, 1, sim.Packet(t, s), false)
		next[dir] += uint32(len(s.Data))
	}
	send(conntrack.Reply, sim.Segment{Flags: rewrite.SYN})
	for _, line := range []string{
		"s220 hi\r\n", fmt.Sprintf("cUSER user%d\r\n", i), "s230 in\r\n",
		fmt.Sprintf("cPORT %d,%d,%d,%d,40,%d\r\n", a[0], a[1], a[2], a[3], i%256), "s200 ok\r\n",
		fmt.Sprintf("cX%d\r\n", i), fmt.Sprintf("s%d no\r\n", 500+i%100),
	} {
		dir := conntrack.Original
		if line[0] == 's' {
			dir = conntrack.Reply
		}
		send(dir, sim.Segment{Seq: next[dir], Data: []byte(line[1:])})
	}
}

func series(text string) (n int) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// Nothing that a client sends makes a time series, and neither scrapes nor packets wait for each other.
func TestScrapesWhileTenThousandSessionsAreOn(t *testing.T) {
	const n = 10000
	g := alg.New(crowd{}, policy.Default())
	m := metricsOf(&g.Stats)
	visit(g, 0)
	visit(g, 1)
	few := series(scrape(t, m))
	var packets sync.WaitGroup
	packets.Go(func() {
		for i := 2; i < n; i++ {
			visit(g, i)
		}
	})
	for range 20 {
		scrape(t, m)
	}
	packets.Wait()
	text := scrape(t, m)
	for _, want := range []string{
		"ftpalg_control_sessions 10000\n", "ftpalg_control_sessions_total 10000\n",
		"ftpalg_handshakes_total 10000\n",
		"ftpalg_commands_total{command=\"PORT\"} 10000\n",
		"ftpalg_expectations_total{mode=\"port\"} 5000\n",
		"ftpalg_refusals_total{reason=\"no_helper\"} 5000\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if many := series(text); many > few+5 { // of Go itself there may be some
		t.Errorf("%d sessions have %d series, and 2 have %d", n, many, few)
	}
}
