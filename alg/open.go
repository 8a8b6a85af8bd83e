package alg

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strconv"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/conntrack"
)

// portTries is how many ports are tried before a request is refused.
const portTries = 32

func addrPort(a netip.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a, p) }

func appendNumber(dst []byte, n uint16) []byte { return strconv.AppendUint(dst, uint64(n), 10) }

func parseActive(v ftp.Verb, arg []byte) (netip.AddrPort, ftp.EPRTArg, bool) {
	if v == ftp.Port {
		a, ok := ftp.ParsePort(arg)
		return a, ftp.EPRTArg{}, ok
	}
	e, ok := ftp.ParseEPRT(arg)
	return e.Addr, e, ok
}

func appendActive(dst []byte, v ftp.Verb, e ftp.EPRTArg, a netip.AddrPort) []byte {
	if v == ftp.Port {
		return ftp.AppendPort(dst, a)
	}
	return ftp.AppendEPRT(dst, e.Delim, e.Family, a)
}

// pickPort chooses a port of our own.
func (s *session) pickPort() uint16 {
	return s.policy.FirstPort + uint16(rand.IntN(int(s.policy.LastPort)-int(s.policy.FirstPort)+1))
}

// shownOutside is the client's address as the server must see it in PORT and EPRT.
func (s *session) shownOutside() netip.Addr {
	return s.policy.external(s.outside(), s.serverAddr().Addr(), s.flow.SNAT)
}

// shownDialled is the server's address as the client must see it in 227.
func (s *session) shownDialled() netip.Addr {
	return s.policy.external(s.dialled(), s.clientAddr().Addr(), s.flow.DNAT)
}

func (s *session) mayOpenActive() Reason {
	switch {
	case !s.policy.Active:
		return ActiveOff
	case s.has(conntrack.StateEPSVAll):
		return AfterEPSVAll
	}
	return s.mayOpen()
}

func (s *session) mayOpenPassive() Reason {
	if !s.policy.Passive {
		return PassiveOff
	}
	return s.mayOpen()
}

// openActive lets the server connect to the client at named, and returns what to
// name instead. If port is not 0 it is the only outside port that will do.
func (g *Gateway) openActive(s *session, m Mode, named netip.AddrPort, port uint16) (netip.AddrPort, Reason) {
	if why := s.mayOpenActive(); why != None {
		return named, why
	}
	e := conntrack.Expectation{
		Master: s.flow.Tuple[conntrack.Original],
		Src:    s.serverAddr().Addr(),
		Dir:    conntrack.Reply,
		Target: named,
	}
	shown := s.shownOutside()
	switch own := s.clientAddr().Addr(); {
	case named.Addr().Is4() != own.Is4():
		return named, WrongFamily
	case named.Addr() == own:
		e.Dst, e.Translate = addrPort(s.outside(), named.Port()), s.flow.NAT()
	case contains(s.policy.FXP, named.Addr()) && port == 0: // else our own address has been sent already
		e.Dst, shown = named, named.Addr()
	default:
		return named, ForeignAddress
	}
	if named.Port() < max(s.policy.MinPort, 1) {
		return named, LowPort
	}
	got, why := g.expect(s, m, e, port)
	return addrPort(shown, got), why
}

// openPassive lets the client connect to the server at the port that it offers,
// and returns what to offer instead. If port is not 0 it is the only one that will do.
func (g *Gateway) openPassive(s *session, p passive, port uint16) (netip.AddrPort, Reason) {
	if why := s.mayOpenPassive(); why != None {
		return netip.AddrPort{}, why
	}
	server, shown := s.serverAddr().Addr(), s.shownDialled()
	if a := p.addr; a.IsValid() {
		switch {
		case a.Is4() != server.Is4():
			return netip.AddrPort{}, WrongFamily
		case a == server, a == s.dialled(), a == shown, a.IsUnspecified(), a.IsLoopback(), s.policy.AnyPassiveAddress:
		default:
			return netip.AddrPort{}, ForeignAddress
		}
	}
	if p.port < max(s.policy.MinPort, 1) {
		return netip.AddrPort{}, LowPort
	}
	e := conntrack.Expectation{
		Master:    s.flow.Tuple[conntrack.Original],
		Src:       s.clientAddr().Addr(),
		Dst:       addrPort(s.dialled(), p.port),
		Translate: s.flow.NAT(),
		Dir:       conntrack.Original,
		Target:    addrPort(server, p.port),
	}
	got, why := g.expect(s, p.mode, e, port)
	return addrPort(shown, got), why
}

// inherited tells whether the kernel has an expectation of this session for
// target that a process before us made.
func (g *Gateway) inherited(s *session, target netip.AddrPort) bool {
	e, ok := g.orphans[s.flow.Tuple[conntrack.Original]]
	return ok && e.Target == target
}

// expect makes the expectation e, on another port of e.Dst if the one in it is
// taken and can be changed, and returns the port.
func (g *Gateway) expect(s *session, m Mode, e conntrack.Expectation, port uint16) (uint16, Reason) {
	if why := g.overLimits(s); why != None {
		return 0, why
	}
	was, inherited := g.orphans[e.Master]
	inherited = inherited && was.Target == e.Target
	g.withdraw(s, Superseded)
	e.Timeout = s.policy.Timeout
	tries := portTries
	switch {
	case port != 0:
		e.Dst, tries = addrPort(e.Dst.Addr(), port), 1
	case !e.Translate, g.fixed:
		tries = 1 // nobody would lead the connection back to the port that the peer listens on
	case inherited:
		// The line is a repetition: the other side may have read it before.
		e.Dst = was.Dst
	}
	var err error
	for range tries {
		if err = g.kernel.Expect(e); err == nil {
			s.open, s.openMode, s.openAsk = e, m, s.asks.out
			if m.active() {
				s.openAsk = s.asks.in + 1 // the command under way
			}
			g.countOpen(s)
			g.Stats.Opened[m].Add(1)
			return e.Dst.Port(), None
		}
		if !errors.Is(err, conntrack.ErrPortTaken) {
			break
		}
		e.Dst = addrPort(e.Dst.Addr(), s.pickPort())
	}
	return 0, g.kernelReason(err)
}

func (g *Gateway) kernelReason(err error) Reason {
	switch {
	case errors.Is(err, conntrack.ErrPortTaken):
		return PortTaken
	case errors.Is(err, conntrack.ErrNoHelper):
		return NoHelper
	case errors.Is(err, conntrack.ErrTableFull):
		return TableFull
	}
	g.kernelError("make an expectation", err)
	return KernelError
}

// withdraw closes the open port of s, if there is one.
func (g *Gateway) withdraw(s *session, why Reason) {
	if s.openMode == ModeNone {
		return
	}
	if err := g.kernel.Withdraw(s.open); err != nil {
		g.kernelError("withdraw an expectation", err)
	}
	g.Stats.Closed[why].Add(1)
	g.settleOpen(s)
}

// settleOpen forgets the open port: it was used.
func (g *Gateway) settleOpen(s *session) {
	if s.openMode != ModeNone {
		s.openMode = ModeNone
		delete(g.orphans, s.open.Master)
		g.uncountOpen(s)
	}
}

// DataChannel tells of a port that was opened.
type DataChannel struct {
	Mode           Mode
	Client, Server netip.AddrPort // of the control connection, as they know themselves
	Open           netip.AddrPort // where the connection is expected
	For            netip.Addr     // whose connection
	Target         netip.AddrPort // where it is led
	Was, Is        []byte         // the address in the line, before and after; not kept
}

// Refusal tells of a line for which no port was opened.
type Refusal struct {
	Client, Server netip.AddrPort
	Reason         Reason
	Line           []byte // not kept
}

func (g *Gateway) opened(s *session, was, is []byte) {
	if string(was) != string(is) {
		g.Stats.Rewrites[s.openMode].Add(1)
	}
	if g.OnOpened != nil {
		g.OnOpened(DataChannel{
			Mode: s.openMode, Client: s.clientAddr(), Server: s.serverAddr(),
			Open: s.open.Dst, For: s.open.Src, Target: s.open.Target, Was: was, Is: is,
		})
	}
}

func (g *Gateway) refuse(s *session, why Reason, ln []byte) {
	g.Stats.Refused[why].Add(1)
	if g.OnRefused != nil {
		g.OnRefused(Refusal{Client: s.clientAddr(), Server: s.serverAddr(), Reason: why, Line: ln})
	}
}
