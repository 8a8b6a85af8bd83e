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
	r := Request{Mode: a.mode, Src: d.ends.Server.Addr(), Target: a.addr, Alone: d.asks.empty()}
	shown := d.policy.External(d.ends.Outside.Addr(), d.ends.Server.Addr(), d.ends.SNAT)
	switch own := d.ends.Client.Addr(); {
	case a.addr.Addr().Is4() != own.Is4():
		return a.addr, policy.WrongFamily
	case a.addr.Addr() == own:
		r.Dst, r.Translate = netip.AddrPortFrom(d.ends.Outside.Addr(), a.addr.Port()), d.ends.nat()
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
	server, dialled := d.ends.Server.Addr(), d.ends.Dialled.Addr()
	shown := d.policy.External(dialled, d.ends.Client.Addr(), d.ends.DNAT)
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
		Mode: p.mode, Src: d.ends.Client.Addr(), Dst: netip.AddrPortFrom(dialled, p.port),
		Translate: d.ends.nat(), Target: netip.AddrPortFrom(server, p.port),
		Unasked: !asked, Alone: d.asks.empty(),
	})
	d.doorAsk = d.asks.out
	return netip.AddrPortFrom(shown, port), why
}
