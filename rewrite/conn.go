package rewrite

// Dir is a direction of a connection, numbered as the kernel does (enum ip_conntrack_dir).
type Dir uint8

const (
	Original Dir = iota // from the side that opened the connection
	Reply               // from the other
)

// Opposite returns the other direction.
func (d Dir) Opposite() Dir { return d ^ 1 }

// Conn is one connection that passes by: its two streams in order, the packets that wait for what
// precedes them, and what of its numbers the kernel carries. For each packet, in this order: Receive;
// for the new bytes that it brings Take, with the edits to make in them; Keep, so that what must outlive
// the program is where it does before the packet leaves; Emit.
//
// It must be used from one goroutine.
type Conn struct {
	half      [2]half // by the direction in which they travel
	echoes    *echoes
	size      int32 // of the histories in bytes, as counted in Room
	carrier   Carrier
	blind     bool // nobody shows us acknowledgements on demand
	untouched bool // nothing was edited before we came
}

// Carrier says who carries the offsets of a connection once its edits are acknowledged.
type Carrier uint8

const (
	Kernel  Carrier = iota // its sequence adjustment, as Keep says
	Program                // this Conn, to its end: the kernel has no place for them
)

// Fate is what becomes of a packet.
type Fate uint8

const (
	Go   Fate = iota // it leaves as Emit says
	Wait             // it came before what precedes it: Hold it or drop it, so that it comes again
	Ask              // in its place leaves what Probe makes of it, and the sender sends it again
	Full             // as Ask, because too much of the direction is not acknowledged
)

// Arrival is what a packet brings.
type Arrival struct {
	Fate   Fate
	Joint  Joint  // how Plain and New join what came before
	Plain  []byte // new bytes that have gone by untouched: they are taken already
	New    []byte // new bytes behind them, to be read; if there are any, Take must follow
	Missed bool   // something before them went by unseen
	Late   bool   // the packet waited in vain for what precedes it
	End    bool   // the direction's FIN came in order
}

// Begin starts both directions at their first bytes.
func (c *Conn) Begin(client, server uint32) {
	c.half[Original].begin(client)
	c.half[Reply].begin(server)
}

// PickUp starts in the middle of a connection of which an earlier program kept k. blind tells that
// acknowledgements cannot be made visible on demand.
func (c *Conn) PickUp(k Kept, carrier Carrier, blind bool) {
	c.carrier, c.blind, c.untouched = carrier, blind, k.Untouched
	for d := range c.half {
		h := &c.half[d]
		h.unsure, h.doubt = true, &doubt{unheard: true, reached: k.Reached[d]}
		if carrier == Kernel {
			h.carried, h.mark, h.midLine = k.Carried[d], k.Mark[d], k.MidLine[d]
			h.doubt.bypassed = k.Bypassed && h.mark.Grown != 0
			h.doubt.hearsay = k.Recent && !blind && !k.Lacks[d]
			if k.Lacks[d] && !k.Bypassed {
				h.place(h.mark.Line+uint32(h.carried), nil)
				h.doubt.lacks = true
			}
		}
	}
}

// Carrier tells who carries the offsets.
func (c *Conn) Carrier() Carrier { return c.carrier }

// CarryHere says that the kernel has no place for the offsets: all packets must be seen from now on.
func (c *Conn) CarryHere() {
	c.carrier = Program
	for d := range c.half {
		h := &c.half[d]
		h.carried, h.mark, h.proven = 0, Mark{}, true
	}
}

// Rehouse says that the kernel has a new place for what is kept of the connection, and who carries the
// offsets in it; blind is as in PickUp. Where this Conn carries one already it goes on to.
func (c *Conn) Rehouse(carrier Carrier, blind bool) {
	c.blind = blind
	for d := range c.half {
		if c.half[d].stream.Delta() != c.half[d].carried {
			return
		}
	}
	c.carrier = carrier
}

// Still tells whether all that was seen of a direction was acknowledged, and every edit in the other.
func (c *Conn) Still(dir Dir) bool {
	return c.half[dir].stream.Unacked() == 0 && c.half[dir.Opposite()].stream.inFlight().edits == 0
}

// Strange tells whether the packet does not fit what is known: something was sent or acknowledged
// unseen, or it is late or forged.
func (c *Conn) Strange(dir Dir, p *Packet) bool {
	h := &c.half[dir]
	brings := len(p.Payload()) > 0 || p.Flags()&FIN != 0
	return c.Unsent(dir, p) || !h.unsure && brings && after(p.Seq(), h.stream.Edge())
}

// Unsent tells whether the packet acknowledges what never came here.
func (c *Conn) Unsent(dir Dir, p *Packet) bool {
	back := &c.half[dir.Opposite()]
	if p.Flags()&ACK == 0 || back.unsure || back.stream.Behind() {
		return false
	}
	n := int32(p.Ack() - back.stream.FinalEdge())
	return n > 1 || n == 1 && !back.ended
}

// Receive takes a packet, which is no SYN, and tells what it brings.
func (c *Conn) Receive(dir Dir, p *Packet, r *Room) Arrival {
	h, back := &c.half[dir], &c.half[dir.Opposite()]
	if p.Flags()&ACK != 0 {
		back.acked(p.Ack(), p.SACK())
	}
	n, fin := len(p.Payload()), p.Flags()&FIN != 0
	if n > 0 && h.doubt != nil {
		h.doubt.reaches(p.Seq(), p.Payload())
	}
	late := h.late
	h.late = false
	if h.unsure && n > 0 {
		if c.carrier == Kernel && !c.blind && !c.untouched && h.ask(p) {
			return Arrival{Fate: Ask}
		}
		h.guess(p.Seq())
	}
	if h.unsure {
		return Arrival{End: fin}
	}
	if fin && !h.ended {
		n++
	}
	a := Arrival{Late: late}
	switch h.stream.Classify(p.Seq(), n) {
	case Old:
		h.strays(p, c.blind)
		return a
	case Gap:
		switch {
		case n == 0:
			return a
		case h.passedBy(r):
			h.skipTo(p.Seq())
			a.Missed = true
		case !h.crosses(p, late || back.hasClaim() || r.Unseen, &a):
			return a
		}
	}
	c.deliver(h, p, r, &a)
	return a
}

// deliver puts what is new in a packet that is in order into a, if there is room to remember it.
func (c *Conn) deliver(h *half, p *Packet, r *Room, a *Arrival) {
	if h.confirm && h.hearsay() && h.ask(p) {
		a.Fate = Ask
		return
	}
	data, cut := h.stream.Fresh(p.Seq(), p.Payload()), false
	most := h.allowed(data)
	if c.carrier == Kernel && !c.blind {
		most = min(most, h.alone(data))
	}
	if most < len(data) {
		h.asked = true
		if most == 0 {
			if len(data) == len(p.Payload()) {
				a.Fate = Ask
			}
			return // what is old in it goes on without the rest
		}
		data, cut = data[:most], true
	}
	if h.stream.Unacked() > 0 && h.stream.size()+len(data) > r.share() {
		if !c.blind {
			h.asked, h.crowded = true, true
			if len(data) == len(p.Payload()) {
				a.Fate = Full
			}
			return // what is old in it goes on without the rest
		}
		h.stream.Acked(h.stream.FinalEdge()) // nobody will tell
	}
	a.End = p.Flags()&FIN != 0 && !cut
	h.joined, h.ended = true, h.ended || a.End
	if h.doubt != nil {
		h.doubt.probes, h.doubt.lacks = 0, false
	}
	if len(data) > 0 {
		k := h.takePlain(data)
		a.Plain, a.New, a.Joint = data[:k], data[k:], h.joint
		h.joint = Follows
	}
}

// Take takes new bytes of a direction, as Receive gave them, with the edits to make in them. Their
// texts are not kept.
func (c *Conn) Take(dir Dir, data []byte, edits []Edit) {
	h := &c.half[dir]
	h.changed = h.changed || len(edits) > 0 && !h.behindFence() // what is repeated proves nothing
	h.stream.Append(data, edits)
	h.crowded = h.crowded || h.stream.Unacked() > crowd
}

// Confirm tells the Conn whether an edit may begin in what a direction sends next, so that Receive asks the
// receiver for what it has, if it did not tell since what went by unseen was under way: the question comes
// behind that.
func (c *Conn) Confirm(dir Dir, is bool) { c.half[dir].confirm = is }

// Hearsay tells whether Confirm makes a difference.
func (c *Conn) Hearsay(dir Dir) bool { return c.half[dir].hearsay() }

// Undecided tells the Conn whether a line of a direction is under way that may be edited yet. It arrives
// before what follows it is taken: see half.alone.
func (c *Conn) Undecided(dir Dir, is bool) { c.half[dir].undecided = is }

// Pending tells how the next new bytes of a direction will join those before them.
func (c *Conn) Pending(dir Dir) Joint { return c.half[dir].joint }

// Unsure tells whether nothing of the direction has been placed yet since the connection was picked up.
func (c *Conn) Unsure(dir Dir) bool { return c.half[dir].unsure }

// Repeats tells whether what comes next in a direction was edited by an earlier program and may have arrived.
func (c *Conn) Repeats(dir Dir) bool { return c.half[dir].stream.Behind() }

// Ends tells whether the packet, a reset, is one that its receiver believes (RFC 5961 section 3):
// any other is answered by it, and both ends go on.
func (c *Conn) Ends(dir Dir, p *Packet) bool {
	h := &c.half[dir]
	if h.unsure || !h.stream.Started() {
		return true
	}
	at := p.Seq()
	return at == h.stream.Edge() || at == h.stream.Original(h.stream.acked) ||
		h.ended && at == h.stream.Edge()+1
}
