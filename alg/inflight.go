package alg

import (
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Edits in flight are noted in the label, and once more where nobody else writes: in the sequence adjustment.
// Its position lies so far ahead that the kernel takes the offset in front of it for every packet; the one
// behind it, which it never uses then, says where the edits end, how much they add, and whether the receiver
// lacks what comes next (rewrite.Kept). Kernels that translate for themselves have an offset there, which is
// never as large.

const (
	farAhead = 1 << 30 // bytes; far less are ever under way
	maxEnd   = 1<<15 - 2
)

// hide returns what the kernel has for the offset carried and the edits of m.
func hide(carried int32, m rewrite.Mark, lacks bool) conntrack.SeqAdj {
	hidden := uint32(min(m.End, maxEnd))<<16 | uint32(uint16(m.Grown))
	if lacks {
		hidden |= 1 << 31
	}
	return conntrack.SeqAdj{Pos: m.Line + farAhead, Before: carried, After: int32(hidden)}
}

// hidden returns what hide hid; ok is false where it hid nothing.
func hidden(a conntrack.SeqAdj) (m rewrite.Mark, lacks, ok bool) {
	h := uint32(a.After)
	if h>>16 == 0 || h>>16 == 1<<16-1 || a.After == a.Before {
		return rewrite.Mark{}, false, false
	}
	m = rewrite.Mark{Line: a.Pos - farAhead, End: uint16(h >> 16 &^ (1 << 15)), Grown: int16(h)}
	return m, h>>31 != 0, true
}

// opened tells whether the edits of a mark named another door, and so were made after the login: what is
// refused keeps its length, or becomes longer than any verb.
func opened(m rewrite.Mark) bool {
	const most = 64 // bytes that addresses differ in, also of several lines
	return m.Grown != 0 && m.Grown > -most && m.Grown < most
}
