package alg

import (
	"errors"
	"net/netip"

	"github.com/ftpalg/ftpalg/alg/internal/elastic"
	"github.com/ftpalg/ftpalg/conntrack"
)

// standby knows the control connections that another gateway of a pair has, as far as their entries are
// replicated into this kernel. They are no sessions, and count nowhere, until their packets come here.
type standby struct {
	known elastic.Map[conntrack.Key, uint32] // by original tuple: Gateway.drains when they were written last
}

func (b *standby) add(original conntrack.Tuple, drains uint32) { b.known.Set(original.Key(), drains) }
func (b *standby) remove(original conntrack.Tuple)             { b.known.Delete(original.Key()) }

// written tells whether the other gateway wrote an entry, as far as was told, since packets were read last.
// One that was read with them may have waited while the other took its repetition: here it is of no use.
func (b *standby) written(original conntrack.Tuple, drains uint32) bool {
	at, ok := b.known.Get(original.Key())
	return ok && at == drains
}

// doorway is what the label tells of a door, so that a gateway that has nothing but the entry can open it.
// Who may come, and where to, follows from the entry: expectations that are replicated lack that.
type doorway struct {
	state conntrack.State // StateDoorActive or StateDoorPassive; 0: none waits, or it is not as usual
	port  [2]uint16       // where the connection comes, and where it is led
}

// doorwayOf tells of the door of a session.
func doorwayOf(s *session) doorway {
	if s.door() == nil || !s.door().Waits() {
		return doorway{}
	}
	x, e := &s.door().Door, s.dialogue.Endpoints()
	at := doorway{conntrack.StateDoorPassive, [2]uint16{x.Dst.Port(), x.Target.Port()}}
	open, led := e.Dialled.Addr(), e.Server.Addr()
	if s.door().Mode.Active() {
		at.state, open, led = conntrack.StateDoorActive, e.Outside.Addr(), e.Client.Addr()
	}
	if x.Dst.Addr() != open || x.Target.Addr() != led {
		return doorway{} // an address of another host, which the entry does not tell
	}
	return at
}

// doorOf returns the expectation that the label of an entry tells of.
func doorOf(f *conntrack.Flow) (e conntrack.Expectation, ok bool) {
	e = conntrack.Expectation{Master: f.Tuple[conntrack.Original], Translate: f.NAT(), Zone: f.Zone}
	original, reply := f.Tuple[conntrack.Original], f.Tuple[conntrack.Reply]
	open, led := f.Flight[conntrack.Original].Port, f.Flight[conntrack.Reply].Port
	switch f.State & (conntrack.StateDoorActive | conntrack.StateDoorPassive) {
	case conntrack.StateDoorActive:
		e.Dir, e.Src = conntrack.Reply, reply.Src.Addr()
		e.Dst = netip.AddrPortFrom(reply.Dst.Addr(), open)
		e.Target = netip.AddrPortFrom(original.Src.Addr(), led)
	case conntrack.StateDoorPassive:
		e.Dir, e.Src = conntrack.Original, original.Src.Addr()
		e.Dst = netip.AddrPortFrom(original.Dst.Addr(), open)
		e.Target = netip.AddrPortFrom(reply.Src.Addr(), led)
	default:
		return e, false
	}
	return e, open != 0 && led != 0
}

// follow makes of a replicated entry's door an expectation of this kernel's own, or takes it back.
func (b *standby) follow(g *Gateway, f *conntrack.Flow) {
	original := f.Tuple[conntrack.Original]
	have, had := g.orphans.of(original)
	want, waits := doorOf(f)
	if had && waits && have.Dst == want.Dst && have.Src == want.Src {
		return
	}
	if had {
		g.orphans.remove(original)
		if err := g.kernel.Withdraw(have); err != nil {
			g.kernelError("withdraw an expectation of the other gateway", err)
		}
	}
	if !waits || f.Helper == "" {
		return
	}
	want.Timeout = g.policy.Timeout
	switch err := g.kernel.Expect(&want); {
	case err == nil:
		g.orphans.add(want, g.now)
	case errors.Is(err, conntrack.ErrNotFound): // the control connection has ended meanwhile
	default:
		g.kernelError("make an expectation for the other gateway", err)
	}
}
