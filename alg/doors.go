package alg

import (
	"errors"
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// portTries is how many ports are tried before a request is refused.
const portTries = 32

// door is what is open for one data connection.
type door struct {
	mode        dialogue.Mode
	opened      time.Time
	expectation conntrack.Expectation
	story       *story
}

// DataChannel tells of a port that was opened.
type DataChannel struct {
	Mode           dialogue.Mode
	Client, Server netip.AddrPort // of the control connection, as they know themselves
	User           string         // if Names says so, as sent
	Open           netip.AddrPort // where the connection is expected
	For            netip.Addr     // whose connection
	Target         netip.AddrPort // where it is led
	Was, Is        []byte         // the address in the line, before and after; not kept
}

// Refusal tells of a line for which no port was opened.
type Refusal struct {
	Client, Server netip.AddrPort
	User           string // if Names says so, as sent
	Reason         policy.Reason
	Line           []byte // not kept
}

// Open has the kernel expect the data connection that r describes, on another port of r.Dst if the one in
// it is taken and can be changed, and returns the port.
//
// Where another program edited the line before, and it may have arrived so, it is edited even if nothing
// can be opened for it: else what follows it would not be where its receiver expects it.
func (s *session) Open(r *dialogue.Request) (uint16, policy.Reason) {
	dir := fromServer
	if r.Mode.Active() {
		dir = fromClient
	}
	port, why := s.open(r)
	if s.shut = why != policy.None && s.conn.Repeats(dir); s.shut {
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
	if why := s.mayOpen(); why != policy.None {
		return 0, why
	}
	s.Shut(policy.Superseded)
	e := conntrack.Expectation{
		Master: s.original(), Src: r.Src, Dst: r.Dst, Translate: r.Translate, Target: r.Target,
		Dir: conntrack.Original, Timeout: s.policy.Timeout,
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
	return s.expect(r.Mode, e, tries)
}

func (s *session) expect(m dialogue.Mode, e conntrack.Expectation, tries int) (uint16, policy.Reason) {
	g := s.gateway
	var err error
	for range tries {
		if err = g.kernel.Expect(e); err == nil {
			s.story = g.await(m, s.dialogue.Endpoints(), &e)
			s.story.User = s.user()
			s.door = &door{mode: m, opened: g.now, expectation: e, story: s.story}
			g.clients.opened(s.client)
			g.Stats.Opened[m].Add(1)
			return e.Dst.Port(), policy.None
		}
		if !errors.Is(err, conntrack.ErrPortTaken) {
			break
		}
		e.Dst = netip.AddrPortFrom(e.Dst.Addr(), s.policy.PickPort())
	}
	return 0, g.kernelReason(err)
}

// mayOpen tells which limit forbids the session another port, and takes it from the allowances if none does.
func (s *session) mayOpen() policy.Reason {
	s.stand()
	switch {
	case !s.helper:
		return policy.NoHelper
	case !s.counted:
		return policy.SessionLimit
	}
	return s.gateway.clients.take(s.client, s.policy.Limits.PerClient, s.gateway.policy.Limits.Total,
		s.door != nil, s.gateway.now)
}

func (g *Gateway) kernelReason(err error) policy.Reason {
	switch {
	case errors.Is(err, conntrack.ErrPortTaken):
		return policy.PortTaken
	case errors.Is(err, conntrack.ErrNoHelper):
		return policy.NoHelper
	case errors.Is(err, conntrack.ErrTableFull):
		return policy.TableFull
	}
	g.kernelError("make an expectation", err)
	return policy.KernelError
}

// Shut closes the door of the session, if there is one. If its connection came there is nothing to close.
func (s *session) Shut(why policy.Reason) {
	if s.door == nil {
		return
	}
	s.gateway.giveUp(s.door.story, why, s.gateway.now)
	if why != policy.Used {
		if err := s.gateway.kernel.Withdraw(s.door.expectation); err != nil {
			s.gateway.kernelError("withdraw an expectation", err)
		}
		s.gateway.Stats.Closed[why].Add(1)
	}
	s.forgetDoor()
}

// forgetDoor leaves to the kernel what is open.
func (s *session) forgetDoor() {
	if s.door != nil {
		s.gateway.orphans.remove(s.original())
		s.gateway.clients.closed(s.client)
		s.door = nil
	}
}

// Tell counts and passes on what happened in the dialogue, and refuses what is one too many.
func (s *session) Tell(n dialogue.Notice) policy.Reason {
	g, e := s.gateway, s.dialogue.Endpoints()
	switch n.What {
	case dialogue.Opened:
		if string(n.Was) != string(n.Is) {
			g.Stats.Rewrites[n.Mode].Add(1)
		}
		if d := s.door; d != nil && !s.shut && g.OnOpened != nil {
			x := &d.expectation
			g.OnOpened(DataChannel{
				Mode: d.mode, Client: e.Client, Server: e.Server, User: s.user(),
				Open: x.Dst, For: x.Src, Target: x.Target, Was: n.Was, Is: n.Is,
			})
		}
	case dialogue.Refused:
		g.Stats.Refused[n.Why].Add(1)
		if g.OnRefused != nil {
			g.OnRefused(Refusal{
				Client: e.Client, Server: e.Server, User: s.user(), Reason: n.Why, Line: n.Line,
			})
		}
	case dialogue.Reply:
		s.hearReply(&n)
	case dialogue.Command:
		s.hear(&n)
		return s.client.command(s.policy.Limits.PerClient, g.now)
	case dialogue.LoginFailed:
		s.client.loginFailed(s.policy.Limits.PerClient, g.now)
	}
	return policy.None
}

// orphans are expectations in the kernel whose session is not known, or not any more, by the original
// tuple of its control connection. They are closed with it, and a line that
// comes again is rewritten to the same port.
type orphans struct {
	byMaster map[conntrack.Tuple]conntrack.Expectation
	until    time.Time // when the last of them is gone
}

func (o *orphans) init() { o.byMaster = map[conntrack.Tuple]conntrack.Expectation{} }

func (o *orphans) none() bool { return len(o.byMaster) == 0 }

func (o *orphans) of(master conntrack.Tuple) (conntrack.Expectation, bool) {
	e, ok := o.byMaster[master]
	return e, ok
}

func (o *orphans) add(e conntrack.Expectation, now time.Time) {
	o.byMaster[e.Master] = e
	if end := now.Add(e.Timeout); end.After(o.until) {
		o.until = end
	}
}

func (o *orphans) remove(master conntrack.Tuple) {
	if len(o.byMaster) > 0 {
		delete(o.byMaster, master)
	}
}

func (o *orphans) sweep(now time.Time) {
	if len(o.byMaster) > 0 && now.After(o.until) {
		clear(o.byMaster)
	}
}

// Adopt tells the gateway of expectations that an earlier process made.
func (g *Gateway) Adopt(es []conntrack.Expectation) {
	g.now = time.Now()
	for _, e := range es {
		g.orphans.add(e, g.now)
	}
}
