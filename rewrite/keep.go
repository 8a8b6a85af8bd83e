package rewrite

import "math"

// Kept is what of a connection must outlive the program, or is carried by the kernel for it.
type Kept struct {
	// Carried is what the kernel adds to the sequence numbers of each direction behind us, in bytes, and
	// takes from the acknowledgements of the other. It is the offset in front of the oldest edit in flight.
	Carried [2]int32
	Mark    [2]Mark
	MidLine [2]bool // where Mark is not zero: the first edit cannot be made again, as that of half a line

	// when picked up: packets may have gone by untouched since, although Only was asked for
	Bypassed bool

	// when picked up: nothing was edited ever, so nothing needs to be known of what the receiver has
	Untouched bool

	// when picked up: what went by untouched may still be on its way, so that what the receivers tell counts
	// for an edit only if they are asked, see Conn.Confirm
	Recent bool

	Reached [2]Reach // when picked up by the program that had it: how far the sender was seen to send

	// Lacks tells that the receiver answered a probe: it has all before Mark.Line and nothing behind it.
	// Nothing may go by until what comes next is there.
	Lacks [2]bool

	Seen bool // every packet must be seen, acknowledgements too
	Only bool // no packet may pass by unseen, even if no program is there: bytes were edited, or Lacks
}

// Reach is how far a sender was seen to send. The zero value: it was not seen.
type Reach struct {
	Seq   uint32 // original sequence number behind the last byte
	Line  bool   // that was the end of a line
	Known bool
	All   bool // whatever it sent that went on was seen
}

// Mark tells of the edits in flight in one direction. The zero value: there are none.
type Mark struct {
	Line  uint32 // original sequence number where the line of the first of them starts
	End   uint16 // how many original bytes behind it the line of the last ends; 0: no edit is in flight
	Grown int16  // how many bytes they add
}

// Keep moves what is settled to the kernel's part and returns what must be kept before the packet at
// hand leaves.
//
// While edits are in flight the kernel goes on with the offset in front of them, and this Conn
// translates all that passes: with more than one offset in flight the kernel, which knows one position,
// would put a repetition in the wrong place, and without us a repetition would not be edited. So nothing
// may pass when no program is there. Once the receiver has every edit one offset is right for all
// numbers.
func (c *Conn) Keep() (k Kept) {
	for d := range c.half {
		h := &c.half[d]
		f := h.stream.inFlight()
		k.Seen = k.Seen || h.asked || h.hasPlain() || h.crowded || h.joint.picked() && !h.unsure
		switch {
		case c.carrier == Program:
			k.Seen = k.Seen || f.edits > 0 || h.stream.Delta() != 0
			k.Only = k.Only || f.edits > 0 && h.stream.Delta() == 0
		case h.unsure:
		case h.stream.Behind():
			h.remark()
		case f.edits > 0:
			h.mark = Mark{Line: f.line, End: bounded(f.end - f.line), Grown: int16(f.grown)}
			h.carried, h.midLine = f.base, !f.atLine || h.mends()
		default:
			h.mark = Mark{}
			h.arrived()
			h.carried = h.stream.Delta()
		}
		if h.mark.End != 0 || h.lacks() {
			k.Seen, k.Only = true, true
		}
		k.Carried[d], k.Mark[d], k.MidLine[d] = h.carried, h.mark, h.midLine
		if k.Lacks[d] = h.lacks(); k.Lacks[d] && h.mark.End == 0 {
			k.Mark[d].Line = h.stream.Edge()
		}
	}
	return k
}

// Reached tells how far the sender of a direction was seen to send.
func (c *Conn) Reached(dir Dir) Reach {
	h := &c.half[dir]
	st := &h.stream
	r := Reach{Seq: st.Edge(), Line: st.lineEnds(), Known: st.Started()}
	r.All = r.Known && h.proven && !h.unsure && !st.Behind()
	if d := h.doubt; d != nil && d.reached.Known && (!r.Known || after(d.reached.Seq, r.Seq)) {
		r.Seq, r.Line, r.Known, r.All = d.reached.Seq, d.reached.Line, true, r.All || d.reached.All
	}
	return r
}

// Quiet tells whether the last call of Keep said all that is to be kept: no edit is in flight, the kernel
// carries the offsets, and no packet needs to be seen for the sake of the streams.
func (c *Conn) Quiet() bool {
	for d := range c.half {
		h := &c.half[d]
		if h.unsure || h.asked || h.hasPlain() || h.crowded || h.joint != Follows || h.mark.End != 0 ||
			h.stream.Delta() != h.carried || h.stream.Behind() || h.stream.inFlight().edits > 0 {
			return false
		}
	}
	return true
}

// remark moves the mark of an earlier program to what the sender will repeat at least.
func (h *half) remark() {
	seq, delta := h.stream.told()
	if before(seq, h.mark.Line) && delta == h.carried {
		return // what precedes it was not edited, and must not be
	}
	if seq != h.mark.Line {
		_, atLine := h.stream.lineBefore(seq + uint32(delta))
		h.midLine = !atLine || h.mends()
	}
	end, grown := h.mark.Line+uint32(h.mark.End), h.carried+int32(h.mark.Grown)
	h.mark = Mark{Line: seq, End: max(1, bounded(end-seq)), Grown: int16(grown - delta)}
	h.carried = delta
}

func bounded(n uint32) uint16 { return uint16(min(max(int32(n), 0), math.MaxUint16)) }
