package pair

import (
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// lose has a host lose what it receives of control connections, until it is called again.
func lose(t testing.TB, h *lab.Host) (found func()) {
	t.Helper()
	g := &Gateway{Host: h}
	g.Run(t, "nft", "add table inet loss; add chain inet loss in "+
		"{ type filter hook prerouting priority raw; }; add rule inet loss in tcp dport 21 drop; "+
		"add rule inet loss in tcp sport 21 drop")
	return func() { g.Run(t, "nft", "delete table inet loss") }
}

// The line that was edited is lost behind the first gateway, and comes again by the second.
func TestEditedLineLostBehindOneGatewayComesAlikeByTheOther(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			p := newPair(t)
			p.Activate(0)
			x := p.login(&s)
			m := s.edited(p)
			for range switches {
				d := x.lostAndFound(&s, m)
				x.finish(x.begin(d, "small"), "small", nil)
				x.noop()
			}
		})
	}
}

// lostAndFound agrees on a data connection while the gateways change places, so that its line comes by both.
func (x *session) lostAndFound(s *side, m ftptest.Mode) door {
	p := x.p
	p.t.Helper()
	behind := s.server(p)
	if !m.Active() {
		behind = s.client(p)
	}
	found := lose(p.t, behind)
	agreed := make(chan door, 1)
	go func() {
		defer close(agreed)
		agreed <- x.agree(m)
	}()
	p.opened(x.original)
	p.alike(x.original)
	p.fail()
	found()
	d, ok := <-agreed
	if !ok {
		p.t.FailNow()
	}
	return d
}
