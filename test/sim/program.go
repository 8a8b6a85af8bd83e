package sim

import (
	"errors"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
)

// Verdict is what a program says of a packet.
type Verdict uint8

const (
	Accept  Verdict = iota // goes on as it is
	Rewrite                // goes on with the bytes that Handle returned
	Hold                   // waits in the program: it comes out of Next
	Drop                   // is gone
)

// Held is a packet that waited in a program.
type Held struct {
	Data []byte
	Drop bool // it is to be dropped, not to be handled again
}

// Program is what has the queue of a gateway. It changes the Kernel it was started for, and nothing else
// outlives it.
type Program interface {
	// Handle takes a packet, which came with the entry of that ID; 0: the kernel does not tell. What it
	// returns is valid until the next call.
	Handle(now time.Time, id, entry uint32, packet []byte) (Verdict, []byte)
	// Tick is called about every second, and Next after it and after Handle until it has nothing.
	Tick(now time.Time)
	Next() (Held, bool)
}

// Replica is a Program that can be told that its kernel got an entry and its expectations from
// another gateway.
type Replica interface {
	Program
	Replicated(now time.Time)
	Deleted(now time.Time, id uint32) // the entry of that ID
	Drained()                         // all packets that were there have been handled
}

// Watcher is a Program that can be told that the rules were gone for a while, and are there again.
type Watcher interface {
	Program
	Damaged(now time.Time)
}

// errKilled is what a program dies of.
var errKilled = errors.New("killed")

// Node is a gateway.
type Node struct {
	Kernel  *Kernel
	Program Program // nil: none runs

	back  int // the step at which the next program starts
	near  [2][]Segment
	queue []waiting
	bare  int  // the step until which there are no rules; 0: there are
	took  bool // it has had a packet since the traffic came to it
	knows bool // its program has had a packet, and so has the session

	held map[string]uint32 // the entries of the packets that the program holds
}

// waiting is a packet that waits for the program.
type waiting struct {
	dir conntrack.Dir
	pkt []byte
	id  uint32 // of its entry
}
