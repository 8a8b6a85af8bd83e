package alg

import (
	"hash/maphash"

	"github.com/ftpalg/ftpalg/conntrack"
)

// halfOpen notes where connections start whose handshake is under way. Whoever sends a SYN can make a
// server answer, so it has a fixed size: a later handshake takes the place of an earlier one. A connection
// whose note is gone is picked up at its first data.
type halfOpen struct {
	seed  maphash.Seed
	notes []note
}

func (h *halfOpen) init() { h.seed, h.notes = maphash.MakeSeed(), make([]note, halfOpenNotes) }

// halfOpenNotes is how many handshakes may be under way; of 16 bytes each.
const halfOpenNotes = 1 << 14

// note belongs to the tuple with this hash.
type note struct {
	hash uint64
	start
}

// start tells the sequence numbers of the first bytes of both sides.
type start struct{ client, server uint32 }

func (h *halfOpen) at(t conntrack.Tuple) (*note, uint64) {
	k := t.Key()
	sum := maphash.Bytes(h.seed, k[:]) | 1 // 0 is a note that is free
	return &h.notes[sum>>1%halfOpenNotes], sum
}

// note notes a server's SYN/ACK with the tuple t.
func (h *halfOpen) note(t conntrack.Tuple, s start) {
	n, sum := h.at(t)
	*n = note{sum, s}
}

// noted returns what was noted of the connection with the reply tuple t.
func (h *halfOpen) noted(t conntrack.Tuple) (start, bool) {
	n, sum := h.at(t)
	return n.start, n.hash == sum
}

// take removes and returns what was noted of the connection with the reply tuple t.
func (h *halfOpen) take(t conntrack.Tuple) (start, bool) {
	n, sum := h.at(t)
	if n.hash != sum {
		return start{}, false
	}
	s := n.start
	*n = note{}
	return s, true
}
