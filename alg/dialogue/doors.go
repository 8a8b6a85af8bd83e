package dialogue

import (
	"net/netip"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// mayOpen tells why no port may be opened at all, or None.
func (d *Dialogue) mayOpen() policy.Reason {
	switch {
	case d.has(NotFTP):
		return policy.NotFTP
	case d.Over():
		return policy.SessionOver
	case d.has(LoggedIn) && d.asks.has(ftp.Auth):
		return policy.AuthPending // what follows AUTH may be meant for inside TLS
	case d.has(LoggedIn) && d.has(Greeted) && d.barred:
		return policy.NoHelper
	case d.has(LoggedIn) && d.has(Greeted):
		return policy.None
	case d.running && !d.has(LoggingIn):
		return policy.LoginUnseen
	case !d.has(Greeted):
		return policy.NotGreeted
	}
	return policy.NotLoggedIn
}

func (d *Dialogue) mayOpenActive() policy.Reason {
	switch {
	case !d.policy.Active:
		return policy.ActiveOff
	case d.has(EPSVAll):
		return policy.AfterEPSVAll
	}
	return d.mayOpen()
}

func (d *Dialogue) mayOpenPassive() policy.Reason {
	if !d.policy.Passive {
		return policy.PassiveOff
	}
	return d.mayOpen()
}

// openActive lets the server connect to the client at the address that it names, and returns what to
// name instead.
func (d *Dialogue) openActive(a active, g Gate) (netip.AddrPort, policy.Reason) {
	if why := d.mayOpenActive(); why != policy.None {
		return a.addr, why
	}
	e := d.Endpoints()
	r := Request{Mode: a.mode, Src: e.Server.Addr(), Target: a.addr, Alone: d.asks.empty()}
	shown := d.policy.External(e.Outside.Addr(), e.Server.Addr(), e.SNAT)
	switch own := e.Client.Addr(); {
	case a.addr.Addr().Is4() != own.Is4():
		return a.addr, policy.WrongFamily
	case a.addr.Addr() == own:
		r.Dst, r.Translate = netip.AddrPortFrom(e.Outside.Addr(), a.addr.Port()), e.nat()
	case d.policy.MayName(a.addr.Addr()):
		r.Dst, shown = a.addr, a.addr.Addr()
	default:
		return a.addr, policy.ForeignAddress
	}
	if why := d.policy.Port(a.addr.Port()); why != policy.None {
		return a.addr, why
	}
	port, why := g.Open(r)
	d.doorAsk = d.asks.in + 1 // the command under way
	return netip.AddrPortFrom(shown, port), why
}

// openPassive lets the client connect to the server at the port that it offers,
// and returns what to offer instead. asked tells whether a command that waits asks for it.
func (d *Dialogue) openPassive(p *passive, asked bool, g Gate) (netip.AddrPort, policy.Reason) {
	if why := d.mayOpenPassive(); why != policy.None {
		return netip.AddrPort{}, why
	}
	e := d.Endpoints()
	server, dialled := e.Server.Addr(), e.Dialled.Addr()
	shown := d.policy.External(dialled, e.Client.Addr(), e.DNAT)
	if a := p.addr; a.IsValid() {
		switch {
		case a.Is4() != server.Is4():
			return netip.AddrPort{}, policy.WrongFamily
		case a == server, a == dialled, a == shown, a.IsUnspecified(), a.IsLoopback(),
			d.policy.AnyPassiveAddress:
		default:
			return netip.AddrPort{}, policy.ForeignAddress
		}
	}
	if why := d.policy.Port(p.port); why != policy.None {
		return netip.AddrPort{}, why
	}
	port, why := g.Open(Request{
		Mode: p.mode, Src: e.Client.Addr(), Dst: netip.AddrPortFrom(dialled, p.port),
		Translate: e.nat(), Target: netip.AddrPortFrom(server, p.port),
		Unasked: !asked, Alone: d.asks.empty(),
	})
	d.doorAsk = d.asks.out
	return netip.AddrPortFrom(shown, port), why
}
