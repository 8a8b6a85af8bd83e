package replay

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/ftpalg/ftpalg/conntrack"
)

// NAT is a translation of the gateway that the capture does not show, since it was taken on one side.
type NAT struct {
	Inside  []netip.Prefix
	Outside netip.Addr
}

// Masquerade is the NAT that shows all private addresses (RFC 1918, RFC 4193) as outside.
func Masquerade(outside netip.Addr) NAT {
	n := NAT{Outside: outside}
	for _, p := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"} {
		n.Inside = append(n.Inside, netip.MustParsePrefix(p))
	}
	return n
}

// ParseNAT reads INSIDE=OUTSIDE, as in "10.0.0.5=203.0.113.9" or "10.0.0.0/8=203.0.113.9".
func ParseNAT(text string) (NAT, error) {
	in, out, ok := strings.Cut(text, "=")
	if !ok {
		return NAT{}, fmt.Errorf("%q is not INSIDE=OUTSIDE", text)
	}
	inside, err := netip.ParsePrefix(in)
	if a, addrErr := netip.ParseAddr(in); addrErr == nil {
		inside, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	outside, outErr := netip.ParseAddr(out)
	switch {
	case err != nil:
		return NAT{}, fmt.Errorf("%q is neither an address nor a network", in)
	case outErr != nil || outside.Zone() != "":
		return NAT{}, fmt.Errorf("%q is not an IP address", out)
	case inside.Addr().Is4() != outside.Is4():
		return NAT{}, fmt.Errorf("%s and %s are not of one IP version", in, out)
	}
	return NAT{Inside: []netip.Prefix{inside.Masked()}, Outside: outside}, nil
}

func (n *NAT) isInside(a netip.Addr) bool {
	for _, p := range n.Inside {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// host returns the one address inside, if there is only one.
func (n *NAT) host() (netip.Addr, bool) {
	if len(n.Inside) != 1 || !n.Inside[0].IsSingleIP() {
		return netip.Addr{}, false
	}
	return n.Inside[0].Addr(), true
}

// translated returns the entry that connection tracking would have of a connection that the capture
// shows as seen, on either side of the gateway.
func translated(nats []NAT, seen conntrack.Tuple) conntrack.Flow {
	f := conntrack.Flow{Tuple: [2]conntrack.Tuple{seen, seen.Reverse()}}
	client, server := seen.Src, seen.Dst
	for i := range nats {
		n := &nats[i]
		if n.Outside.Is4() != client.Addr().Is4() {
			continue
		}
		from, to := n.isInside(client.Addr()), n.isInside(server.Addr())
		host, single := n.host()
		switch {
		case from && !to && !f.SNAT:
			f.SNAT, f.Tuple[conntrack.Reply].Dst = true, netip.AddrPortFrom(n.Outside, client.Port())
		case to && !from && !f.DNAT:
			f.DNAT, f.Tuple[conntrack.Original].Dst = true, netip.AddrPortFrom(n.Outside, server.Port())
		case single && server.Addr() == n.Outside && !f.DNAT:
			f.DNAT, f.Tuple[conntrack.Reply].Src = true, netip.AddrPortFrom(host, server.Port())
		}
	}
	return f
}
