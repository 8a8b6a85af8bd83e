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

// past is what a Stream remembers of what went out. A stream that is silent has none.
type past struct {
	spans []span // from the oldest remembered byte to the edge, without a gap
	buf   []byte // their final bytes

	flight  flight // of now, if counted
	counted bool
}

var pasts = sync.Pool{New: func() any { return &past{} }}

func newPast() *past { return pasts.Get().(*past) }

func (h *past) free() {
	h.clear()
	pasts.Put(h)
}

func (h *past) clear() {
	if h != nil {
		*h = past{spans: h.spans[:0], buf: h.buf[:0]}
	}
}

// clip gives back what is not needed for what is remembered now.
func (h *past) clip() {
	const slack = 16
	if cap(h.buf) > len(h.buf)+slack {
		h.buf = append(make([]byte, 0, len(h.buf)), h.buf...)
	}
	if cap(h.spans) > len(h.spans)+1 {
		h.spans = append(make([]span, 0, len(h.spans)), h.spans...)
	}
}

func (h *past) pieces() []span {
	if h == nil {
		return nil
	}
	return h.spans
}

func (h *past) size() int {
	if h == nil {
		return 0
	}
	return len(h.buf) + spanSize*len(h.spans)
}

// begin lets the last byte before original number edge and final number final be all that is remembered.
func (h *past) begin(last byte, edge, final uint32) {
	h.buf = append(h.buf[:0], last)
	h.spans = append(h.spans[:0], span{o: edge - 1, on: 1, f: final - 1, fn: 1})
}

// keepLast drops all but the last byte, which Emit may need.
func (h *past) keepLast(edge, final uint32) {
	if len(h.buf) <= 1 {
		return
	}
	last := h.buf[len(h.buf)-1]
	if cap(h.buf) > keepCapacity || cap(h.spans) > keepCapacity/spanSize {
		h.buf, h.spans = make([]byte, 0, 1), make([]span, 0, 1)
	}
	h.begin(last, edge, final)
}

// precede puts bytes that were not edited in front of what is remembered, which begins at original number o
// and final number f.
func (h *past) precede(b []byte, o, f uint32) {
	n := uint32(len(b))
	h.counted = false
	h.spans = slices.Insert(h.spans, 0, span{o: o - n, on: n, f: f - n, fn: n})
	h.buf = slices.Insert(h.buf, 0, b...)
}

// trim drops what is acknowledged, that is, before final number acked, but for the byte before it; final is
// behind the last byte.
func (h *past) trim(acked, final uint32) {
	n := 0
	for n < len(h.spans) && !after(h.spans[n].f+h.spans[n].fn, acked-1) {
		n++
	}
	f0 := h.spans[0].f
	h.counted = false
	h.spans = h.spans[:copy(h.spans, h.spans[n:])]
	f := final
	if len(h.spans) > 0 {
		if p := &h.spans[0]; !p.whole() && after(acked-1, p.f) {
			k := acked - 1 - p.f
			p.o, p.on, p.f, p.fn = p.o+k, p.on-k, p.f+k, p.fn-k
		}
		f = h.spans[0].f
	}
	h.buf = h.buf[:copy(h.buf, h.buf[f-f0:])]
}
