package policy

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"time"
)

// TLS says what happens to AUTH TLS and AUTH SSL.
type TLS uint8

const (
	TLSPass  TLS = iota // accepted sessions become opaque and leave the queue
	TLSWatch            // opaque too, but stay in the queue so that a return to clear text (CCC) is noticed
	TLSDeny             // the server is made to refuse AUTH
)

// Policy says what may be opened, and for whom. Default is the standard one.
type Policy struct {
	Active, Passive bool // modes that may open ports

	MinPort   uint16      // lowest data port that a client or server may name
	MaxPort   uint16      // highest one; 0: 65535
	DenyPorts []PortRange // ports between them that no data connection may have all the same

	// External4 and External6 are written into PORT, EPRT and 227 instead of the
	// address that this machine knows, where it stands behind a one-to-one NAT
	// itself. They apply where this machine translates, or to a private address.
	External4, External6 netip.Addr
	// Internal are peers to which the external addresses are not shown.
	Internal []netip.Prefix

	// AnyPassiveAddress makes every address in a 227 count as the server's own.
	// The port is opened to the server of the control connection all the same.
	AnyPassiveAddress bool
	// FXP are networks that a client may name in PORT and EPRT besides itself.
	FXP []netip.Prefix

	// FirstPort and LastPort bound the ports that the gateway chooses itself, when the one
	// named is taken.
	FirstPort, LastPort uint16

	Timeout time.Duration // how long an opened port waits for its connection
	TLS     TLS

	// TrustRunning takes control connections whose beginning was not seen as greeted and logged in.
	TrustRunning bool
	// Adopt lets the kernel's entry of a control connection that is older than the rules be replaced, so that
	// something can be opened for it.
	Adopt bool

	Limits Limits
	Strict Strict
}

// PortRange is a range of ports, with its ends.
type PortRange struct{ First, Last uint16 }

// Services are ports above 1023 on which services listen that no data connection should
// reach: databases, remote desktops, caches, orchestration. None is denied unless DenyPorts says so.
var Services = []PortRange{
	{1433, 1434}, {1521, 1521}, {2049, 2049}, {2375, 2380}, {3306, 3306}, {3389, 3389}, {5432, 5432},
	{5900, 5909}, {5984, 5986}, {6000, 6063}, {6379, 6379}, {6443, 6443}, {8500, 8500}, {9042, 9042},
	{9200, 9300}, {10250, 10250}, {11211, 11211}, {27017, 27019},
}

// Limits bound what strangers can make us keep.
type Limits struct {
	Total     Limit // of all clients
	PerClient Limit
	// IPv4Bits and IPv6Bits are the lengths of the networks that count as one client. Zero
	// means 32 and 64.
	IPv4Bits, IPv6Bits int
}

// Limit bounds one thing each. Zero means no limit.
type Limit struct {
	// Sessions are control connections. In all, the longest idle is forgotten. Of a client those
	// count that were greeted and answered, and further ones open nothing while there are so many.
	Sessions     int
	Open         int // ports waiting for their connection
	NewPerMinute int // ports opened a minute

	// CommandsPerSecond and FailedLoginsPerMinute are of one client. Commands beyond them are refused.
	CommandsPerSecond, FailedLoginsPerMinute int
}

// Default returns the standard policy.
func Default() Policy {
	return Policy{
		Active: true, Passive: true,
		MinPort: 1024, MaxPort: 65535,
		FirstPort: 32768, LastPort: 60999,
		Timeout: 60 * time.Second,
		Adopt:   true,
		Limits: Limits{
			Total:     Limit{Sessions: 65536, Open: 16384, NewPerMinute: 60000},
			PerClient: Limit{Sessions: 1024, Open: 256, NewPerMinute: 6000},
			IPv4Bits:  32, IPv6Bits: 64,
		},
	}
}

// Port tells why a data connection may not have this port, or None.
func (p *Policy) Port(n uint16) Reason {
	switch {
	case n < max(p.MinPort, 1):
		return LowPort
	case p.MaxPort > 0 && n > p.MaxPort:
		return HighPort
	}
	for _, r := range p.DenyPorts {
		if r.First <= n && n <= r.Last {
			return DeniedPort
		}
	}
	return None
}

// PickPort chooses a port of our own.
func (p *Policy) PickPort() uint16 {
	return p.FirstPort + uint16(rand.IntN(int(p.LastPort)-int(p.FirstPort)+1))
}

// External returns the address to show to peer instead of known, or known; translated tells whether
// this machine translates it.
func (p *Policy) External(known, peer netip.Addr, translated bool) netip.Addr {
	ext := p.External4
	if known.Is6() {
		ext = p.External6
	}
	if !ext.IsValid() || !translated && !known.IsPrivate() || peer.IsLoopback() ||
		contains(p.Internal, peer) {
		return known
	}
	return ext
}

// MayName tells whether a client may name another host in PORT and EPRT.
func (p *Policy) MayName(a netip.Addr) bool { return contains(p.FXP, a) }

// Network returns the network of a that counts as one client.
func (l *Limits) Network(a netip.Addr) netip.Prefix {
	bits := cmp.Or(l.IPv4Bits, 32)
	if a.Is6() {
		bits = cmp.Or(l.IPv6Bits, 64)
	}
	net, err := a.Prefix(bits)
	if err != nil { // longer than an address
		return netip.PrefixFrom(a, a.BitLen())
	}
	return net
}

// Network is the policy of the control connections between some networks.
type Network struct {
	Clients []netip.Prefix // before source NAT; empty: any
	Servers []netip.Prefix // as dialled, or after destination NAT; empty: any
	Policy  Policy         // its Limits.Total counts for nothing
}

// Fits tells whether a control connection lies between the networks.
func (n *Network) Fits(client, dialled, server netip.Addr) bool {
	return (len(n.Clients) == 0 || contains(n.Clients, client)) &&
		(len(n.Servers) == 0 || contains(n.Servers, dialled) || contains(n.Servers, server))
}

func contains(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
