package rewrite

// before and after compare sequence numbers modulo 2^32 (RFC 9293 section 3.4).
func before(a, b uint32) bool { return int32(a-b) < 0 }
func after(a, b uint32) bool  { return int32(a-b) > 0 }

// Offset is the sequence adjustment that the kernel applies to packets of one
// direction after they leave us, and takes back from the other direction's
// acknowledgements after those leave us (nf_conntrack_seqadj.c). The zero value
// does nothing.
//
// The kernel knows one position, so it cannot say everything that a map with
// several edits says. Seq and Ack find the number to give a packet so that the
// kernel makes the wanted one of it.
type Offset struct {
	Pos           uint32 // original sequence number
	Before, After int32  // bytes added to numbers up to Pos, and to those after it
}

// At returns what the kernel adds to a packet that leaves us with seq.
func (k Offset) At(seq uint32) int32 {
	if after(seq, k.Pos) {
		return k.After
	}
	return k.Before
}

// Seq returns the sequence number from which the kernel makes final. Where there
// is none (final lies in the hole that a growing edit tears) ok is false and
// lower is the next lower final number that can be had.
func (k Offset) Seq(final uint32) (seq, lower uint32, ok bool) {
	if s := final - uint32(k.After); k.At(s) == k.After {
		return s, final, true
	}
	if s := final - uint32(k.Before); k.At(s) == k.Before {
		return s, final, true
	}
	return 0, k.Pos + uint32(k.Before), false
}

// Original is what the kernel makes of an acknowledgement (nf_ct_seq_adjust, nf_ct_sack_block_adjust).
func (k Offset) Original(ack uint32) uint32 {
	if after(ack-uint32(k.Before), k.Pos) {
		return ack - uint32(k.After)
	}
	return ack - uint32(k.Before)
}

// Ack returns the number from which the kernel makes the acknowledgement orig.
// Where there is none (orig lies among the bytes that a shrinking edit removed)
// exact is false and it returns the one that yields the next lower: to
// acknowledge less than has arrived is always safe.
func (k Offset) Ack(orig uint32) (ack uint32, exact bool) {
	if a := orig + uint32(k.After); k.Original(a) == orig {
		return a, true
	}
	if a := orig + uint32(k.Before); k.Original(a) == orig {
		return a, true
	}
	return k.Pos + uint32(k.Before), false
}

// Shift returns the adjustment after one edit, at original number edit in the segment
// that starts at number seg, has changed the sum of all edits from one to another
// number of bytes.
//
// The position is chosen for the case that we die before the edit is
// acknowledged and the sender's own bytes reach the receiver instead. After a
// growing edit they go out at their old place, the kernel acknowledges less than
// they are, and the sender's repetition of the rest fills the hole; after a
// shrinking one they go out so that they end where the edited ones did. Either
// way the line may be spoilt, but the stream stays in step.
func Shift(seg, edit uint32, from, to int32) Offset {
	if to < from {
		return Offset{Pos: seg - 1, Before: from, After: to}
	}
	return Offset{Pos: edit, Before: from, After: to}
}
