package lab

import (
	"fmt"
	"net/netip"
)

// Segment is a network behind a device of a gateway: a bridge, so that it has
// room for any number of hosts.
type Segment struct {
	Gateway *Host
	Dev     string // the bridge on the gateway

	addr4, addr6 netip.Prefix // the gateway's
	ports        int
}

// Segment adds a network to the host, which is its gateway. Addresses are the
// gateway's, with the prefix length of the network.
func (h *Host) Segment(dev, cidr4, cidr6 string) (*Segment, error) {
	s := &Segment{Gateway: h, Dev: dev}
	for cidr, p := range map[string]*netip.Prefix{cidr4: &s.addr4, cidr6: &s.addr6} {
		var err error
		if *p, err = netip.ParsePrefix(cidr); err != nil {
			return nil, fmt.Errorf("address of %s of host %s: %w", dev, h, err)
		}
	}
	return s, h.Bridge(dev, []string{cidr4, cidr6})
}

// Addr returns the gateway's address on the segment.
func (s *Segment) Addr(ipv6 bool) netip.Addr { return s.Prefix(ipv6).Addr() }

// AddrPort returns [Segment.Addr] with a port.
func (s *Segment) AddrPort(ipv6 bool, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(s.Addr(ipv6), port)
}

// Prefix returns the gateway's address with the length of the network.
func (s *Segment) Prefix(ipv6 bool) netip.Prefix {
	if ipv6 {
		return s.addr6
	}
	return s.addr4
}

// Host adds a host to the segment, with the device eth0 and no route beyond
// it: see [Segment.Route].
func (s *Segment) Host(name, addr4, addr6 string) (*Host, error) {
	h, err := s.Gateway.lab.Host(name)
	if err != nil {
		return nil, err
	}
	return h, s.Attach(h, "eth0", addr4, addr6)
}

// Attach joins a host to the segment by one more device.
func (s *Segment) Attach(h *Host, dev, addr4, addr6 string) error {
	s.ports++
	port := fmt.Sprintf("%s%d", s.Dev, s.ports)
	addrs := []string{
		fmt.Sprintf("%s/%d", addr4, s.addr4.Bits()),
		fmt.Sprintf("%s/%d", addr6, s.addr6.Bits()),
	}
	if err := s.Gateway.lab.Link(s.Gateway, port, nil, h, dev, addrs); err != nil {
		return err
	}
	return s.Gateway.BridgePort(s.Dev, port)
}

// Route makes the segment's gateway the default router of a host.
func (s *Segment) Route(h *Host) error { return h.DefaultRoute(s.Addr(false), s.Addr(true)) }

// ControlPort is the port that the rules of the standard networks let pass.
const ControlPort = 21

// Routed is a client, a gateway and a server in a row. Hosts can be added to
// both segments.
type Routed struct {
	Client, Gateway, Server *Host
	Inside, Outside         *Segment // devices "inside" and "outside"
	// Rules are the gateway's. Change them and call SetRules for others.
	Rules Ruleset
}

// SetRules gives the gateway the rules again.
func (r *Routed) SetRules() error { return r.Gateway.SetRules(r.Rules) }

// Firewall is a gateway without NAT: the client 10.0.13.222 inside, the server
// 10.0.1.66 outside, and new connections to port 21 alone may pass.
func (l *Lab) Firewall() (*Routed, error) {
	r, err := l.routed("10.0.13.1/24", "fd00:13::1/64", "10.0.1.1/24", "fd00:1::1/64")
	if err != nil {
		return nil, err
	}
	if r.Client, err = r.Inside.Host("client", "10.0.13.222", "fd00:13::222"); err != nil {
		return nil, err
	}
	if r.Server, err = r.Outside.Host("server", "10.0.1.66", "fd00:1::66"); err != nil {
		return nil, err
	}
	if err := r.Outside.Route(r.Server); err != nil {
		return nil, err
	}
	return r, r.Inside.Route(r.Client)
}

// ClientBehindNAT is a masquerading gateway: the client 10.0.13.222 inside, the
// server 203.0.113.66 outside, which knows no way to the inside.
func (l *Lab) ClientBehindNAT() (*Routed, error) {
	r, err := l.routed("10.0.13.1/24", "fd00:13::1/64", "203.0.113.1/24", "2001:db8:113::1/64")
	if err != nil {
		return nil, err
	}
	if r.Client, err = r.Inside.Host("client", "10.0.13.222", "fd00:13::222"); err != nil {
		return nil, err
	}
	if r.Server, err = r.Outside.Host("server", "203.0.113.66", "2001:db8:113::66"); err != nil {
		return nil, err
	}
	if err := r.Inside.Route(r.Client); err != nil {
		return nil, err
	}
	r.Rules.Masquerade = []string{r.Outside.Dev}
	return r, r.SetRules()
}

// ServerBehindNAT is a gateway that forwards port 21 of its outside address,
// and nothing else: the server 10.0.1.66 inside, the client 203.0.113.222
// outside, which knows no way to the inside.
func (l *Lab) ServerBehindNAT() (*Routed, error) {
	r, err := l.routed("10.0.1.1/24", "fd00:1::1/64", "203.0.113.1/24", "2001:db8:113::1/64")
	if err != nil {
		return nil, err
	}
	if r.Server, err = r.Inside.Host("server", "10.0.1.66", "fd00:1::66"); err != nil {
		return nil, err
	}
	if r.Client, err = r.Outside.Host("client", "203.0.113.222", "2001:db8:113::222"); err != nil {
		return nil, err
	}
	if err := r.Inside.Route(r.Server); err != nil {
		return nil, err
	}
	for _, ipv6 := range []bool{false, true} {
		r.Rules.DNAT = append(r.Rules.DNAT, DNAT{
			Dialled: r.Outside.AddrPort(ipv6, ControlPort),
			To:      r.Server.AddrPort(ipv6, ControlPort),
		})
	}
	return r, r.SetRules()
}

// routed makes the gateway, with policies that let port 21 pass.
func (l *Lab) routed(inside4, inside6, outside4, outside6 string) (r *Routed, err error) {
	r = &Routed{}
	if r.Gateway, err = l.Host("gateway"); err != nil {
		return nil, err
	}
	if r.Inside, err = r.Gateway.Segment("inside", inside4, inside6); err != nil {
		return nil, err
	}
	if r.Outside, err = r.Gateway.Segment("outside", outside4, outside6); err != nil {
		return nil, err
	}
	r.Rules = Ruleset{Forward: controlOnly(), Input: controlOnly()}
	if err := r.SetRules(); err != nil {
		return nil, err
	}
	return r, r.Gateway.Forwarding(true)
}

func controlOnly() *Policy { return &Policy{Accept: []Accept{{Port: ControlPort}}} }
