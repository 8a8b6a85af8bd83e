package alg

import (
	"hash/maphash"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// halfOpen notes where connections start whose handshake is under way. Whoever sends a SYN can make a
// server answer, so it has a fixed size: a later handshake takes the place of an earlier one. A connection
// whose note is gone is picked up at its first data.
type halfOpen struct {
	seed  maphash.Seed
	notes []note // made with the first handshake
}

// halfOpenNotes is how many handshakes may be under way; of 16 bytes each.
const halfOpenNotes = 1 << 14

// note belongs to the tuple with this hash.
type note struct {
	hash uint64
	start
}

// start tells the sequence numbers of the first bytes of both sides.
type start struct{ client, server uint32 }

// farthest is how many bytes behind its start a connection may be when it is first seen.
const farthest = 1 << 20

// fits tells whether the first packet that is seen of a connection can be of one that starts there. A server
// that keeps no record of those who connect begins elsewhere when it is asked again (SYN cookies), and the
// client may have taken what it said first.
func (s start) fits(dir rewrite.Dir, p *rewrite.Packet) bool {
	seq, ack := s.client, s.server
	if dir == fromServer {
		seq, ack = ack, seq
	}
	return p.Seq()-seq < farthest && (p.Flags()&rewrite.ACK == 0 || p.Ack()-ack < farthest)
}

func (h *halfOpen) at(t conntrack.Tuple) (*note, uint64) {
	if h.notes == nil {
		h.seed, h.notes = maphash.MakeSeed(), make([]note, halfOpenNotes)
	}
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
