package alg

import (
	"errors"
	"net/netip"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// portTries is how many ports are tried before a request is refused.
const portTries = 32

// DataChannel tells of a port that was opened.
type DataChannel struct {
	Mode           dialogue.Mode
	Client, Server netip.AddrPort // of the control connection, as they know themselves
	Zone           uint16         // conntrack zone
	User           string         // if Names says so, as sent
	Open           netip.AddrPort // where the connection is expected
	For            netip.Addr     // whose connection
	Target         netip.AddrPort // where it is led
	Was, Is        []byte         // the address in the line, before and after; not kept
}

// Refusal tells of a line for which no port was opened.
type Refusal struct {
	Client, Server netip.AddrPort
	Zone           uint16 // conntrack zone
	User           string // if Names says so, as sent
	Reason         policy.Reason
	Line           []byte // not kept
}

// Open has the kernel expect the data connection that r describes, on another port of r.Dst if the one in
// it is taken and can be changed, and returns the port.
//
// Where another program edited the line before, and it may have arrived so, it is edited even if nothing
// can be opened for it: else what follows it would not be where its receiver expects it.
func (s *session) Open(r dialogue.Request) (uint16, policy.Reason) {
	dir := fromServer
	if r.Mode.Active() {
		dir = fromClient
	}
	port, why := s.open(&r)
	s.gateway.shut = why != policy.None && s.conn.Repeats(dir)
	if s.gateway.shut {
		s.gateway.Stats.Refused[why].Add(1)
		return r.Dst.Port(), policy.None
	}
	return port, why
}

func (s *session) open(r *dialogue.Request) (uint16, policy.Reason) {
	g := s.gateway
	was, inherited := g.orphans.of(s.original())
	inherited = inherited && was.Target == r.Target
	if r.Unasked && !inherited {
		return 0, policy.Unsolicited
	}
	if why := s.mayOpen(r); why != policy.None {
		return 0, why
	}
	if !s.home.evicts {
		s.Shut(policy.Superseded)
	}
	e := conntrack.Expectation{
		Master: s.original(), Zone: s.zone, Src: r.Src, Dst: r.Dst, Translate: r.Translate, Target: r.Target,
		Dir: conntrack.Original, Timeout: s.policy().Timeout,
	}
	if r.Mode.Active() {
		e.Dir = conntrack.Reply
	}
	tries := portTries
	switch {
	case !r.Translate: // nobody would lead the connection back to the port that the peer listens on
		tries = 1
	case inherited: // the line is a repetition: the other side may have read it before
		e.Dst = was.Dst
	}
	ends := s.dialogue.Endpoints()
	return s.expect(fate.NewStory(r.Mode, ends.Client, ends.Server, &e, g.now), tries)
}

// expect has the kernel open the door of a story.
func (s *session) expect(x *fate.Story, tries int) (uint16, policy.Reason) {
	g, e := s.gateway, &x.Door
	var err error
	for range tries {
		picked := e.Dst
		if err = vacate(s, x); err == nil {
			err = g.kernel.Expect(e)
		}
		if err == nil {
			g.led.add(e, g.began.at(g.now))
			s.forgetShut(policy.Superseded) // if there was one the kernel has dropped it for this one
			x.User = s.words.user()
			s.last, s.opened = x, true
			g.Fates.Begin(x, g.now)
			g.clients.opened(s.client)
			g.Stats.Opened[x.Mode].Add(1)
			return e.Dst.Port(), policy.None
		}
		if !errors.Is(err, conntrack.ErrPortTaken) || e.Dst != picked {
			break // in the latter case no other port would do: see vacate
		}
		e.Dst = netip.AddrPortFrom(e.Dst.Addr(), s.policy().PickPort())
	}
	s.Shut(policy.Superseded)
	return 0, s.whyNot(err)
}

// Swallow lets a line be kept back where the kernel has a place for what is in flight meanwhile. Without it
// acknowledgements of the pieces pass unseen, and both ends would wait for each other.
func (s *session) Swallow(from dialogue.Side, asks bool) bool {
	s.home.adopt(s, rewrite.Dir(from), asks)
	_, able := s.gateway.kernel.(Adopter)
	return s.kept.labels || !able
}

// waits tells whether nothing of the control connection is on its way but the packet at hand, which travels
// in direction dir, as far as is known, and nothing hangs on its entry.
func (s *session) waits(dir rewrite.Dir) bool {
	s.stand()
	return s.counted && s.door() == nil && !s.conn.Holds() && s.conn.Still(dir.Opposite())
}

// mayOpen tells which limit forbids the session another port, and takes it from the allowances if none does.
func (s *session) mayOpen(r *dialogue.Request) policy.Reason {
	dir := fromServer
	if r.Mode.Active() {
		dir = fromClient
	}
	s.stand()
	s.home.adopt(s, dir, r.Alone)
	switch {
	case !s.home.helper:
		return policy.NoHelper
	case !s.counted:
		return policy.SessionLimit
	}
	return s.gateway.clients.take(s.client, s.policy().Limits.PerClient, s.gateway.policy.Limits.Total,
		s.door() != nil, s.gateway.now)
}

// whyNot tells why the kernel does not expect a connection.
func (s *session) whyNot(err error) policy.Reason {
	switch {
	case errors.Is(err, conntrack.ErrPortTaken):
		return policy.PortTaken
	case errors.Is(err, conntrack.ErrNoHelper):
		return policy.NoHelper
	case errors.Is(err, conntrack.ErrTableFull):
		return policy.TableFull
	}
	s.gateway.kernelError("make an expectation", err)
	return policy.KernelError
}

// Shut closes the door of the session, if there is one. If its connection came there is nothing to close.
func (s *session) Shut(why policy.Reason) {
	if s.door() == nil {
		return
	}
	if why != policy.Used {
		if err := s.gateway.kernel.Withdraw(s.door().Door); err != nil {
			s.gateway.kernelError("withdraw an expectation", err)
		}
	}
	s.forgetShut(why)
}

// forgetShut forgets a door that has been closed.
func (s *session) forgetShut(why policy.Reason) {
	if s.door() == nil {
		return
	}
	s.gateway.Fates.Shut(s.door(), why, s.gateway.now)
	if why != policy.Used {
		s.gateway.Stats.Closed[why].Add(1)
	}
	s.forgetDoor()
}

// forgetDoor leaves to the kernel what is open.
func (s *session) forgetDoor() {
	if s.door() != nil {
		s.gateway.orphans.remove(s.original())
		s.gateway.clients.closed(s.client)
		s.opened = false
	}
}

// lostDoor takes note that the kernel let go what was open.
func (s *session) lostDoor(why policy.Reason) {
	if s.door() != nil {
		s.gateway.Fates.Shut(s.door(), why, s.gateway.now)
		s.forgetDoor()
	}
}

// expireDoor takes note that the time of what is open is over, if it is. It returns false if another program
// had the session.
func (s *session) expireDoor() bool {
	d := s.door()
	if d == nil || d.Left(s.gateway.now) > 0 {
		return true
	}
	if !d.Came() {
		s.gateway.Stats.Closed[policy.Expired].Add(1)
	}
	s.lostDoor(policy.Expired)
	return s.kept.settle(s)
}

// Tell counts and passes on what happened in the dialogue, and refuses what is one too many.
func (s *session) Tell(n dialogue.Notice) policy.Reason {
	g := s.gateway
	switch n.What {
	case dialogue.Opened:
		if string(n.Was) != string(n.Is) {
			g.Stats.Rewrites[n.Mode].Add(1)
		}
		if d := s.door(); d != nil && !g.shut && g.OnOpened != nil {
			x, e := &d.Door, s.dialogue.Endpoints()
			g.OnOpened(DataChannel{
				Mode: d.Mode, Client: e.Client, Server: e.Server, Zone: s.zone.ID, User: s.words.user(),
				Open: x.Dst, For: x.Src, Target: x.Target, Was: n.Was, Is: n.Is,
			})
		}
	case dialogue.Refused:
		g.transfers.refused(s, n.Why)
		g.Stats.Refused[n.Why].Add(1)
		if g.OnRefused != nil {
			e := s.dialogue.Endpoints()
			g.OnRefused(Refusal{
				Client: e.Client, Server: e.Server, Zone: s.zone.ID, User: s.words.user(), Reason: n.Why,
				Line: n.Line,
			})
		}
	case dialogue.Reply:
		s.words.reply(&n)
		g.transfers.reply(s, &n)
		if n.Verb == ftp.Transfer && n.Code >= 200 && s.last != nil {
			g.Fates.Said(s.last, g.now)
		}
	case dialogue.Command:
		s.words.command(&n, g.Names)
		g.transfers.command(s, &n)
		return g.clients.command(s.client, s.policy().Limits.PerClient, g.now)
	case dialogue.LoginFailed:
		g.clients.loginFailed(s.client, s.policy().Limits.PerClient, g.now)
	}
	return policy.None
}
