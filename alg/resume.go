package alg

import (
	"encoding/binary"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// A direction may be picked up in the middle: an earlier process had it, or its session was
// forgotten. What the receiver has of it is not known then, and an edit in what it has
// already would put both ends out of step. Its next acknowledgement tells. If data comes first
// we ask: they go on as a probe, the receiver answers, and the sender repeats them.
//
// Where edits were in flight the label tells where the line of the first starts and the
// last ends. Until the receiver has the last, the sender hears of no acknowledgement beyond what it
// repeated to us and we edited as it was edited before. As long the kernel's offsets stay as they are.
//
// What nobody can know: a line that passed by untouched while no process was there, and is
// repeated to us after an acknowledgement from before it, is edited. If that makes it longer then
// its end arrives as a line of its own.

// maxProbes is how many packets may go on as probes, one after another, before we believe that no answer comes.
const maxProbes = 8

// ask sends a probe in place of the packet; false if it was asked often enough.
func (g *Gateway) ask(s *session, dir conntrack.Dir) bool {
	if s.probes[dir]++; s.probes[dir] > maxProbes {
		return false
	}
	s.asked[dir] = true
	g.persist(s) // the answer must be queued
	g.out = rewrite.Probe(g.out[:0], &g.packet, &s.half[dir.Opposite()])
	return true
}

// place picks a direction up where the receiver says with final number ack what it has.
func (g *Gateway) place(s *session, dir conntrack.Dir, ack uint32) {
	h, f := &s.half[dir], s.flow.Flight[dir]
	k := &h.Kernel
	base := k.Before + int32(f.Base)
	line := k.Pos + 1 - uint32(f.Back)
	last := k.Pos + uint32(f.End) + uint32(k.After)
	switch beyond := int32(ack - line - uint32(base)); {
	case f.End == 0:
		s.start(dir, ack)
	case int32(ack-last) >= 0:
		h.Stream.Start(ack-uint32(k.After), k.After)
	case beyond > 0 && s.stored&conntrack.StateNoBypass == 0:
		// The line passed by untouched while no process was there. Where it should have grown it is
		// still in its old place; see rewrite.Shift.
		k.After = min(k.After, k.Before)
		s.start(dir, ack)
	default:
		h.Stream.Resume(line+uint32(min(beyond, 0)), base, last)
		h.Stream.Acked(ack)
		s.set(midLine[dir], false)
	}
	s.pickedUp(dir)
	g.wake(s)
}

// start starts a direction of which all that was edited has arrived.
func (s *session) start(dir conntrack.Dir, ack uint32) {
	h := &s.half[dir]
	at := h.Kernel.Original(ack)
	h.Stream.Start(at, int32(ack-at))
}

// placeAnew picks a direction up again, because the receiver turns out to have had more when we did
// so first. It has it instead of what we made of it.
func (g *Gateway) placeAnew(s *session, dir conntrack.Dir, ack uint32) {
	s.half[dir].Kernel = s.before[dir]
	s.start(dir, ack)
	s.pickedUp(dir)
	g.wake(s)
}

// prove notes that an edit of ours arrived, so that nothing from before us can have taken its place.
func (s *session) prove(dir conntrack.Dir) {
	if h := &s.half[dir]; !s.proven[dir] && h.Kernel != s.before[dir] && h.Stream.InFlight().Edits == 0 {
		s.proven[dir] = true
	}
}

// notePlain notes what the receiver has behind a gap: it passed by untouched while no process was there,
// so that nothing before its end can change its length any more.
func (s *session) notePlain(dir conntrack.Dir, sack []byte) {
	st := &s.half[dir].Stream
	if st.Behind() {
		return // it was edited
	}
	for ; len(sack) >= 8; sack = sack[8:] {
		end := binary.BigEndian.Uint32(sack[4:])
		at := end - uint32(s.before[dir].After)
		if int32(end-st.FinalEdge()) > 0 && int32(at-st.Edge()) > 0 && (!s.hasPlain[dir] || int32(at-s.plain[dir]) > 0) {
			s.plain[dir], s.hasPlain[dir] = at, true
		}
	}
}

// skipPlain takes what of new data cannot be edited, see notePlain, and returns the rest.
func (g *Gateway) skipPlain(s *session, dir conntrack.Dir, data []byte) []byte {
	if !s.hasPlain[dir] {
		return data
	}
	n := int(int32(s.plain[dir] - s.half[dir].Stream.Edge()))
	s.hasPlain[dir] = n > len(data)
	if n = min(n, len(data)); n <= 0 {
		return data
	}
	g.take(s, dir, data[:n], nil)
	s.midway[dir] = false
	s.line[dir].reset()
	s.line[dir].skip = data[n-1] != '\n'
	return data[n:]
}

// toldByKernel tells whether the sender goes on at seq because the kernel alone, while no process was there, told
// it so: what precedes it will not come again. See rewrite.Shift for what becomes of it.
func (s *session) toldByKernel(dir conntrack.Dir, seq uint32) bool {
	h := &s.half[dir]
	if !h.Stream.Behind() || s.stored&conntrack.StateNoBypass != 0 {
		return false
	}
	at, delta := h.Stream.Told()
	return seq == h.Kernel.Original(at+uint32(delta))
}

// guess picks a direction up at the packet at hand, where the receiver does not tell, or it does not matter.
func (s *session) guess(dir conntrack.Dir, seq uint32) {
	h := &s.half[dir]
	h.Stream.Start(seq, h.Kernel.At(seq))
	s.pickedUp(dir)
}

func (s *session) pickedUp(dir conntrack.Dir) {
	s.unsure[dir], s.probes[dir], s.midway[dir] = false, 0, true
	s.proven[dir] = s.holds == holdsProgram // then the offset is not the kernel's anyway
	s.before[dir], s.hasPlain[dir] = s.half[dir].Kernel, false
	s.line[dir].reset()
	s.claims[dir] = false
}

// allArrived tells whether final number ack acknowledges the last of the edits that another process left in flight.
func (s *session) allArrived(dir conntrack.Dir, ack uint32) bool {
	k, f := s.half[dir].Kernel, s.flow.Flight[dir]
	return int32(ack-k.Pos-uint32(f.End)-uint32(k.After)) >= 0
}
