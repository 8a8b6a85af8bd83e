package pair

import (
	"context"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
)

// A packet that strays to the standby, as while the gateways change places, must not make conntrackd send the
// standby's copy of the entry back over what the active gateway has.
func TestPacketThatStraysToTheStandbyBringsNoOldEntryBack(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			p := newPair(t)
			p.Activate(0)
			x := p.login(&s)
			x.finish(x.begin(x.agree(s.edited(p)), "small"), "small", nil)
			x.noop()
			p.settled(x.original)
			written := writes(t, p.Gateways[0], x.original)
			if n := written(p.stray(&s, x)); n != 0 {
				t.Errorf("the active gateway's entry was written %d times, and is now %+v", n,
					p.Gateways[0].flow(t, x.original))
			}
		})
	}
}

// stray has the idle session x send a packet without data by the standby, and returns a connection that began
// there after it: when the active gateway is told of that one, it was told of all that the packet did.
func (p *Pair) stray(s *side, x *session) conntrack.Tuple {
	p.t.Helper()
	p.Standby().count(p.t, "forward priority 0")
	p.Lead(1 - p.Active)
	defer p.Lead(p.Active)
	alive := net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Hour}
	must(p.t, x.Conn().(*net.TCPConn).SetKeepAliveConfig(alive))
	eventually(p.t, "a packet comes by the standby", func() bool { return p.Standby().counted(p.t) > 0 })

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	later, err := x.host.Dial(ctx, netip.AddrPort{}, netip.MustParseAddrPort(s.dial))
	must(p.t, err)
	p.t.Cleanup(func() { _ = later.Close() })
	return conntrack.Tuple{Src: addrPort(later.LocalAddr()), Dst: addrPort(later.RemoteAddr())}
}

var packets = regexp.MustCompile(`counter packets (\d+)`)

// count counts from now on what comes to a gateway for servers.
func (g *Gateway) count(t testing.TB, hook string) {
	t.Helper()
	g.Run(t, "nft", "add table inet seen; add chain inet seen on { type filter hook "+hook+"; }; "+
		"add rule inet seen on tcp dport 21 counter")
}

func (g *Gateway) counted(t testing.TB) int {
	t.Helper()
	out, err := g.Command(context.Background(), "nft", "list", "table", "inet", "seen").Output()
	must(t, err)
	n, err := strconv.Atoi(string(packets.FindSubmatch(out)[1]))
	must(t, err)
	return n
}

// writes counts from now on, until another connection is told of, how often programs write or replace an
// entry of a gateway.
func writes(t testing.TB, g *Gateway, original conntrack.Tuple) (until func(conntrack.Tuple) int) {
	t.Helper()
	l := g.Listen(t, conntrack.FlowNew|conntrack.FlowUpdate|conntrack.FlowDestroy, 1<<20)
	must(t, l.SetDeadline(time.Now().Add(patience)))
	return func(later conntrack.Tuple) (n int) {
		t.Helper()
		for told := false; !told; {
			must(t, l.Receive(func(e *conntrack.Event) {
				told = told || e.Entry.Tuple[0] == later
				if e.PortID != 0 && e.Entry.Tuple[0] == original {
					n++
				}
			}))
		}
		return n
	}
}
