package e2e

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// connectFrom is connect from a port of the client's that is named.
func (n *guarded) connectFrom(t testing.TB, port uint16) *dialogue {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := n.Client.Dial(ctx, n.Client.AddrPort(false, port), netip.AddrPortFrom(n.dialled[0], 21))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	s, err := n.control[21].Accept()
	must(t, err)
	t.Cleanup(func() { s.Close() })
	d := &dialogue{t, c.(*net.TCPConn), s.(*net.TCPConn)}
	must(t, d.client.SetDeadline(time.Now().Add(patience)))
	must(t, d.server.SetDeadline(time.Now().Add(patience)))
	return d
}

// vanish has both ends of a connection go, when nothing of it is on its way any more: the client's kernel
// would answer that with a reset, by which connection tracking takes the next connection for closed.
func (n *guarded) vanish(d *dialogue) {
	d.Helper()
	d.awaitAcknowledgement(d.client)
	d.awaitAcknowledgement(d.server)
	vanish(d, d.client)
	vanish(d, d.server)
	n.connect(d, n.Client, false, 21).start(greeted) // comes behind whatever waits for the gateway
}

// Both ends lose their power, and the client comes back by the same port: the kernel goes on with the entry
// that it has. It is another connection all the same, in which nobody is logged in.
func TestConnectionInThePlaceOfOneThatVanished(t *testing.T) {
	for _, before := range []struct {
		name  string
		kind  kind
		start int
		said  []string
	}{
		{"in the greeting", kinds[0], nothing, []string{"s>220-hello\r\n"}},
		{"greeted", kinds[0], greeted, nil},
		{"logged in", kinds[0], loggedIn, nil},
		{"with an open port", kinds[0], loggedIn, []string{"c>" + own}},
		{"with an offset", kinds[1], loggedIn, []string{"c>" + own, "s>200 ok\r\n", "c>NOOP\r\n"}},
	} {
		t.Run(before.name, func(t *testing.T) {
			n := newGuarded(t, before.kind, "")
			n.listen(t, 30730)
			const port = 20100
			d := n.connectFrom(t, port).start(before.start)
			d.play(before.said...)
			n.vanish(d)
			d = n.connectFrom(t, port).start(greeted)
			d.play("c>"+own, "s>530 no\r\n")
			n.g.wantNothingOpen()
			d.play("c>USER u\r\n", "s>230 in\r\n", "c>"+own, "s>200 ok\r\n")
			n.wantOne(t, true)
		})
	}
}

// A server's SYN/ACK in the middle, which its client answers with a challenge, begins nothing.
func TestSYNACKInTheMiddleBeginsNothing(t *testing.T) {
	for _, c := range [][2]string{
		{"", "s>220 ready\r\n"}, {"s>22", "s>0 ready\r\n"}, {"s>220-hello\r\n", "s>220 ready\r\n"},
		{"s>220 ready\r\n", "c>NOOP\r\n"},
	} {
		n := newGuarded(t, kinds[0], "", metered)
		n.listen(t, 30730)
		d := n.connect(t, n.Client, false, 21)
		if c[0] != "" {
			d.play(c[0])
		}
		flow := conntrack.Tuple{Src: n.Server.AddrPort(false, 21), Dst: d.original().Src}
		seq, ack := numbers(t, d.server)
		wire := newRaw(t, n.Server)
		for _, away := range []uint32{1, 1 << 10, 1 << 30, 1<<32 - 1<<10} {
			wire.send(flow, seq+away, ack+away, rewrite.SYN|rewrite.ACK, nil)
		}
		if got := n.g.counter(t, "handshakes_total"); got != 1 {
			t.Errorf("behind %q: %d handshakes are counted, want 1", c[0], got)
		}
		d.play(c[1])
		if c[1][0] == 'c' {
			d.play("s>200 ok\r\n")
		}
		d.play("c>USER u\r\n", "s>230 in\r\n", "c>"+own, "s>200 ok\r\n")
		n.wantOne(t, true)
	}
}
