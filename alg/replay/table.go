package replay

import (
	"container/list"
	"github.com/ftpalg/ftpalg/alg/dialogue"
	"slices"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// How long a control connection is kept, by the clock of the capture.
const (
	endedFor = 30 * time.Second // after its end, for its last repetitions
	idleFor  = 2 * time.Hour
)

// maxControls bounds how many control connections are kept at a time.
const maxControls = 1 << 16

// helper is the name of the helper that all flows have here.
const helper = "replay"

// picked is what is assumed of a control connection that the capture does not
// begin with: the greeting and the login may have been before it.
const picked = conntrack.StateControl | conntrack.State(dialogue.Greeted) | conntrack.State(dialogue.LoggedIn)

// view is how the capture has one direction of a control connection.
type view struct {
	control *Control
	dir     conntrack.Dir
	after   bool // as it leaves the gateway: the same packet came before
}

// table holds the control connections, the longest idle first.
type table struct {
	seen  map[conntrack.Tuple]view
	order list.List
}

// find returns the control connection of a packet, which it makes if need be.
func (re *replay) find(p *rewrite.Packet, f *frame, ip []byte) (view, bool) {
	t := tupleOf(p)
	v, ok := re.table.seen[t]
	syn, ack := p.Flags()&rewrite.SYN != 0, p.Flags()&rewrite.ACK != 0
	if ok && syn && !ack && !v.after && v.control.syn != p.Seq() {
		re.retire(v.control) // its ports are used again
		ok = false
	}
	if ok {
		return v, true
	}
	if v, ok := re.otherSide(p, ip, t); ok {
		return v, true
	}
	dir, state, ok := re.role(p, t, syn, ack)
	if !ok {
		return view{}, false
	}
	return view{control: re.add(p, f, ip, dir, state), dir: dir}, true
}

// role tells which side of a control connection sent the first packet that the capture has of it, and
// what is assumed of the connection; false if it is none.
func (re *replay) role(p *rewrite.Packet, t conntrack.Tuple, syn, ack bool) (
	dir conntrack.Dir, state conntrack.State, ok bool,
) {
	to, from := re.ports.has(t.Dst.Port()), re.ports.has(t.Src.Port())
	switch {
	case re.isData(t), re.isData(t.Reverse()):
		return 0, 0, false
	case syn && !ack:
		return conntrack.Original, conntrack.StateControl, to
	case syn:
		return conntrack.Reply, conntrack.StateControl, from
	}
	if named := re.ports.isNamed(t.Dst.Port()); named != re.ports.isNamed(t.Src.Port()) {
		to, from = named, !named
	} else if !named || from && to {
		// From the middle of a connection on any port only what it says tells what it is.
		from, to = from && isReply(p.Payload()), to && isCommand(p.Payload())
	}
	if to {
		return conntrack.Original, picked, true
	}
	return conntrack.Reply, picked, from
}

func (re *replay) add(
	p *rewrite.Packet, f *frame, ip []byte, dir conntrack.Dir, state conntrack.State,
) *Control {
	t := tupleOf(p)
	client := t
	if dir == conntrack.Reply {
		client = t.Reverse()
	}
	c := &Control{First: f.number, Start: f.time, MidStream: state == picked, waits: true}
	c.mark, c.hops = markOf(p, ip)
	if p.Flags()&(rewrite.SYN|rewrite.ACK) == rewrite.SYN {
		c.syn = p.Seq()
	}
	flow := translated(re.nats, client)
	flow.Helper, flow.State, flow.HasState = helper, state, true
	re.see(c, client, conntrack.Original, false)
	re.see(c, client.Reverse(), conntrack.Reply, false)
	re.place(c, flow)
	c.place = re.table.order.PushBack(c)
	re.waiting = append(re.waiting, c)
	if re.table.order.Len() > maxControls {
		idle := re.table.order.Front().Value.(*Control)
		idle.Forgotten = true
		re.retire(idle)
	}
	return c
}

func (re *replay) see(c *Control, t conntrack.Tuple, dir conntrack.Dir, after bool) {
	c.seen = append(c.seen, t)
	re.table.seen[t] = view{c, dir, after}
}

// place makes flow the entry of c, with a port that is free where another connection has the one outside.
func (re *replay) place(c *Control, flow conntrack.Flow) {
	re.displace(c)
	reply := &flow.Tuple[conntrack.Reply]
	for range 1 << 16 {
		if other := re.engine.kernel.flows[*reply]; other == nil || !flow.SNAT || c.BothSides {
			break
		}
		reply.Dst = nextPort(reply.Dst)
	}
	c.flow = flow
	for _, t := range flow.Tuple {
		re.engine.kernel.flows[t] = c
	}
	c.name()
}

func (re *replay) displace(c *Control) {
	for _, t := range c.flow.Tuple {
		if re.engine.kernel.flows[t] == c {
			delete(re.engine.kernel.flows, t)
		}
	}
}

// sweep lets go of the connections of which nothing more is to come.
func (re *replay) sweep(now time.Time) {
	for e := re.table.order.Front(); e != nil; {
		c, next := e.Value.(*Control), e.Next()
		switch idle := now.Sub(c.End); {
		case idle > idleFor, c.over && idle > endedFor:
			re.retire(c)
		case idle <= endedFor:
			return
		}
		e = next
	}
}

// touch notes that a connection, or its data, was seen.
func (re *replay) touch(c *Control, now time.Time) {
	c.End = now
	re.table.order.MoveToBack(c.place)
}

// retire tells the rest of a control connection and forgets it.
func (re *replay) retire(c *Control) {
	re.flush(c)
	re.waiting = slices.DeleteFunc(re.waiting, func(w *Control) bool { return w == c })
	for len(c.open) > 0 {
		re.settle(c.open[0])
	}
	re.displace(c)
	for _, t := range c.seen {
		if re.table.seen[t].control == c {
			delete(re.table.seen, t)
		}
	}
	re.table.order.Remove(c.place)
	if !re.ports.isNamed(c.Server.Port()) && (c.NotFTP || !c.spoke && c.Opened == 0) {
		re.sum.NotTold++
		return
	}
	re.sum.Controls++
	if c.Forgotten {
		re.sum.Forgotten++
	}
	if re.observer.Ended != nil {
		re.observer.Ended(c)
	}
}
