package rewrite

import "bytes"

// flight tells of the edits in flight. Numbers are original ones.
type flight struct {
	edits  uint32 // how many spans were edited
	line   uint32 // where the line of the first starts, or what of it the sender will certainly repeat
	atLine bool   // it is where a line starts
	base   int32  // offset there, in bytes
	end    uint32 // behind the last, and the rest of its line as far as that was sent
	grown  int32  // how many bytes they add
}

// inFlight tells of the edits that the receiver has not acknowledged.
func (s *Stream) inFlight() flight {
	if !s.past.marked() {
		return flight{}
	}
	m := s.past.marks
	if !m.counted {
		m.flight, m.counted = s.count(m.spans), true
	}
	return m.flight
}

func (s *Stream) count(spans []span) (f flight) {
	if s.acked == s.final {
		return f
	}
	for i := range spans {
		p := &spans[i]
		if !p.edited || !after(p.f+p.fn, s.acked) {
			continue
		}
		if f.edits++; f.edits == 1 {
			n, atLine := s.lineBefore(p.f)
			f.line, f.atLine, f.base = p.o-n, atLine, int32(p.f-p.o)
		}
		f.end = p.o + p.on
		f.grown = int32(p.f+p.fn-f.end) - f.base
	}
	if f.edits > 0 {
		f.end += s.restOfLine(f.end)
	}
	return f
}

// restOfLine returns how many bytes from original number o on, which was not edited, are of the same line.
func (s *Stream) restOfLine(o uint32) uint32 {
	_, f0 := s.oldest()
	at := s.finalEnd(o) - f0
	if at > 0 && s.past.buf[at-1] == '\n' {
		return 0
	}
	return uint32(lineLen(s.past.buf[at:]))
}

// lineLen returns the length of the first line of b with its end, or that of b if there is no line end.
func lineLen(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// endsLine tells whether the line that began before original number o, or with it, has ended.
func (s *Stream) endsLine(o uint32) bool {
	_, f0 := s.oldest()
	return bytes.IndexByte(s.past.buf[s.Final(o)-f0:], '\n') >= 0
}

// lineBefore returns how many bytes before final number f are of the same line and will be
// repeated until they are acknowledged to us, and whether the line starts there.
func (s *Stream) lineBefore(f uint32) (n uint32, atLine bool) {
	_, f0 := s.oldest()
	for after(f-n, f0) {
		if s.past.buf[f-n-1-f0] == '\n' {
			return n, true
		}
		if !after(f-n, s.acked) || !after(f-n, s.floor) {
			return n, false
		}
		n++
	}
	return n, s.foregone != partLine
}
