package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// customer is a client and a server that reach each other through a gateway, and nobody else: other customers
// of the gateway have the same addresses.
type customer struct{ client, server *lab.Host }

// apart tells how a gateway keeps the routes of its customers apart.
type apart struct {
	name    string
	arrange func(t *testing.T, gateway *lab.Host, table int, devices ...string)
}

var byRules = apart{"policy routing", func(t *testing.T, gateway *lab.Host, table int, devices ...string) {
	nl := gateway.Netlink()
	for i, dev := range devices {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			rule := netlink.NewRule()
			rule.Family, rule.IifName, rule.Table = family, dev, table
			rule.Priority = 100
			must(t, nl.RuleAdd(rule))
		}
		link, err := nl.LinkByName(dev)
		must(t, err)
		for _, network := range []string{customerNetworks[i].ipv4, customerNetworks[i].ipv6} {
			dst, err := netlink.ParseIPNet(network)
			must(t, err)
			dst.IP = dst.IP.Mask(dst.Mask)
			must(t, nl.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Table: table}))
		}
	}
}}

var byVRF = apart{"VRF devices", func(t *testing.T, gateway *lab.Host, table int, devices ...string) {
	nl := gateway.Netlink()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = fmt.Sprintf("vrf%d", table)
	vrf := &netlink.Vrf{LinkAttrs: attrs, Table: uint32(table)}
	err := nl.LinkAdd(vrf)
	if errors.Is(err, unix.EOPNOTSUPP) && os.Getenv("FTPALG_BINARY") == "" {
		t.Skip("NOT TESTED here: this kernel has no VRF devices (CONFIG_NET_VRF). test/kernels/e2e has them")
	}
	must(t, err)
	must(t, nl.LinkSetUp(vrf))
	for _, dev := range devices {
		link, err := nl.LinkByName(dev)
		must(t, err)
		must(t, nl.LinkSetMaster(link, vrf))
	}
}}

// customerNetworks are the gateway's addresses, inside and outside, where they are longer than the clients'.
var customerNetworks = [2]struct{ ipv4, ipv6 string }{
	{"10.0.13.1/24", "fd00:13::1/64"}, {"203.0.113.101/24", "2001:db8:113::1/64"},
}

// customers makes a gateway with two customers, each in a conntrack zone: 5 and 6.
func customers(t *testing.T, how apart) (gateway *lab.Host, all [2]customer) {
	t.Helper()
	l := lab.NewT(t)
	gateway, err := l.Host("gateway")
	must(t, err)
	rules := lab.Ruleset{Forward: &lab.Policy{Accept: []lab.Accept{{Port: lab.ControlPort}}}}
	var zones []string
	for i := range all {
		c := &all[i]
		c.client, err = l.Host(fmt.Sprint("client", i))
		must(t, err)
		c.server, err = l.Host(fmt.Sprint("server", i))
		must(t, err)
		in, out := fmt.Sprint("in", i), fmt.Sprint("out", i)
		must(t, l.Link(gateway, in, nil, c.client, "eth0", []string{"10.0.13.222/24", "fd00:13::222/64"}))
		must(t, l.Link(gateway, out, nil, c.server, "eth0",
			[]string{"203.0.113.66/24", "2001:db8:113::66/64"}))
		how.arrange(t, gateway, 100+i, in, out)
		for d, dev := range []string{in, out} {
			must(t, gateway.AddAddr(dev, customerNetworks[d].ipv4))
			must(t, gateway.AddAddr(dev, customerNetworks[d].ipv6))
			zones = append(zones, fmt.Sprintf("%q : %d", dev, testZone+i))
		}
		must(t, c.client.DefaultRoute(gateway.Addr(false), gateway.Addr(true)))
		rules.Masquerade = append(rules.Masquerade, out)
	}
	must(t, gateway.SetRules(rules))
	must(t, gateway.Forwarding(true))
	inZone(t, gateway, "ct zone set iifname map { "+strings.Join(zones, ", ")+" }")
	return gateway, all
}

func TestCustomersWithTheSameAddressesDoNotMeet(t *testing.T) {
	ways := []apart{byRules, byVRF}
	if os.Getenv("FTPALG_BINARY") != "" {
		ways = ways[1:] // an emulated machine is slow, and the other way is tested elsewhere
	}
	for _, how := range ways {
		for _, f := range families {
			t.Run(how.name+", "+f.name, func(t *testing.T) {
				gateway, all := customers(t, how)
				told, g := tellsZones(t, gateway), inZones(t, gateway, "[5, 6]")
				var s [2]*ftptest.Server
				var c [2]*ftptest.Client
				for i, of := range all {
					at := of.server.AddrPort(f.ipv6, lab.ControlPort)
					s[i] = serve(t, &ftptest.Server{}, of.server, at)
					s[i].Put("own", ftptest.Random(5000, uint64(10+i)))
					if told {
						c[i] = loginFrom(t, of.client, 31021, at) // the same ports, too
					} else {
						c[i] = loginFrom(t, of.client, uint16(31021+i), at)
					}
				}
				round := func() {
					for _, m := range append(modes(f.ipv6, true), modes(f.ipv6, false)...) {
						for i := range c {
							get(t, c[i], s[i], m, "own")
						}
						get(t, c[0], s[0], m, "own") // so that their offsets differ
					}
				}
				round()
				g.kill()
				g.start()
				round()
				g.wantNothingOpen()
			})
		}
	}
}

// Where the kernel does not tell zones nobody can tell which of the two a packet belongs to.
func TestConnectionsThatCannotBeToldApartAreNotTouched(t *testing.T) {
	gateway, all := customers(t, byRules)
	if tellsZones(t, gateway) {
		return // they can
	}
	g := inZones(t, gateway, "[5, 6]")
	const port = 31021
	var c [2]*ftptest.Client
	for i, of := range all {
		at := of.server.AddrPort(false, lab.ControlPort)
		s := serve(t, &ftptest.Server{Timeout: impatience}, of.server, at)
		c[i] = loginFrom(t, of.client, port, at)
		if i == 0 {
			get(t, c[i], s, ftptest.PORT, "small")
		}
	}
	for i := range c {
		if r, err := c[i].Cmd("NOOP"); err != nil || r.Code != 200 {
			t.Fatalf("NOOP is answered by %s, %v", r, err)
		}
		wantFailure(t, c[i], ftptest.PORT)
		g.wantNothingOpen()
	}
}
