package pair

import (
	"net"
	"net/netip"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
)

// conn asks the connection tracking of a gateway.
func (g *Gateway) conn(t testing.TB, f func(*conntrack.Conn) error) {
	t.Helper()
	must(t, g.Do(func() error {
		c, err := conntrack.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		return f(c)
	}))
}

// flow returns what a gateway has of a control connection.
func (g *Gateway) flow(t testing.TB, original conntrack.Tuple) (f conntrack.Flow) {
	t.Helper()
	g.conn(t, func(c *conntrack.Conn) error { f, _ = c.Flow(original); return nil })
	return f
}

// alike waits until the standby has of a control connection what the active gateway has.
func (p *Pair) alike(original conntrack.Tuple) {
	p.t.Helper()
	var a, b conntrack.Flow
	defer func() {
		if p.t.Failed() {
			p.t.Logf("active %+v\nstandby %+v", a, b)
		}
	}()
	eventually(p.t, "the entry is replicated", func() bool {
		a, b = p.Gateways[p.Active].flow(p.t, original), p.Standby().flow(p.t, original)
		return a.Helper != "" && a.Helper == b.Helper && a.Tuple == b.Tuple && a.State == b.State &&
			a.Seq == b.Seq && a.Flight == b.Flight
	})
}

// settled waits until no door is in the entries any more, and they are alike. That the connection came for
// which a door waited is written a moment later, and where the gateway that loses the session writes last it
// overwrites what the other has written.
func (p *Pair) settled(original conntrack.Tuple) {
	p.t.Helper()
	const door = conntrack.StateDoorActive | conntrack.StateDoorPassive
	eventually(p.t, "the door is gone from the entry", func() bool {
		return p.Gateways[p.Active].flow(p.t, original).State&door == 0
	})
	p.alike(original)
}

// carried waits until the standby has the entry of a data connection.
func (p *Pair) carried(conn net.Conn) {
	p.t.Helper()
	from := tuple(conn)
	eventually(p.t, "the entry of the data connection is replicated", func() bool {
		f := p.Standby().flow(p.t, from)
		return f.ID != 0 && !f.Opening
	})
}

// tuple is of what its end of a connection sends.
func tuple(conn net.Conn) conntrack.Tuple {
	return conntrack.Tuple{Src: addrPort(conn.LocalAddr()), Dst: addrPort(conn.RemoteAddr())}
}

func addrPort(a net.Addr) netip.AddrPort {
	at := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// opened waits until the standby expects what the active gateway expects.
func (p *Pair) opened(original conntrack.Tuple) {
	p.t.Helper()
	var a, b []conntrack.Expectation
	defer func() {
		if p.t.Failed() {
			p.t.Logf("active %+v\nstandby %+v", a, b)
		}
	}()
	list := func(g *Gateway) (es []conntrack.Expectation) {
		g.conn(p.t, func(c *conntrack.Conn) error {
			es, _ = c.ExpectationsOf(original)
			return nil
		})
		return es
	}
	eventually(p.t, "the door is open on the standby", func() bool {
		a, b = list(p.Gateways[p.Active]), list(p.Standby())
		return len(a) == 1 && len(b) == 1 && a[0].Dst == b[0].Dst && a[0].Src == b[0].Src &&
			a[0].Target == b[0].Target && a[0].Translate == b[0].Translate
	})
}
