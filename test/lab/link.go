package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link joins two hosts by a cable. Addresses are given with their prefix
// length, for instance "10.0.1.66/24" or "fd00:1::66/64", and usable at once.
func (l *Lab) Link(a *Host, aDev string, aAddrs []string, b *Host, bDev string, bAddrs []string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = aDev
	attrs.Namespace = netlink.NsFd(int(a.ns))
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: bDev, PeerNamespace: netlink.NsFd(int(b.ns))}
	// Asked of a's own namespace, so that the names need not be free elsewhere.
	if err := a.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("linking %s of host %s to %s of host %s: %w", aDev, a, bDev, b, err)
	}
	if err := a.configure(aDev, aAddrs); err != nil {
		return err
	}
	return b.configure(bDev, bAddrs)
}

// Bridge adds a bridge with addresses and makes devices of the host its ports.
func (h *Host) Bridge(dev string, addrs []string, ports ...string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = dev
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := h.nl.LinkAdd(bridge); err != nil {
		return fmt.Errorf("adding bridge %s to host %s: %w", dev, h, err)
	}
	for _, port := range ports {
		if err := h.BridgePort(dev, port); err != nil {
			return err
		}
	}
	return h.configure(dev, addrs)
}

// BridgePort makes a device of the host a port of its bridge.
func (h *Host) BridgePort(bridge, port string) error {
	b, err := h.nl.LinkByName(bridge)
	if err == nil {
		var p netlink.Link
		if p, err = h.nl.LinkByName(port); err == nil {
			err = h.nl.LinkSetMaster(p, b)
		}
	}
	if err != nil {
		return fmt.Errorf("making %s a port of bridge %s of host %s: %w", port, bridge, h, err)
	}
	return nil
}

// configure gives a device its addresses and sets it up.
func (h *Host) configure(dev string, addrs []string) error {
	for _, addr := range addrs {
		if err := h.AddAddr(dev, addr); err != nil {
			return err
		}
	}
	return h.up(dev)
}

// AddAddr gives a device one more address.
func (h *Host) AddAddr(dev, cidr string) error {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return fmt.Errorf("address of %s of host %s: %w", dev, h, err)
	}
	link, err := h.nl.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("looking up %s of host %s: %w", dev, h, err)
	}
	addr := &netlink.Addr{IPNet: ipNet(prefix)}
	if prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := h.nl.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("adding address %s to %s of host %s: %w", cidr, dev, h, err)
	}
	h.remember(prefix.Addr())
	return nil
}

func (h *Host) remember(addr netip.Addr) {
	first := &h.addr4
	if addr.Is6() {
		first = &h.addr6
	}
	if !first.IsValid() {
		*first = addr
	}
}

func (h *Host) up(dev string) error {
	link, err := h.nl.LinkByName(dev)
	if err == nil {
		err = h.nl.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("setting %s of host %s up: %w", dev, h, err)
	}
	return nil
}

// Route adds a route to a network through a neighbour.
func (h *Host) Route(to netip.Prefix, via netip.Addr) error {
	if err := h.nl.RouteAdd(&netlink.Route{Dst: ipNet(to), Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("routing %s via %s on host %s: %w", to, via, h, err)
	}
	return nil
}

// DefaultRoute adds a default route for the family of each neighbour.
func (h *Host) DefaultRoute(via ...netip.Addr) error {
	for _, v := range via {
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if v.Is6() {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		if err := h.Route(all, v); err != nil {
			return err
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
