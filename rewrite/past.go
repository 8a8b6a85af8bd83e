package rewrite

import (
	"slices"
	"sync"
)

// span maps on original bytes from o to the fn final bytes from f. Where the numbers are equal each
// byte has its own place, whether it was edited or not; else the span is mapped only as a whole.
type span struct {
	o, on  uint32
	f, fn  uint32
	edited bool
}

func (p *span) whole() bool { return p.on != p.fn }

// joins tells whether the span behind p is one with it: so that lines that are endless take no
// memory for each byte that is blanked or swallowed.
func (p *span) joins(next *span) bool {
	return p.edited == next.edited && (!p.whole() && !next.whole() || p.fn == 0 && next.fn == 0)
}

// Sizes, in bytes.
const (
	spanSize     = 20
	keepCapacity = 512 // what is kept of a buffer that is empty
)

// past is what a Stream remembers of what went out: the final bytes up to the edge. A stream that is silent
// has none.
type past struct {
	buf   []byte
	marks *marks // nil: as where it has no spans
}

// marks map on original bytes what is remembered of a stream.
type marks struct {
	spans []span // from the oldest remembered byte to the edge, without a gap; none: nothing was edited

	flight  flight // of now, if counted
	counted bool
}

var (
	pasts    = sync.Pool{New: func() any { return &past{} }}
	allMarks = sync.Pool{New: func() any { return &marks{} }}
)

func newPast() *past { return pasts.Get().(*past) }

func (h *past) free() {
	h.clear()
	pasts.Put(h)
}

func (h *past) clear() {
	if h != nil {
		h.buf = h.buf[:0]
		h.unmark()
	}
}

// marked tells whether spans say where the bytes belong, because some were edited.
func (h *past) marked() bool { return h != nil && h.marks != nil && len(h.marks.spans) > 0 }

// unmark takes what is remembered for bytes that were not edited.
func (h *past) unmark() {
	if m := h.marks; m != nil {
		m.spans, m.counted = m.spans[:0], false
	}
}

// clip gives back what is not needed for what is remembered now.
func (h *past) clip() {
	const slack = 16
	if cap(h.buf) > len(h.buf)+slack {
		h.buf = append(make([]byte, 0, len(h.buf)), h.buf...)
	}
	switch m := h.marks; {
	case m == nil:
	case len(m.spans) == 0:
		h.marks = nil
		allMarks.Put(m)
	case cap(m.spans) > len(m.spans)+1:
		m.spans = append(make([]span, 0, len(m.spans)), m.spans...)
	}
}

func (h *past) size() int {
	switch {
	case h == nil:
		return 0
	case h.marked():
		return len(h.buf) + spanSize*len(h.marks.spans)
	}
	return len(h.buf)
}

// put lets the bytes b stand for what p says. whole is the span of what is remembered if nothing of it was
// edited.
func (h *past) put(p span, b []byte, whole span) {
	if !h.marked() {
		if !p.edited && !p.whole() {
			h.buf = append(h.buf, b...)
			return
		}
		if h.marks == nil {
			h.marks = allMarks.Get().(*marks)
		}
		if whole.on > 0 {
			h.marks.spans = append(h.marks.spans, whole)
		}
	}
	m := h.marks
	m.counted = false
	if k := len(m.spans) - 1; k >= 0 && m.spans[k].joins(&p) {
		m.spans[k].on += p.on
		m.spans[k].fn += p.fn
	} else {
		m.spans = append(m.spans, p)
	}
	h.buf = append(h.buf, b...)
}

// begin lets one byte be all that is remembered.
func (h *past) begin(last byte) {
	h.buf = append(h.buf[:0], last)
	h.unmark()
}

// keepLast drops all but the last byte, which Emit may need.
func (h *past) keepLast() {
	if len(h.buf) <= 1 {
		return
	}
	last := h.buf[len(h.buf)-1]
	if cap(h.buf) > keepCapacity {
		h.buf = make([]byte, 0, 1)
	}
	if m := h.marks; m != nil && cap(m.spans) > keepCapacity/spanSize {
		h.marks = nil
	}
	h.begin(last)
}

// precede puts bytes that were not edited in front of what is remembered, which begins at original number o
// and final number f.
func (h *past) precede(b []byte, o, f uint32) {
	h.buf = slices.Insert(h.buf, 0, b...)
	if n := uint32(len(b)); h.marked() {
		h.marks.counted = false
		h.marks.spans = slices.Insert(h.marks.spans, 0, span{o: o - n, on: n, f: f - n, fn: n})
	}
}

// trim drops what is acknowledged, that is, before final number acked, but for the byte before it; first is
// the final number of the first byte that is remembered.
func (h *past) trim(acked, first uint32) {
	n := acked - 1 - first
	if h.marked() {
		n = h.marks.trim(acked, first, uint32(len(h.buf)))
	}
	h.buf = h.buf[:copy(h.buf, h.buf[n:])]
}

// trim is past.trim for the spans of size bytes. It returns how many bytes are to be dropped.
func (m *marks) trim(acked, first, size uint32) uint32 {
	n := 0
	for n < len(m.spans) && !after(m.spans[n].f+m.spans[n].fn, acked-1) {
		n++
	}
	m.counted = false
	if m.spans = m.spans[:copy(m.spans, m.spans[n:])]; len(m.spans) == 0 {
		return size
	}
	if p := &m.spans[0]; !p.whole() && after(acked-1, p.f) {
		k := acked - 1 - p.f
		p.o, p.on, p.f, p.fn = p.o+k, p.on-k, p.f+k, p.fn-k
	}
	return m.spans[0].f - first
}
