package alg

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
)

// TLS says what happens to AUTH TLS and AUTH SSL.
type TLS uint8

const (
	TLSPass  TLS = iota // accepted sessions become opaque and leave the queue
	TLSWatch            // opaque too, but stay in the queue so that a return to clear text (CCC) is noticed
	TLSDeny             // the server is made to refuse AUTH
)

// Policy says what may be opened, and for whom. DefaultPolicy is the standard one.
type Policy struct {
	Active, Passive bool // modes that may open ports

	MinPort uint16 // lowest data port that a client or server may name

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

	Limits Limits
	Strict Strict
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
	Sessions     int // control connections. In all, the longest idle is forgotten; of a client, further ones open nothing
	Open         int // ports waiting for their connection
	NewPerMinute int // ports opened a minute
}

// DefaultPolicy returns the standard policy.
func DefaultPolicy() Policy {
	return Policy{
		Active: true, Passive: true,
		MinPort:   1024,
		FirstPort: 32768, LastPort: 60999,
		Timeout: 60 * time.Second,
		Limits: Limits{
			Total:     Limit{Sessions: 65536, Open: 16384, NewPerMinute: 60000},
			PerClient: Limit{Sessions: 1024, Open: 256, NewPerMinute: 6000},
			IPv4Bits:  32, IPv6Bits: 64,
		},
	}
}

// network returns the network of a that counts as one client.
func (l *Limits) network(a netip.Addr) netip.Prefix {
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

// NetworkPolicy is the policy of the control connections between some networks.
type NetworkPolicy struct {
	Clients []netip.Prefix // before source NAT; empty: any
	Servers []netip.Prefix // as dialled, or after destination NAT; empty: any
	Policy  Policy         // its Limits.Total counts for nothing
}

func (n *NetworkPolicy) fits(f *conntrack.Flow) bool {
	dialled, server := f.Tuple[conntrack.Original].Dst.Addr(), f.Tuple[conntrack.Reply].Src.Addr()
	return (len(n.Clients) == 0 || contains(n.Clients, f.Tuple[conntrack.Original].Src.Addr())) &&
		(len(n.Servers) == 0 || contains(n.Servers, dialled) || contains(n.Servers, server))
}

// external returns the address to show to peer instead of known, or known.
func (p *Policy) external(known, peer netip.Addr, translated bool) netip.Addr {
	ext := p.External4
	if known.Is6() {
		ext = p.External6
	}
	if !ext.IsValid() || !translated && !known.IsPrivate() || peer.IsLoopback() || contains(p.Internal, peer) {
		return known
	}
	return ext
}

func contains(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
