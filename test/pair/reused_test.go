package pair

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// usedPort is a port of clients, which no kernel chooses.
const usedPort = 20100

// The entry of an ended connection that came from the other gateway is not one that this kernel reopens.
func TestPortThatAnotherClientHadBeforeASwitchWorksAfterIt(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			p := newPair(t)
			p.Activate(0)
			a := p.login(&s)
			b := p.another(&s, a.server)
			for i, m := range []ftptest.Mode{s.modes()[0], ftptest.EPRT} {
				for n, x := range []*session{a, b} {
					x.ActivePort = usedPort + uint16(i)
					d := x.agree(m)
					conn := x.begin(d, "small")
					from := tuple(conn)
					x.finish(conn, "small", nil)
					d.data.Close()
					if n == 0 {
						p.ended(from)
						p.fail()
					}
				}
			}
		})
	}
}

// another is a client of the same network as those of side s, at another address.
func (p *Pair) another(s *side, server *ftptest.Server) *session {
	p.t.Helper()
	dev, addrs := "outside", []string{"203.0.113.70/24", "2001:db8:113::70/64"}
	if s.client(p) == p.Inside {
		dev, addrs = "inside", []string{"10.0.13.70/24", "fd00:13::70/64"}
	}
	h := p.Join("another", dev, addrs...)
	p.Lead(p.Active)
	there := *s
	there.client = func(*Pair) *lab.Host { return h }
	return p.enter(&there, server)
}

// ended waits until the standby knows that a connection has ended.
func (p *Pair) ended(t conntrack.Tuple) {
	p.t.Helper()
	eventually(p.t, "the standby knows that the connection has ended", func() bool {
		var e conntrack.Entry
		p.Standby().conn(p.t, func(c *conntrack.Conn) error { _ = c.Entry(t, &e); return nil })
		return e.TCP.State == conntrack.TCPTimeWait
	})
}

// What conntrackd has of a connection that ended when this gateway was active must not end one that has its
// addresses and ports on the other now. The kernel tells of the end of an entry whose time is over when it
// comes across it, as late as where another one is to be put in its place.
func TestConnectionWithThePortsOfAnEndedOneGoesOnAfterASwitch(t *testing.T) {
	p := newPair(t)
	for _, g := range p.Gateways {
		must(t, g.Sysctl("net.netfilter.nf_conntrack_tcp_timeout_close", "1"))
	}
	p.Activate(0)
	p.login(&sides[0])
	dial := func(i int) (conn net.Conn, say func(line string)) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		from := netip.AddrPortFrom(p.Inside.AddrPort(false, 0).Addr(), usedPort+uint16(i))
		conn, err := p.Inside.Dial(ctx, from, netip.MustParseAddrPort(sides[0].dial))
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		replies := bufio.NewReader(conn)
		return conn, func(line string) {
			_, err := conn.Write([]byte(line))
			if err == nil {
				_, err = replies.ReadString('\n')
			}
			if err != nil {
				t.Fatalf("connection %d that has the ports of another: %q: %v", i, line, err)
			}
		}
	}
	const many = 20
	for i := range many {
		conn, _ := dial(i)
		p.carried(conn)
		must(t, conn.(*net.TCPConn).SetLinger(0)) // by a reset, so that the ends forget it too
		must(t, conn.Close())
	}
	p.fail()
	time.Sleep(2100 * time.Millisecond) // until their time is over: to look at them would be to collect them
	for i := range many {
		conn, say := dial(i)
		say("") // it is greeted
		p.carried(conn)
		say("NOOP\r\n")
		must(t, conn.Close())
	}
}
