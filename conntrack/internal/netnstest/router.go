package netnstest

import (
	"net"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
)

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// Addresses of a Router's network.
const (
	Client        = "10.77.1.2"
	GatewayInside = "10.77.1.1"
	Gateway       = "192.0.2.1"
	Server        = "192.0.2.2"

	Client6  = "fd77:1::2"
	Gateway6 = "2001:db8::1"
	Server6  = "2001:db8::2"
)

// Router is a client and a server with a gateway between them, each in its own
// namespace. The gateway forwards and masquerades both IP versions, so the
// server sees the gateway's address.
type Router struct {
	Client, Gateway, Server *NS
}

// NewRouter makes the three namespaces.
func NewRouter(t testing.TB) *Router {
	t.Helper()
	r := &Router{Client: New(t), Gateway: New(t), Server: New(t)}
	r.Gateway.Sysctl("ipv4/ip_forward", "1")
	r.Gateway.Sysctl("ipv6/conf/all/forwarding", "1")
	join(r.Gateway, "inside", r.Client, "eth0",
		[]string{GatewayInside + "/24", "fd77:1::1/64"}, []string{Client + "/24", Client6 + "/64"})
	join(r.Gateway, "outside", r.Server, "eth0",
		[]string{Gateway + "/24", Gateway6 + "/64"}, []string{Server + "/24", Server6 + "/64"})
	r.Client.route("0.0.0.0/0", GatewayInside)
	r.Client.route("::/0", "fd77:1::1")
	r.Gateway.masquerade("outside")
	return r
}

// join connects two namespaces with a veth pair.
func join(a *NS, aName string, b *NS, bName string, aAddrs, bAddrs []string) {
	a.t.Helper()
	a.Do(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = aName
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerNamespace: netlink.NsFd(b.fd)}
		if err := netlink.LinkAdd(veth); err != nil {
			a.t.Errorf("make the veth pair %s and %s: %v", aName, bName, err)
			return
		}
		addresses(a.t, aName, aAddrs)
	})
	b.Do(func() { addresses(b.t, bName, bAddrs) })
	a.Do(func() { awaitUp(a.t, aName) })
	b.Do(func() { awaitUp(b.t, bName) })
}

// awaitUp waits for the kernel to have noticed that the link has a carrier: until
// then it drops what is sent, and a connection would open a second late.
func awaitUp(t testing.TB, name string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if l, err := netlink.LinkByName(name); err == nil && l.Attrs().OperState == netlink.OperUp {
			return
		}
	}
	t.Errorf("link %s does not come up", name)
}

func addresses(t testing.TB, link string, addrs []string) {
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Errorf("find link %s: %v", link, err)
		return
	}
	for _, s := range addrs {
		a, err := netlink.ParseAddr(s)
		if err != nil {
			t.Errorf("parse %s: %v", s, err)
			continue
		}
		if a.IP.To4() == nil {
			a.Flags = 0x02 // IFA_F_NODAD: usable at once
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			t.Errorf("add address %s to %s: %v", s, link, err)
		}
	}
	linkUp(t, link)
}

func linkUp(t testing.TB, name string) {
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	if err != nil {
		t.Errorf("bring up %s: %v", name, err)
	}
}

func (n *NS) route(dst, via string) {
	n.t.Helper()
	n.Do(func() {
		_, to, err := net.ParseCIDR(dst)
		if err == nil {
			err = netlink.RouteAdd(&netlink.Route{Dst: to, Gw: net.ParseIP(via)})
		}
		if err != nil {
			n.t.Errorf("route %s via %s: %v", dst, via, err)
		}
	})
}

// masquerade translates what leaves through the interface.
func (n *NS) masquerade(out string) {
	n.t.Helper()
	name := make([]byte, 16) // IFNAMSIZ
	copy(name, out)
	n.Nft(func(c *nftables.Conn) {
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "nat"})
		chain := c.AddChain(&nftables.Chain{Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
			&expr.Masq{},
		}})
	})
}

// Nft applies the changes that f makes to the namespace's nftables rules.
func (n *NS) Nft(f func(*nftables.Conn)) {
	n.t.Helper()
	n.Do(func() {
		c, err := nftables.New(nftables.AsLasting())
		if err != nil {
			n.t.Errorf("open nftables: %v", err)
			return
		}
		defer func() { _ = c.CloseLasting() }()
		f(c)
		if err := c.Flush(); err != nil {
			n.t.Errorf("apply nftables rules: %v", err)
		}
	})
}
