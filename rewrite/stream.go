package rewrite

import "slices"

// Edit replaces Del bytes at offset At of a piece of new data by Text.
type Edit struct {
	At, Del int
	Text    []byte
}

// Stream edits one direction of a TCP connection. It remembers what was sent for which original
// bytes until the receiver acknowledges it. The zero value waits for Start.
type Stream struct {
	edge  uint32 // original sequence number of the next new byte
	final uint32 // the final sequence number that it gets
	acked uint32 // the highest final number that the receiver acknowledged
	floor uint32 // final number before which the sender may have heard of an acknowledgement that we did not
	sent  uint32 // up to which final number another editor may have sent before us: see Resume

	last     byte
	foregone foregone
	started  bool
	edited   bool // there was an edit ever

	past *past // nil: nothing is remembered but the last byte
}

// foregone is what is known of what went before the bytes that are remembered.
type foregone uint8

const (
	nothing  foregone = iota // it counts as the start of a line
	lastByte                 // Stream.last
	partLine                 // a part of a line
)

// Start begins the stream at original sequence number seq, which has been given
// the offset delta (bytes) by edits before.
func (s *Stream) Start(seq uint32, delta int32) {
	*s = Stream{started: true, edited: delta != 0, edge: seq, final: seq + uint32(delta), past: s.past}
	s.acked, s.floor, s.sent = s.final, s.final, s.final
	s.past.clear()
}

// Resume is Start where another editor has sent more already, up to final number sent. What it
// was we do not know before the sender repeats it; until then acknowledgements of it count
// as acknowledgements of what was repeated.
func (s *Stream) Resume(seq uint32, delta int32, sent uint32) {
	s.Start(seq, delta)
	s.sent = sent
}

// rest gives back what is needed only while something is in flight.
func (s *Stream) rest() {
	h := s.past
	switch {
	case h == nil:
	case s.acked != s.final:
		h.clip() // nobody shows us acknowledgements while all is quiet: most of what is kept has arrived
	default:
		if n := len(h.buf); n > 0 {
			s.last, s.foregone = h.buf[n-1], lastByte
		}
		s.past = nil
		h.free()
	}
}

// remembered returns what is remembered.
func (s *Stream) remembered() *past {
	if s.past == nil {
		s.past = newPast()
		if s.foregone == lastByte {
			s.past.begin(s.last)
		}
	}
	return s.past
}

// told returns up to which original number the sender heard of acknowledgements, and the offset there.
func (s *Stream) told() (seq uint32, delta int32) {
	seq = s.Original(s.acked)
	return seq, int32(s.Final(seq) - seq)
}

// Behind tells whether something still has to be repeated: see Resume.
func (s *Stream) Behind() bool { return s.started && after(s.sent, s.final) }

// Started tells whether Start was called.
func (s *Stream) Started() bool { return s.started }

// lineEnds tells whether the last byte before the edge is known to be the end of a line.
func (s *Stream) lineEnds() bool {
	if h := s.past; h != nil && len(h.buf) > 0 {
		return h.buf[len(h.buf)-1] == '\n'
	}
	return s.foregone == lastByte && s.last == '\n'
}

// knows tells whether the stream can say where original number o goes.
func (s *Stream) knows(o uint32) bool { return s.started && !(s.Behind() && after(o, s.edge)) }

// Edge returns the original sequence number of the next new byte.
func (s *Stream) Edge() uint32 { return s.edge }

// FinalEdge returns the final sequence number of the next new byte.
func (s *Stream) FinalEdge() uint32 { return s.final }

// Delta returns how many bytes longer the final stream is than the original one at the edge.
func (s *Stream) Delta() int32 { return int32(s.final - s.edge) }

// Unacked returns how many final bytes the receiver has not acknowledged, as far as is known.
func (s *Stream) Unacked() int { return max(0, int(int32(s.final-s.acked))) }

// plain tells whether all of the stream that is remembered has the offset delta and was not edited.
func (s *Stream) plain(delta int32) bool {
	if s.Delta() != delta || s.Behind() {
		return false
	}
	return !s.past.marked() || !slices.ContainsFunc(s.past.marks.spans, func(p span) bool { return p.edited })
}

// spans returns what is remembered: from the oldest byte to the edge, without a gap. It uses one if nothing
// of that was edited.
func (s *Stream) spans(one *[1]span) []span {
	switch h := s.past; {
	case h.marked():
		return h.marks.spans
	case h == nil || len(h.buf) == 0:
		return nil
	}
	one[0] = s.whole()
	return one[:]
}

// whole returns what is remembered as one span, if nothing of it was edited.
func (s *Stream) whole() span {
	n := uint32(len(s.past.buf))
	return span{o: s.edge - n, on: n, f: s.final - n, fn: n}
}

// size is the memory of the history, in bytes.
func (s *Stream) size() int { return s.past.size() }

// Class says where a segment lies in the stream.
type Class uint8

const (
	Old     Class = iota // nothing new in it
	InOrder              // new bytes follow on the edge; bytes before it are old
	Gap                  // something before it has not been seen
)

// Classify tells where the segment of n bytes at seq lies.
func (s *Stream) Classify(seq uint32, n int) Class {
	switch {
	case after(seq, s.edge):
		return Gap
	case after(seq+uint32(n), s.edge):
		return InOrder
	}
	return Old
}

// Fresh returns the part of an in-order segment's payload that is new.
func (s *Stream) Fresh(seq uint32, payload []byte) []byte { return payload[s.edge-seq:] }

// Append takes new data at the edge, with the edits to make in it: in order, not
// overlapping, Del at least 1. (To insert, replace a byte by the text and that byte.)
func (s *Stream) Append(data []byte, edits []Edit) {
	if len(edits) > 0 && s.inFlight().edits == 0 {
		s.floor = s.final // without edits in flight the kernel alone may pass acknowledgements on
	}
	at := 0
	for _, e := range edits {
		s.put(data[at:e.At], e.At-at, false)
		s.edited = s.edited || len(e.Text) != e.Del
		s.put(e.Text, e.Del, true)
		at = e.At + e.Del
	}
	s.put(data[at:], len(data)-at, false)
}

// put lets the bytes b stand for the next n original ones.
func (s *Stream) put(b []byte, n int, edited bool) {
	if n == 0 {
		return
	}
	p := span{o: s.edge, on: uint32(n), f: s.final, fn: uint32(len(b)), edited: edited}
	h := s.remembered()
	h.put(p, b, s.whole())
	s.edge += p.on
	s.final += p.fn
}

// oldest returns the first remembered original and final number.
func (s *Stream) oldest() (o, f uint32) {
	var one [1]span
	if spans := s.spans(&one); len(spans) > 0 {
		return spans[0].o, spans[0].f
	}
	return s.edge, s.final
}

// Final returns the final number of original number o: the start of the edit that o lies in.
func (s *Stream) Final(o uint32) uint32 {
	if !before(o, s.edge) {
		return s.final + (o - s.edge)
	}
	o0, f0 := s.oldest()
	if before(o, o0) {
		return f0 - (o0 - o)
	}
	var one [1]span
	spans := s.spans(&one)
	for i := range spans {
		if p := &spans[i]; before(o, p.o+p.on) {
			if p.whole() {
				return p.f
			}
			return p.f + (o - p.o)
		}
	}
	return s.final
}

// finalEnd returns the final number behind the bytes that came for originals before o.
func (s *Stream) finalEnd(o uint32) uint32 {
	var one [1]span
	spans := s.spans(&one)
	for i := range spans {
		p := &spans[i]
		if !after(o, p.o) {
			return p.f
		}
		if before(o, p.o+p.on) {
			if p.whole() {
				return p.f + p.fn
			}
			return p.f + (o - p.o)
		}
	}
	return s.final
}

// Emit returns what goes out for the segment of payload at original number seq,
// all of which must have been taken by Append or lie before the edge, and the
// final number at which it starts. It aliases the stream and is valid until the next change.
//
// If all bytes of the segment were deleted, the byte before them is sent
// again: the receiver answers with an acknowledgement, which is what a sender
// with Nagle's algorithm waits for.
func (s *Stream) Emit(seq uint32, payload []byte) (out []byte, final uint32) {
	if len(payload) == 0 {
		return nil, s.Final(seq)
	}
	h, hi := s.remembered(), seq+uint32(len(payload))
	if o0, f0 := s.oldest(); before(seq, o0) {
		if !after(hi, o0) {
			// Acknowledged and forgotten, or from before we came: the receiver throws it away.
			return payload, f0 - (o0 - seq)
		}
		h.precede(payload[:o0-seq], o0, f0)
	}
	_, f0 := s.oldest()
	lo, end := s.Final(seq), s.finalEnd(hi)
	if lo == end && lo != f0 {
		lo--
	}
	return h.buf[lo-f0 : end-f0], lo
}

// Acked notes that the receiver has everything before final number a, and
// forgets what no retransmission can ask for any more. It returns false where a
// is beyond all that was seen: something passed by unseen.
func (s *Stream) Acked(a uint32) bool {
	if after(a, s.final) && !s.Behind() {
		return false
	}
	moves := after(a, s.acked)
	if moves {
		s.acked = a
	}
	h := s.past
	if h == nil {
		return true
	}
	if m := h.marks; m != nil {
		m.counted = m.counted && !moves
	}
	if s.acked == s.final {
		h.keepLast()
	} else if _, f0 := s.oldest(); before(s.acked, s.final) &&
		int(int32(s.acked-f0)) > max(keepCapacity, len(h.buf)/2) {
		h.trim(s.acked, f0)
	}
	return true
}

// Original translates an acknowledgement: the highest original number all of
// whose bytes before it went out before final number a.
func (s *Stream) Original(a uint32) uint32 {
	o0, f0 := s.oldest()
	if before(a, f0) {
		return o0 - (f0 - a)
	}
	if !before(a, s.final) {
		if s.Behind() {
			return s.edge
		}
		return s.edge + (a - s.final)
	}
	var one [1]span
	o, spans := o0, s.spans(&one)
	for i := range spans {
		p := &spans[i]
		if before(a, p.f+p.fn) {
			if !p.whole() {
				o = p.o + (a - p.f)
			}
			break
		}
		o = p.o + p.on
	}
	return o
}

// Block translates a SACK block: the original bytes all of which lie within the
// final bytes from left to right. It returns false where there are none, or
// where they are forgotten: a report of duplicates (RFC 2883) that nobody needs.
func (s *Stream) Block(left, right uint32) (l, r uint32, ok bool) {
	if !s.edited {
		return left, right, true
	}
	if _, f0 := s.oldest(); before(left, f0) {
		return 0, 0, false
	}
	r = s.Original(right)
	l = s.Original(left)
	var one [1]span
	spans := s.spans(&one)
	for i := range spans {
		// Inside an edit: only what comes after it is known to have arrived whole.
		if p := &spans[i]; p.whole() && after(left, p.f) && before(left, p.f+p.fn) {
			l = p.o + p.on
		}
	}
	return l, r, before(l, r)
}
