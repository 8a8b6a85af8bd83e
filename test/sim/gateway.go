package sim

import (
	"slices"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// arrive is what the queue rules do with a packet.
func (w *World) arrive(n *Node, dir conntrack.Dir, s Segment) {
	f := n.Kernel.fate(&s)
	switch {
	case n.bare > 0:
		w.leave(n, dir, s, n.Kernel.Entry.ID)
	case f != passes && n.Program != nil:
		f := &n.Kernel.Entry
		n.queue = append(n.queue, waiting{dir, Packet(f.Tuple[dir], s), f.ID})
	case f == waits:
		w.Tracef("%v is dropped", dir)
	default:
		w.Void = w.Void || n.Kernel.misleads(dir, s)
		w.leave(n, dir, s, n.Kernel.Entry.ID)
	}
}

func (w *World) leave(n *Node, dir conntrack.Dir, s Segment, id uint32) {
	n.Kernel.adjust(dir, &s, id)
	w.toss(&w.far[dir], s)
}

// work has the program take a packet from the queue, or tick.
func (w *World) work(n *Node, tick bool) {
	defer func() {
		switch r := recover(); r {
		case nil:
		case errKilled:
			w.die(n)
		default:
			panic(r)
		}
	}()
	if tick {
		n.Program.Tick(w.Now())
	} else {
		q := n.queue[0]
		n.queue = n.queue[1:]
		w.handle(n, q)
	}
	if r, ok := n.Program.(Replica); ok && len(n.queue) == 0 {
		r.Drained()
	}
	for h, ok := n.Program.Next(); ok; h, ok = n.Program.Next() {
		if !h.Drop {
			var p rewrite.Packet
			p.Parse(h.Data)
			dir := n.Kernel.Entry.Direction(conntrack.Tuple{Src: p.Src(), Dst: p.Dst()})
			w.handle(n, waiting{dir, h.Data, n.held[string(h.Data)]})
		}
	}
}

func (w *World) handle(n *Node, q waiting) {
	var p rewrite.Packet
	p.Parse(q.pkt)
	dir := q.dir
	w.Tracef("gateway %d takes %v %d %q ack %d",
		slices.Index(w.nodes, n), dir, p.Seq()-w.End[dir].ISN, p.Payload(), int32(p.Ack()-w.End[1-dir].ISN))
	n.knows = true
	entry := uint32(0)
	if w.Tells {
		entry = q.id
	}
	v, out := n.Program.Handle(w.Now(), uint32(w.Step), entry, q.pkt)
	switch v {
	case Rewrite:
		if !p.Parse(out) || !p.ChecksumOK() {
			w.T.Fatalf("a broken packet left: % x", out)
		}
		w.Tracef("  goes as %d %q ack %d",
			p.Seq()-w.End[dir].ISN, p.Payload(), int32(p.Ack()-w.End[1-dir].ISN))
	case Hold, Drop:
		w.Tracef("  is held or dropped")
		n.held[string(q.pkt)] = q.id
		return
	}
	w.leave(n, dir, segmentOf(&p), q.id)
}

// called kills a program in the middle of a packet.
func (w *World) called(n *Node, what string) {
	w.changed = w.Step
	f := &n.Kernel.Entry
	w.Tracef("  %s: state %b flight %+v seq %+v", what, f.State, f.Flight, f.Seq)
	if !w.settling && w.Deaths > 0 && w.IntN(20) == 0 {
		w.Tracef("  killed %s", what)
		panic(errKilled)
	}
}

// die ends the program with all packets that it has or that wait for it.
func (w *World) die(n *Node) {
	w.Deaths--
	n.Program, n.queue, n.back = nil, nil, w.Step
	clear(n.held)
	sudden := w.IntN(2) == 0
	if !sudden {
		n.back += w.IntN(400)
	}
	w.noteInFlight()
	f := &n.Kernel.Entry
	w.Tracef("dead till %d: state %b flight %+v seq %+v", n.back, f.State, f.Flight, f.Seq)
	if sudden {
		w.revive(n, true)
	}
}

func (w *World) noteInFlight() {
	for dir, e := range w.End {
		w.inFlight[dir] = e.offset(e.Una)
	}
}

// revive starts the next program; sudden tells that none was missed.
func (w *World) revive(n *Node, sudden bool) {
	w.Tracef("a new program")
	w.notePickUp(n.Kernel, sudden)
	n.Program, n.knows = w.Start(n.Kernel), false
}

// Restart starts a program in place of the one that has the traffic. Nothing may be under way.
func (w *World) Restart() {
	w.noteInFlight()
	w.revive(w.node(), true)
}

// notePickUp notes what a program that begins in the middle with what k has cannot know.
func (w *World) notePickUp(k *Kernel, sudden bool) {
	if w.Picked != nil {
		w.Picked()
	}
	for dir, e := range w.End {
		behind := len(w.End[1-dir].early)+len(w.far[dir]) > 0
		if !w.Whole || !sudden {
			e.spoil(w.inFlight[dir], Damaged)
			e.spoilNext(e.Nxt) // what precedes it may never be seen
			if w.Tears && behind && !w.Whole && k.Entry.Flight[dir].End != 0 {
				e.spoil(w.inFlight[dir], Torn)
			}
		} else if behind {
			e.spoil(e.offset(e.Una), Plain) // of what lies behind a gap it is not known who passed it on
		}
	}
}

// move has the traffic go through the other gateway, to which the entry was replicated. What is on the
// way to the old one may still pass it, and then the other has its entry anew; from the first packet that the
// other has to itself on, it is lost.
func (w *World) move() {
	w.Switches--
	w.moved = w.Step
	w.noteInFlight()
	w.active = 1 - w.active
	w.Tracef("the traffic moves to gateway %d", w.active)
	w.node().took, w.Kernel().wrote = false, nil
	w.lagging = w.Lags && w.Step-w.changed < lag
	w.replicate()
	w.notePickUp(w.Kernel(), true)
}

// replicate copies the entry to the gateway that has the traffic. Expectations are not: what replicates them
// loses their translation.
func (w *World) replicate() {
	from, to := w.nodes[1-w.active].Kernel, w.Kernel()
	to.Entry, to.Expects = from.Entry, nil
	if w.lagging && from.before.ID == from.Entry.ID {
		to.Entry = from.before
	}
	if r, ok := w.node().Program.(Replica); ok {
		r.Replicated(w.Now())
	}
}

// echo brings the entry back, in the gateway that had the traffic before, as its program had made it: what
// replicates entries does that with what it was sent then, when something small changes at the other.
func (w *World) echo() {
	old := w.nodes[1-w.active]
	if n := len(old.Kernel.wrote); n > 0 {
		w.Echoes--
		w.Tracef("gateway %d has its entry of then", 1-w.active)
		old.Kernel.Entry = old.Kernel.wrote[w.IntN(n)]
		if r, ok := old.Program.(Replica); ok {
			r.Replicated(w.Now())
		}
	}
}

// swap has what replicates entries put one in the place of that of the gateway that has the traffic, as its
// program had made it. What was expected goes with the old one.
func (w *World) swap() {
	k := w.Kernel()
	if n := len(k.wrote); n > 0 {
		w.Swaps, w.swapped = w.Swaps-1, true
		id := k.Entry.ID
		w.Tracef("entry %d is replaced by one of then", id)
		k.replace(k.wrote[w.IntN(n)])
		w.tellLater(w.node(), func(r Replica) {
			r.Deleted(w.Now(), id)
			r.Replicated(w.Now())
		})
	}
}

// news is what a program will be told.
type news struct {
	at   int // step
	to   Program
	tell func(Replica)
}

// tellLater tells the program of a node now, or if the world is Slow, when packets may have come before that.
func (w *World) tellLater(n *Node, tell func(Replica)) {
	at := w.Step
	if w.Slow {
		at += w.IntN(slowest)
	}
	w.news = append(w.news, news{at, n.Program, tell})
	w.tellDue()
}

func (w *World) tellDue() {
	for len(w.news) > 0 && w.news[0].at <= w.Step {
		x := w.news[0]
		w.news = w.news[1:]
		for _, n := range w.nodes {
			if r, ok := n.Program.(Replica); ok && n.Program == x.to {
				w.Tracef("it is told")
				x.tell(r)
			}
		}
	}
}

// wipe has another program overwrite the label of the entry, which the kernel tells at once or not at all.
// Who is told does not die before it has mended it.
func (w *World) wipe(n *Node) {
	w.Wipes--
	w.Tracef("the label is wiped")
	f := &n.Kernel.Entry
	f.State, f.Flight = f.State&(conntrack.StateBusy|conntrack.StateNoBypass), [2]conntrack.Flight{}
	if w.Silent {
		return
	}
	f.State = 0
	deaths := w.Deaths
	w.Deaths = 0
	defer func() { w.Deaths = deaths }()
	if r, ok := n.Program.(Replica); ok {
		r.Replicated(w.Now())
	}
}

// abandon loses what is on the way to the gateway that had the traffic.
func (w *World) abandon() {
	if n := w.node(); !n.took && len(w.nodes) > 1 {
		n.took = true
		old := w.nodes[1-w.active]
		old.near, old.queue = [2][]Segment{}, nil
	}
}

// stepLate has the gateway that had the traffic before take a packet that was on the way to it.
func (w *World) stepLate(dir conntrack.Dir) {
	old := w.nodes[1-w.active]
	switch {
	case w.node().took:
	case len(old.queue) > 0:
		w.work(old, false)
	case len(old.near[dir]) > 0:
		w.arrive(old, dir, w.take(&old.near[dir]))
	}
	if !w.node().took {
		w.replicate()
	}
}

// Outages, in steps: until a program that runs has repaired the rules, and where it was stopped meanwhile.
const (
	repairTakes = 20
	stoppedFor  = 400
)

// strip takes the rules of a gateway away, and with them what waits for the program.
func (w *World) strip(n *Node) {
	w.Outages--
	w.stripped = true
	n.bare = w.Step + 1 + w.IntN([]int{repairTakes, stoppedFor}[w.IntN(2)])
	n.queue = nil
	w.noteInFlight()
	w.Tracef("no rules at gateway %d till %d", slices.Index(w.nodes, n), n.bare)
}

// repair puts the rules back. Whatever was on the way meanwhile went by untouched or is lost, and what was
// heard of it was in the wrong numbers.
func (w *World) repair(n *Node) {
	n.bare = 0
	w.Tracef("the rules are back")
	if w.Picked != nil {
		w.Picked()
	}
	for dir, e := range w.End {
		e.spoil(w.inFlight[dir], Torn)
		e.spoilNext(e.Nxt)
	}
	if p, ok := n.Program.(Watcher); ok {
		p.Damaged(w.Now())
	}
}
