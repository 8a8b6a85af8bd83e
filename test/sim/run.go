package sim

import (
	"slices"

	"github.com/ftpalg/ftpalg/conntrack"
)

// Run lets everything happen in random order until all is said and acknowledged.
func (w *World) Run() {
	for ; !w.over() && !w.Void; w.Step++ {
		if w.Step > patience {
			c, s := w.End[conntrack.Original], w.End[conntrack.Reply]
			w.T.Fatalf("stalls: the client is at %d of %d (sent %d), the server at %d of %d (sent %d)",
				c.offset(c.Una), len(c.data), c.offset(c.Nxt), s.offset(s.Una), len(s.data), s.offset(s.Nxt))
		}
		w.time()
		w.step(conntrack.Dir(w.IntN(2)))
	}
}

// Settle lets both ends say what they have to say, with nothing lost, killed or moved.
func (w *World) Settle() {
	w.settling = true
	act, done := w.Act, w.Done
	w.Act, w.Done = func(conntrack.Dir) {}, func() bool { return true }
	w.Run()
	w.Act, w.Done, w.settling = act, done, false
}

func (w *World) over() bool {
	dead := slices.ContainsFunc(w.nodes, func(n *Node) bool { return n.Program == nil || n.bare > 0 })
	return !dead && w.End[0].allSaid() && w.End[1].allSaid() && w.Done()
}

// time starts programs that are due, and has the others tick.
func (w *World) time() {
	w.tellDue()
	for i, n := range w.nodes {
		if n.Program == nil && w.Step >= n.back {
			w.revive(n, false)
		}
		if n.bare > 0 && w.Step >= n.bare {
			w.repair(n)
		}
		if n.Program != nil && n.bare == 0 && w.Step%tickSteps == 0 && (i == w.active || !w.node().took) {
			w.work(n, true)
		}
	}
}

// step is one thing that happens.
func (w *World) step(dir conntrack.Dir) {
	n := w.node()
	switch k := w.IntN(12); {
	case k < 3 && len(n.near[dir]) > 0:
		w.arrive(n, dir, w.take(&n.near[dir]))
	case k < 6 && len(w.far[dir]) > 0:
		w.receive(dir, w.take(&w.far[dir]))
	case k < 9 && len(n.queue) > 0:
		w.abandon()
		w.work(n, false)
	case k == 9:
		w.stepEnd(dir)
	case k == 10:
		w.Act(dir)
	case w.End[dir].ackDue && w.IntN(4) == 0:
		w.ack(dir)
	case w.settling:
	case w.Deaths > 0 && n.Program != nil && w.IntN(40) == 0:
		w.Tracef("killed")
		w.die(n)
	case w.Outages > 0 && n.Program != nil && n.bare == 0 && w.IntN(40) == 0:
		w.strip(n)
	case w.Switches > 0 && w.Step-w.moved >= tenure && w.IntN(40) == 0:
		w.move()
	case w.Echoes > 0 && n.took && w.IntN(40) == 0:
		w.echo()
	case w.Swaps > 0 && n.Program != nil && w.IntN(40) == 0:
		w.swap()
	case w.Wipes > 0 && n.Program != nil && n.knows && n.bare == 0 && w.IntN(40) == 0:
		w.wipe(n)
	case len(w.nodes) > 1 && w.IntN(2) == 0:
		w.stepLate(dir)
	}
}
