package rewrite

import "slices"

// maxHistory bounds, in bytes, what a Stream remembers of unacknowledged data.
// A control connection has a line or two in flight; only a long listing over the
// control connection (STAT) comes near.
const maxHistory = 64 << 10

// keepCapacity is the buffer that an idle Stream keeps, in bytes.
const keepCapacity = 2 << 10

// Edit replaces Del bytes at offset At of a piece of new data by Text.
type Edit struct {
	At, Del int
	Text    []byte
}

// span maps on original bytes from o to the fn final bytes from f. If it was
// not edited they are the same bytes, else it is mapped only as a whole.
type span struct {
	o, on  uint32
	f, fn  uint32
	edited bool
}

// Stream edits one direction of a TCP connection. The zero value waits for Start.
type Stream struct {
	started bool
	edge    uint32 // original sequence number of the next new byte
	final   uint32 // the final sequence number that it gets
	acked   uint32 // the highest final number that the receiver acknowledged
	floor   uint32 // final number before which the sender may have heard of an acknowledgement that we did not
	sent    uint32 // up to which final number another editor may have sent before us: see Resume
	edited  bool   // there was an edit ever
	spans   []span // from the oldest remembered byte to the edge, without a gap
	buf     []byte // their final bytes
}

// Start begins the stream at original sequence number seq, which has been given
// the offset delta (bytes) by edits before.
func (s *Stream) Start(seq uint32, delta int32) {
	*s = Stream{started: true, edited: delta != 0, edge: seq, final: seq + uint32(delta), spans: s.spans[:0], buf: s.buf[:0]}
	s.acked, s.floor, s.sent = s.final, s.final, s.final
}

// Resume is Start where another editor has sent more already, up to final number sent. What it
// was we do not know before the sender repeats it; until then acknowledgements of it count
// as acknowledgements of what was repeated.
func (s *Stream) Resume(seq uint32, delta int32, sent uint32) {
	s.Start(seq, delta)
	s.sent = sent
}

// Told returns up to which original number the sender heard of acknowledgements, and the offset there.
func (s *Stream) Told() (seq uint32, delta int32) {
	seq = s.Original(s.acked)
	return seq, int32(s.Final(seq) - seq)
}

// Behind tells whether something still has to be repeated: see Resume.
func (s *Stream) Behind() bool { return s.started && after(s.sent, s.final) }

// Started tells whether Start was called.
func (s *Stream) Started() bool { return s.started }

// knows tells whether the stream can say where original number o goes.
func (s *Stream) knows(o uint32) bool { return s.started && !(s.Behind() && after(o, s.edge)) }

// Edge returns the original sequence number of the next new byte.
func (s *Stream) Edge() uint32 { return s.edge }

// FinalEdge returns the final sequence number of the next new byte.
func (s *Stream) FinalEdge() uint32 { return s.final }

// Delta returns how many bytes longer the final stream is than the original one at the edge.
func (s *Stream) Delta() int32 { return int32(s.final - s.edge) }

// Flight tells of the edits in flight that changed the length. Numbers are original ones.
type Flight struct {
	Edits  int    // how many there are
	Line   uint32 // where the line of the first starts, or what of it the sender will certainly repeat
	Base   int32  // offset there, in bytes
	Last   uint32 // where the last of them starts
	End    uint32 // behind it
	Before int32  // offset in front of the last
	After  int32  // and behind it
}

// InFlight tells of the edits in flight.
func (s *Stream) InFlight() (f Flight) {
	for i := range s.spans {
		p := &s.spans[i]
		if p.on == p.fn || !after(p.f+p.fn, s.acked) {
			continue
		}
		if f.Edits++; f.Edits == 1 {
			f.Line, f.Base = p.o-s.lineBefore(p.f), int32(p.f-p.o)
		}
		f.Last, f.End = p.o, p.o+p.on
		f.Before, f.After = int32(p.f-p.o), int32(p.f+p.fn-f.End)
	}
	return f
}

// lineBefore returns how many bytes before final number f are of the same line and will be
// repeated until they are acknowledged to us.
func (s *Stream) lineBefore(f uint32) (n uint32) {
	_, f0 := s.oldest()
	for after(f-n, f0) && after(f-n, s.acked) && after(f-n, s.floor) && s.buf[f-n-1-f0] != '\n' {
		n++
	}
	return n
}

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
	if len(edits) > 0 && s.InFlight().Edits == 0 {
		s.floor = s.final // without edits in flight the kernel alone may pass acknowledgements on
	}
	at := 0
	for _, e := range edits {
		s.copySpan(data[at:e.At])
		s.edited = true
		if k := len(s.spans) - 1; k >= 0 && s.spans[k].edited && s.spans[k].fn == 0 && len(e.Text) == 0 {
			s.spans[k].on += uint32(e.Del) // so that an endless line swallowed byte by byte is one span
		} else {
			s.spans = append(s.spans, span{o: s.edge, on: uint32(e.Del), f: s.final, fn: uint32(len(e.Text)), edited: true})
		}
		s.buf = append(s.buf, e.Text...)
		s.edge += uint32(e.Del)
		s.final += uint32(len(e.Text))
		at = e.At + e.Del
	}
	s.copySpan(data[at:])
	s.bound()
}

func (s *Stream) copySpan(b []byte) {
	if len(b) == 0 {
		return
	}
	n := uint32(len(b))
	if k := len(s.spans); k > 0 && !s.spans[k-1].edited {
		s.spans[k-1].on += n
		s.spans[k-1].fn += n
	} else {
		s.spans = append(s.spans, span{o: s.edge, on: n, f: s.final, fn: n})
	}
	s.buf = append(s.buf, b...)
	s.edge += n
	s.final += n
}

// bound forgets the oldest spans when the history is too long: first what is
// acknowledged, then what was not edited.
func (s *Stream) bound() {
	for len(s.buf) > maxHistory && len(s.spans) > 0 {
		p := &s.spans[0]
		n := p.fn
		if over := uint32(len(s.buf) - maxHistory); !p.edited && n > over {
			n = over
			p.o, p.on, p.f, p.fn = p.o+n, p.on-n, p.f+n, p.fn-n
		} else {
			s.spans = s.spans[:copy(s.spans, s.spans[1:])]
		}
		s.buf = s.buf[:copy(s.buf, s.buf[n:])]
	}
}

// oldest returns the first remembered original and final number.
func (s *Stream) oldest() (o, f uint32) {
	if len(s.spans) == 0 {
		return s.edge, s.final
	}
	return s.spans[0].o, s.spans[0].f
}

// Final returns the final number of original number o: the start of the edit that o lies in.
func (s *Stream) Final(o uint32) uint32 {
	o0, f0 := s.oldest()
	if before(o, o0) {
		return f0 - (o0 - o)
	}
	for i := range s.spans {
		if p := &s.spans[i]; before(o, p.o+p.on) {
			if p.edited {
				return p.f
			}
			return p.f + (o - p.o)
		}
	}
	return s.final + (o - s.edge)
}

// finalEnd returns the final number behind the bytes that came for originals before o.
func (s *Stream) finalEnd(o uint32) uint32 {
	for i := range s.spans {
		p := &s.spans[i]
		if !after(o, p.o) {
			return p.f
		}
		if before(o, p.o+p.on) {
			if p.edited {
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
	hi := seq + uint32(len(payload))
	if after(hi, s.edge) {
		return payload, s.Final(seq) // not taken: the caller knows better
	}
	if o0, f0 := s.oldest(); before(seq, o0) {
		if !after(hi, o0) {
			// Acknowledged and forgotten, or from before we came.
			return payload, f0 - (o0 - seq)
		}
		s.remember(payload[:o0-seq])
	}
	_, f0 := s.oldest()
	lo, end := s.Final(seq), s.finalEnd(hi)
	if lo == end && lo != f0 {
		lo--
	}
	return s.buf[lo-f0 : end-f0], lo
}

// remember puts bytes that were not edited in front of the history.
func (s *Stream) remember(b []byte) {
	o, f := s.oldest()
	n := uint32(len(b))
	s.spans = slices.Insert(s.spans, 0, span{o: o - n, on: n, f: f - n, fn: n})
	s.buf = slices.Insert(s.buf, 0, b...)
}

// EmitFrom returns the bytes from final number lo, which must not be after the
// start that Emit gave, to the end of what Emit gave. Where lo is no longer
// remembered it returns false.
func (s *Stream) EmitFrom(lo uint32, out []byte, final uint32) ([]byte, bool) {
	_, f0 := s.oldest()
	if before(lo, f0) || after(final+uint32(len(out)), s.final) || before(final, f0) {
		return nil, false
	}
	return s.buf[lo-f0 : final-f0+uint32(len(out))], true
}

// Acked notes that the receiver has everything before final number a, and
// forgets what no retransmission can ask for any more. It returns false where a
// is beyond all that was seen: something passed by unseen.
func (s *Stream) Acked(a uint32) bool {
	if after(a, s.final) && !s.Behind() {
		return false
	}
	if after(a, s.acked) {
		s.acked = a
	}
	if s.acked == s.final && len(s.buf) > 1 {
		s.forget()
	}
	return true
}

// forget drops the history but for the last byte, which Emit may need.
func (s *Stream) forget() {
	last := s.buf[len(s.buf)-1]
	if cap(s.buf) > keepCapacity {
		s.buf, s.spans = nil, nil
	}
	s.buf = append(s.buf[:0], last)
	s.spans = append(s.spans[:0], span{o: s.edge - 1, on: 1, f: s.final - 1, fn: 1})
}

// Original translates an acknowledgement: the highest original number all of
// whose bytes before it went out before final number a.
func (s *Stream) Original(a uint32) uint32 {
	o0, f0 := s.oldest()
	if before(a, f0) {
		return o0 - (f0 - a)
	}
	if after(a, s.final) {
		if s.Behind() {
			return s.edge
		}
		return s.edge + (a - s.final)
	}
	o := o0
	for i := range s.spans {
		p := &s.spans[i]
		if before(a, p.f+p.fn) {
			if !p.edited {
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
	for i := range s.spans {
		// Inside an edit: only what comes after it is known to have arrived whole.
		if p := &s.spans[i]; p.edited && after(left, p.f) && before(left, p.f+p.fn) {
			l = p.o + p.on
		}
	}
	return l, r, before(l, r)
}
