package policy

import (
	"net/netip"
	"testing"
)

func TestEveryReasonHasALabelOfItsOwnAMeaningAndARemedy(t *testing.T) {
	seen := map[string]bool{}
	for r := None; r < NumReasons; r++ {
		if r.String() == "" || seen[r.String()] || r.Meaning() == "" ||
			(r.Remedy() == "") != (r == None) {
			t.Errorf("reason %d: %q, %q, %q", r, r, r.Meaning(), r.Remedy())
		}
		seen[r.String()] = true
		if got, ok := Named(r.String()); got != r || !ok {
			t.Errorf("%q names %v, %v", r, got, ok)
		}
	}
	if r, ok := Named("no such reason"); ok {
		t.Errorf("it names %v", r)
	}
}

func TestPortsOutsideTheBoundsAreRefusedWithTheirReason(t *testing.T) {
	p := Default()
	p.MaxPort, p.DenyPorts = 50000, Services
	for port, want := range map[uint16]Reason{
		0: LowPort, 1023: LowPort, 1024: None, 3306: DeniedPort, 3305: None, 5999: None, 6000: DeniedPort,
		6063: DeniedPort, 6064: None, 50000: None, 50001: HighPort,
	} {
		if got := p.Port(port); got != want {
			t.Errorf("port %d: %v, want %v", port, got, want)
		}
	}
	p = Default()
	if why := p.Port(3306); why != None {
		t.Errorf("the standard policy refuses 3306: %v", why)
	}
	if p.MinPort = 0; p.Port(0) != LowPort {
		t.Error("port 0 is allowed")
	}
	for i, r := range Services {
		if r.First > r.Last || i > 0 && r.First <= Services[i-1].Last {
			t.Errorf("%v is out of order", r)
		}
	}
}

func nets(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func TestNetworkFitsByClientAndByEitherAddressOfTheServer(t *testing.T) {
	client, dialled := netip.MustParseAddr("10.0.13.222"), netip.MustParseAddr("198.51.100.1")
	server := netip.MustParseAddr("10.0.1.66")
	for _, c := range []struct {
		n    Network
		want bool
	}{
		{Network{}, true},
		{Network{Clients: nets("10.0.13.0/24")}, true},
		{Network{Clients: nets("10.0.14.0/24")}, false},
		{Network{Clients: nets("10.0.2.0/24", "10.0.13.0/24")}, true},
		{Network{Servers: nets("198.51.100.1/32")}, true},
		{Network{Servers: nets("10.0.1.66/32")}, true},
		{Network{Servers: nets("10.0.13.0/24")}, false},
		{Network{Clients: nets("10.0.13.0/24"), Servers: nets("10.0.2.0/24")}, false},
	} {
		if got := c.n.Fits(client, dialled, server); got != c.want {
			t.Errorf("%v, %v: %v", c.n.Clients, c.n.Servers, got)
		}
	}
}

func TestClientIsItsNetwork(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		a, b   string
		same   bool
	}{
		{Limits{}, "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		{Limits{}, "2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{Limits{}, "10.0.0.1", "10.0.0.2", false},
		{Limits{IPv4Bits: 24}, "10.0.0.1", "10.0.0.2", true},
		{Limits{IPv6Bits: 48}, "2001:db8:1:2::1", "2001:db8:1:3::1", true},
		{Limits{IPv6Bits: 200}, "2001:db8:1:2::1", "2001:db8:1:2::2", false},
	} {
		a, b := c.limits.Network(netip.MustParseAddr(c.a)), c.limits.Network(netip.MustParseAddr(c.b))
		if (a == b) != c.same {
			t.Errorf("%+v: %s is of %v, %s of %v", c.limits, c.a, a, c.b, b)
		}
	}
}

func TestExternalAddressIsShownOnlyWhereItHelps(t *testing.T) {
	p := Default()
	p.External4, p.Internal = netip.MustParseAddr("192.0.2.99"), nets("10.9.0.0/16")
	private, public := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("203.0.113.7")
	peer, v6 := netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		known, peer netip.Addr
		translated  bool
		want        netip.Addr
	}{
		{private, peer, false, p.External4},
		{public, peer, true, p.External4},
		{public, peer, false, public},
		{private, netip.MustParseAddr("10.9.1.1"), true, private},
		{private, netip.MustParseAddr("127.0.0.1"), true, private},
		{v6, netip.MustParseAddr("2001:db8::2"), true, v6},
	} {
		if got := p.External(c.known, c.peer, c.translated); got != c.want {
			t.Errorf("%v shown to %v: %v, want %v", c.known, c.peer, got, c.want)
		}
	}
}
