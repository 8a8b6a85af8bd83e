package alg

import (
	"errors"
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/internal/elastic"
	"github.com/ftpalg/ftpalg/conntrack"
)

// vacate makes way for the connection of a door of active mode. It comes from the port below the server's own
// (RFC 959, section 3.2), so that its tuple may be one that another had a moment ago, and its SYN would go
// where that one's went. The kernel reopens an entry itself, but not one that another gateway made; and it
// drops a SYN of which only the translated tuple is in use, as where a client names a port again to which
// another led then.
//
// The error is conntrack.ErrPortTaken if the door must be on another port. Where a connection that lives is
// led to the same place, the door is put on the port that leads it: no other would do.
func vacate(s *session, x *fate.Story) error {
	g, e := s.gateway, &x.Door
	k, able := g.kernel.(Vacater)
	if !x.Mode.Active() || !able || g.Alone() && !mayBeUsed(s, e) {
		return nil
	}
	port := s.reply().Src.Port() - 1
	comes := conntrack.Tuple{
		Src: netip.AddrPortFrom(e.Src, port), Dst: e.Dst, Zone: s.zone.In(conntrack.Original),
	}
	if !e.Translate {
		occupant(g, k, comes) // who lives there was led to the same place
		return nil
	}
	answers := conntrack.Tuple{
		Src: e.Target, Dst: netip.AddrPortFrom(s.original().Dst.Addr(), port),
		Zone: s.zone.In(conntrack.Reply),
	}
	holder, lives := occupant(g, k, answers)
	if lives && holder.Src == comes.Src && holder.Dst.Addr() == e.Dst.Addr() {
		e.Dst = holder.Dst // the kernel lets the SYN go the way of the one that it takes to live
		return nil
	}
	if _, lives = occupant(g, k, comes); lives {
		return conntrack.ErrPortTaken
	}
	return nil
}

// mayBeUsed tells whether the place to which a door leads may have been led to from another port, by this
// program or, for a session that is older, by the one before it.
func mayBeUsed(s *session, e *conntrack.Expectation) bool {
	g := s.gateway
	now := g.began.at(g.now)
	return e.Translate &&
		(leadsElsewhere(e) || g.led.mayHave(e.Target, now) || !s.begun && now < moment(ledFor))
}

// occupant returns the original tuple of the connection that has t after those that have ended made way.
func occupant(g *Gateway, k Vacater, t conntrack.Tuple) (holder conntrack.Tuple, lives bool) {
	holder, err := k.Vacate(t)
	if lives = errors.Is(err, conntrack.ErrBusy); err != nil && !lives {
		g.kernelError("make way for a data connection", err)
	}
	return holder, lives
}

// leadsElsewhere tells whether a door is on another port than the one that it leads to.
func leadsElsewhere(e *conntrack.Expectation) bool {
	return e.Translate && e.Dst.Port() != e.Target.Port()
}

const (
	// ledFor is for how long a place that was led to from elsewhere is looked at: its connection may last,
	// and the kernel remembers it for two minutes more (nf_conntrack_tcp_timeout_time_wait).
	ledFor = 10 * time.Minute
	// mostLed is how many places are remembered. Where there are more each is looked at.
	mostLed = 4096
)

// ledElsewhere is to which places doors on other ports led.
type ledElsewhere struct {
	until elastic.Map[netip.AddrPort, moment]
	all   moment // until when it may be any place
}

func (l *ledElsewhere) add(e *conntrack.Expectation, now moment) {
	switch {
	case !leadsElsewhere(e):
	case l.until.Len() < mostLed:
		l.until.Set(e.Target, now+moment(ledFor))
	default:
		l.all = now + moment(ledFor)
	}
}

func (l *ledElsewhere) mayHave(place netip.AddrPort, now moment) bool {
	_, has := l.until.Get(place)
	return has || now < l.all
}

func (l *ledElsewhere) sweep(now moment) {
	for place, until := range l.until.All() {
		if now >= until {
			l.until.Delete(place)
		}
	}
}
