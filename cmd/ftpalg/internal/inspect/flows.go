package inspect

import (
	"github.com/ftpalg/ftpalg/alg/dialogue"
	"slices"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// helper is the name of the helper that all flows have here.
const helper = "inspect"

// picked is what is assumed of a control connection that the capture does not
// begin with: the greeting and the login may have been before it.
const picked = conntrack.StateControl | conntrack.State(dialogue.Greeted) | conntrack.State(dialogue.LoggedIn)

// flows stands in place of the kernel's connection tracking.
type flows struct {
	ports   []uint16
	byTuple map[conntrack.Tuple]*flow
}

// flow is one control connection of the capture.
type flow struct {
	conntrack.Flow
	control *Control
	syn     uint32 // sequence number of the client's SYN, if it was seen
}

// learn takes note of a packet, and returns the control connection that it belongs
// to, or nil.
func (k *flows) learn(p *rewrite.Packet, number int) *flow {
	t := conntrack.Tuple{Src: p.Src(), Dst: p.Dst()}
	f := k.byTuple[t]
	syn, ack := p.Flags()&rewrite.SYN != 0, p.Flags()&rewrite.ACK != 0
	switch {
	case syn && !ack && f != nil && f.syn == p.Seq():
		return f // sent again
	case syn && !ack && k.isServer(t.Dst.Port()):
		f = k.add(t, conntrack.StateControl, number)
		f.syn = p.Seq()
	case f != nil:
	case syn && ack && k.isServer(t.Src.Port()):
		f = k.add(t.Reverse(), conntrack.StateControl, number)
	case k.isServer(t.Dst.Port()):
		f = k.add(t, picked, number)
	case k.isServer(t.Src.Port()):
		f = k.add(t.Reverse(), picked, number)
	}
	return f
}

func (k *flows) isServer(port uint16) bool { return slices.Contains(k.ports, port) }

func (k *flows) add(original conntrack.Tuple, s conntrack.State, number int) *flow {
	f := &flow{
		Flow: conntrack.Flow{
			Tuple:    [2]conntrack.Tuple{original, original.Reverse()},
			Helper:   helper,
			State:    s,
			HasState: true,
		},
		control: &Control{Client: original.Src, Server: original.Dst, First: number, MidStream: s == picked},
	}
	for _, t := range f.Tuple {
		k.byTuple[t] = f
	}
	return f
}

// Flow, Update, Expect and Withdraw are what the gateway asks of the kernel.

func (k *flows) Flow(t conntrack.Tuple) (conntrack.Flow, error) {
	if f := k.byTuple[t]; f != nil {
		return f.Flow, nil
	}
	return conntrack.Flow{}, conntrack.ErrNotFound
}

func (k *flows) Update(original conntrack.Tuple, u conntrack.Update) error {
	f := k.byTuple[original]
	if f == nil {
		return conntrack.ErrNotFound
	}
	f.State = f.State&^u.StateMask | u.State&u.StateMask
	return nil
}

func (k *flows) Expect(conntrack.Expectation) error   { return nil }
func (k *flows) Withdraw(conntrack.Expectation) error { return nil }
