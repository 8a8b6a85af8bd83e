package alg

import (
	"errors"
	"net/netip"

	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/conntrack"
)

// vacate makes way for the connection of a door of active mode. It comes from the port below the server's own
// (RFC 959, section 3.2), so that its tuple may be one that another had a moment ago, and its SYN would go
// where that one's went. The kernel reopens an entry itself, but not one that another gateway made; and it
// drops a SYN of which only the translated tuple is in use, as where a client names a port again to which
// another led then.
//
// The error is conntrack.ErrPortTaken if the door must be on another port.
func vacate(s *session, x *fate.Story) error {
	g, e := s.gateway, &x.Door
	k, able := g.kernel.(Vacater)
	elsewhere := e.Translate && (g.elsewhere || leadsElsewhere(e))
	if !x.Mode.Active() || !able || g.Alone() && !elsewhere {
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
