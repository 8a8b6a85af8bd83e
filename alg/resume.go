package alg

import (
	"bytes"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Where a process dies, or a session is forgotten, with edits in flight, nobody knows which of
// them arrived. The kernel keeps where the first of them starts and the last one is, with their
// offsets. So the next process waits till either the sender repeats them from before the first, or the
// receiver acknowledges the last. Until then it tells the sender of no acknowledgement beyond the first.

// maxProbes is how many segments from beyond the edits in flight may come in a row before
// we believe that the sender will never repeat them. It repeats after a second or two.
const maxProbes = 8

// await has a direction wait if edits were in flight there when the kernel was last told.
func (s *session) await(dir conntrack.Dir) {
	h, f := &s.half[dir], s.flow.Flight[dir]
	if f == (conntrack.Flight{}) {
		return
	}
	s.resume[dir] = awaiting
	h.Stream.Resume(h.Kernel.Pos+1-uint32(f.Back), h.Kernel.Before+int32(f.Base))
}

// pickUp starts a direction in the middle: an earlier process had it, or nobody.
func (g *Gateway) pickUp(s *session, dir conntrack.Dir, seq uint32) {
	h := &s.half[dir]
	k := h.Kernel
	first := k.Pos
	if k.After < k.Before {
		first++ // see rewrite.Shift
	}
	if behind := first - seq; k.Before != k.After && behind < recently {
		// The receiver acknowledged the last edit, but the sender did not hear of it.
		h.Stream.Resume(seq, k.Before)
		s.resume[dir] = repeating
	} else {
		h.Stream.Start(seq, k.At(seq))
	}
	s.midway[dir] = true
}

// recently bounds, in bytes, how far before an edit that was acknowledged the sender may be.
const recently = 4096

// repeats tells whether the segment of n bytes at original number seq is, or precedes, the awaited
// repetition; then it can be read. Else the receiver is to be asked what it has.
func (g *Gateway) repeats(s *session, dir conntrack.Dir, seq uint32, n int) bool {
	st := &s.half[dir].Stream
	switch st.Classify(seq, n) {
	case rewrite.Old:
		return true
	case rewrite.InOrder:
		// Read it from its start: the line of the first edit begins before the edit.
		st.Resume(seq, st.Delta())
		s.resume[dir] = repeating
		s.midway[dir] = true
		return true
	}
	if s.probes[dir]++; s.probes[dir] > maxProbes {
		g.missed(s, dir, seq)
		return true
	}
	return false
}

// allArrived goes on behind final number ack: the receiver has the last edit.
func (g *Gateway) allArrived(s *session, dir conntrack.Dir, ack uint32) {
	h := &s.half[dir]
	if s.resume[dir] == repeating && int32(h.Stream.FinalEdge()-ack) >= 0 {
		h.Stream.Acked(ack) // and it comes from us
		return
	}
	s.resume[dir] = resumed
	h.Stream.Start(ack-uint32(h.Kernel.After), h.Kernel.After)
	s.line[dir].reset()
	s.midway[dir] = true
	g.wake(s)
}

// repeat appends that part of new data that repeats what the process before us edited, and
// returns the rest. Behind the last edit the offset must be what the kernel knows.
func (g *Gateway) repeat(s *session, dir conntrack.Dir, data []byte, edits []rewrite.Edit) ([]byte, []rewrite.Edit) {
	h := &s.half[dir]
	end := lineEnd(data, int(int32(h.Kernel.Pos+1-h.Stream.Edge())))
	if end == 0 {
		h.Stream.Append(data, edits)
		return nil, nil
	}
	n := 0
	for n < len(edits) && edits[n].At < end {
		n++
	}
	old, mine := data[:end], edits[:n]
	text := edited(old, mine)
	want := end + int(h.Kernel.After-h.Stream.Delta())
	if want > 0 && want != len(text) {
		// The receiver lacks the end of it: it has the start already if this is too long.
		// If it is too short, what it said is not known any more: repeat its end. At worst
		// a line is refused, but the stream stays in step.
		for len(text) < want {
			text = append(text, text[max(0, len(text)-(want-len(text))):]...)
		}
		mine = []rewrite.Edit{{Del: end, Text: text[len(text)-want:]}}
	}
	h.Stream.Append(old, mine)
	h.Stream.CaughtUp()
	s.resume[dir] = resumed
	s.tangled[dir] = true // what the sender holds of it may be of any size
	for i := range edits[n:] {
		edits[n+i].At -= end
	}
	return data[end:], edits[n:]
}

// lineEnd returns the end of the line in data that holds the byte at offset at; 0 if it is not in data.
func lineEnd(data []byte, at int) int {
	at = min(max(at, 0), len(data))
	n := bytes.IndexByte(data[at:], '\n')
	if n < 0 {
		return 0
	}
	return at + n + 1
}

// edited returns data with the edits made in it.
func edited(data []byte, edits []rewrite.Edit) []byte {
	text, at := make([]byte, 0, 2*len(data)), 0
	for _, e := range edits {
		text = append(append(text, data[at:e.At]...), e.Text...)
		at = e.At + e.Del
	}
	return append(text, data[at:]...)
}
