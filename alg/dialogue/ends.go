package dialogue

import (
	"encoding/binary"
	"net/netip"
)

// Endpoints are the addresses of a control connection as each side knows them.
type Endpoints struct {
	Client     netip.AddrPort // as it knows itself, before source NAT
	Dialled    netip.AddrPort // what the client connected to
	Server     netip.AddrPort // as it knows itself, after destination NAT
	Outside    netip.AddrPort // the client as the server sees it
	SNAT, DNAT bool           // the kernel translates the client's address, the server's
}

// nat tells whether the kernel translates an address or port.
func (e *Endpoints) nat() bool { return e.SNAT || e.DNAT }

// Tuple is source and destination of a packet: their addresses, IPv4 ones mapped into IPv6 (RFC 4291 section
// 2.5.5.2), and their ports, all in network byte order.
type Tuple [36]byte

func tupleOf(src, dst netip.AddrPort) (t Tuple) {
	from, to := src.Addr().As16(), dst.Addr().As16()
	copy(t[:], from[:])
	copy(t[16:], to[:])
	binary.BigEndian.PutUint16(t[32:], src.Port())
	binary.BigEndian.PutUint16(t[34:], dst.Port())
	return t
}

func (t *Tuple) ends() (src, dst netip.AddrPort) {
	from, to := netip.AddrFrom16([16]byte(t[:16])), netip.AddrFrom16([16]byte(t[16:32]))
	return netip.AddrPortFrom(from.Unmap(), binary.BigEndian.Uint16(t[32:])),
		netip.AddrPortFrom(to.Unmap(), binary.BigEndian.Uint16(t[34:]))
}

// ends are Endpoints as they are kept, in half the room.
type ends struct {
	from       [2]Tuple // of the packets of each side
	snat, dnat bool
}

func pack(e *Endpoints) ends {
	return ends{
		from: [2]Tuple{Client: tupleOf(e.Client, e.Dialled), Server: tupleOf(e.Server, e.Outside)},
		snat: e.SNAT, dnat: e.DNAT,
	}
}

func (e *ends) unpack() (whole Endpoints) {
	whole.Client, whole.Dialled = e.from[Client].ends()
	whole.Server, whole.Outside = e.from[Server].ends()
	whole.SNAT, whole.DNAT = e.snat, e.dnat
	return whole
}
