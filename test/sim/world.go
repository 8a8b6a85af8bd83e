package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Time, in steps.
const (
	stepTime  = 3 * time.Millisecond // 1000 steps are what a segment may be held
	rto       = 80                   // without progress, after which a sender repeats
	patience  = 100000               // that a session may take; in the second half nothing is lost any more
	tickSteps = 333
	lag       = 10 // that a change takes to be replicated
	tenure    = 20 // at least, that the traffic stays with a gateway
	slowest   = 20 // for how long at most news are not told
)

// Patience is how many steps an application waits for a reply that may never come.
const Patience = 10 * rto

// World is a connection with all that it passes. The exported fields up to Act may be set before Open.
type World struct {
	*rand.Rand
	T     testing.TB
	Trace bool

	Loss, Reorder int // percent
	MSS           int
	Window        int  // bytes that an end may have in flight
	Nagle         bool // RFC 896
	Whole         bool // segments are of whole lines
	Tears         bool // there may be lines that are Torn
	Deaths        int  // how often a program is killed
	Switches      int  // how often the traffic moves to the other gateway
	Lags          bool // what was done to the entry last may not be replicated any more
	Echoes        int  // how often what was replicated long ago is brought back
	Swaps         int  // how often the entry is deleted, and made as it was long ago, where the traffic is
	Tells         bool // the kernel tells the entries of packets
	Slow          bool // the program hears of Swaps later than of packets
	Wipes         int  // how often another program overwrites the label
	Silent        bool // and the kernel does not tell
	Outages       int  // how often somebody takes the rules away, so that all packets pass for a while

	Start  func(*Kernel) Program   // starts a program
	Picked func()                  // told when a program begins in the middle; nil: nobody cares
	Act    func(dir conntrack.Dir) // has the application of the end that sends in dir act
	Done   func() bool             // tells whether the applications have nothing more to do

	End  [2]*End // by the direction in which they send
	Step int
	Void bool // the kernel let pass unseen what misled an end, which no program could have prevented

	nodes    []*Node
	active   int // which of them has the traffic
	moved    int // the step at which it came there
	far      [2][]Segment
	inFlight [2]uint32 // offsets: what was acknowledged when a program ended
	changed  int       // the step at which an entry was changed last
	lagging  bool      // the last change is not replicated
	stripped bool      // there was an outage
	swapped  bool      // an entry was replaced
	news     []news    // in the order in which it happened
	settling bool      // nothing is lost or killed
}

// New returns a world with random networks and ends, and the connection f in as many gateways as asked for.
func New(t testing.TB, r *rand.Rand, f conntrack.Flow, gateways int) *World {
	w := &World{
		Rand: r, T: t, Loss: r.IntN(3) * 10, Reorder: r.IntN(3) * 15,
		MSS: []int{3, 12, 60, 536}[r.IntN(4)], Window: []int{60, 300, 1500}[r.IntN(3)],
		Nagle: r.IntN(2) == 0, Whole: r.IntN(2) == 0,
	}
	var isn [2]uint32
	for dir := range isn {
		if isn[dir] = r.Uint32(); r.IntN(2) == 0 {
			isn[dir] = -uint32(r.IntN(500)) // soon wraps
		}
	}
	for dir := range w.End {
		w.End[dir] = newEnd(isn[dir], isn[1-dir])
	}
	for range gateways {
		w.nodes = append(w.nodes, &Node{Kernel: &Kernel{Entry: f}, held: map[string]uint32{}})
	}
	return w
}

// Open starts the programs, of which the first sees the handshake.
func (w *World) Open() {
	for _, n := range w.nodes {
		n.Kernel.Called = func(what string) { w.called(n, what) }
		n.Program = w.Start(n.Kernel)
	}
	s := Segment{Seq: w.End[conntrack.Reply].ISN - 1, Ack: w.End[conntrack.Original].ISN, Flags: rewrite.SYN}
	f := &w.nodes[0].Kernel.Entry
	w.handle(w.nodes[0], waiting{conntrack.Reply, Packet(f.Tuple[conntrack.Reply], s), f.ID})
	w.far = [2][]Segment{}
}

// Kernel returns that of the gateway which has the traffic.
func (w *World) Kernel() *Kernel { return w.node().Kernel }

func (w *World) node() *Node { return w.nodes[w.active] }

// Tracef logs what happens, if it is asked for.
func (w *World) Tracef(format string, args ...any) {
	if w.Trace {
		w.T.Logf("%5d "+format, append([]any{w.Step}, args...)...)
	}
}

// Now is the time in the world.
func (w *World) Now() time.Time { return time.Unix(1e9, 0).Add(time.Duration(w.Step) * stepTime) }

func (w *World) calm() bool { return w.settling || w.Step > patience/2 }

// toss puts a segment on a network, or loses or repeats it.
func (w *World) toss(net *[]Segment, s Segment) {
	if w.calm() {
		*net = append(*net, s)
		return
	}
	if w.IntN(100) < w.Loss {
		return
	}
	*net = append(*net, s)
	if w.IntN(100) < w.Loss/3 {
		*net = append(*net, s)
	}
}

// take removes a segment from a network, mostly the oldest.
func (w *World) take(net *[]Segment) Segment {
	i := 0
	if !w.calm() && w.IntN(100) < w.Reorder {
		i = w.IntN(len(*net))
	}
	s := (*net)[i]
	*net = append((*net)[:i:i], (*net)[i+1:]...)
	return s
}

// Check compares what the receiver of a direction has with what was sent, line by line.
func (w *World) Check(dir conntrack.Dir) {
	e, got := w.End[dir], string(w.End[1-dir].Got)
	r := reading{lines: e.Lines, got: got, ends: make([]int, len(e.Lines))}
	if !r.match(0, 0) {
		w.T.Fatalf("%v: line %d %s; from there on arrived %q", dir, r.line, r.why, got[r.at:])
	}
	for _, h := range e.heard {
		for i := range e.Lines {
			if l := &e.Lines[i]; l.end() <= h.upTo && r.ends[i] > h.got {
				w.T.Fatalf("%v: the sender heard that %d arrived, but line %d, %q, had not",
					dir, h.upTo, i, l.Text)
			}
		}
	}
}

// SpoilNoted spoils lines that a program which begins in the middle could not know to be lines. It
// is to be called once all is said, before Check.
func (w *World) SpoilNoted() {
	for _, e := range w.End {
		e.spoilNoted()
	}
}

func (w *World) String() string {
	return fmt.Sprintf("%d steps, %d and %d lines, loss %d reorder %d mss %d nagle %v whole %v window %d, %v",
		w.Step, len(w.End[0].Lines), len(w.End[1].Lines), w.Loss, w.Reorder, w.MSS, w.Nagle, w.Whole,
		w.Window, w.Kernel().Entry.Tuple)
}
