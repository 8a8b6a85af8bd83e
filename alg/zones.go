package alg

import (
	"errors"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// zones are the conntrack zones, besides 0, in which an entry is looked for, if the zone of packets is not
// known.
type zones []uint16

// errTwoZones says that nobody can tell which of two connections a packet belongs to.
var errTwoZones = errors.New("the same addresses are in use in two conntrack zones")

// lookUp finds the kernel's entry of a packet's tuple.
func (z zones) lookUp(k Kernel, t conntrack.Tuple) (conntrack.Flow, error) {
	f, err := k.Flow(t)
	for _, t.Zone = range z {
		other, otherErr := k.Flow(t)
		switch {
		case errors.Is(otherErr, conntrack.ErrNotFound):
		case err == nil && otherErr == nil:
			return f, errTwoZones
		case err == nil || errors.Is(err, conntrack.ErrNotFound):
			f, err = other, otherErr
		}
	}
	return f, err
}

// tupleOf is the tuple of a packet in a zone.
func tupleOf(p *rewrite.Packet, zone uint16) conntrack.Tuple {
	return conntrack.Tuple{Src: p.Src(), Dst: p.Dst(), Zone: zone}
}
