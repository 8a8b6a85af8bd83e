package alg

import (
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Edits in flight are noted in the label, and once more where nobody else writes: in the sequence adjustment.
// Its position lies so far ahead that the kernel takes the offset in front of it for every packet; the one
// behind it, which it never uses then, says where the edits end and how much they add. Kernels that translate
// for themselves have an offset there, which is never as large.

const (
	farAhead = 1 << 30 // bytes; far less are ever under way
	endShift = 16
	maxEnd   = lacksEnd - 1
	lacksEnd = 1<<15 - 1 // nothing is in flight: see rewrite.Kept.Lacks
)

// hide returns what the kernel has for the offset carried and the edits of m, which are in flight.
func hide(carried int32, m rewrite.Mark) conntrack.SeqAdj {
	return hideAt(m.Line, carried, min(m.End, maxEnd), m.Grown)
}

func hideAt(at uint32, carried int32, end uint16, grown int16) conntrack.SeqAdj {
	return conntrack.SeqAdj{
		Pos: at + farAhead, Before: carried, After: int32(end)<<endShift | int32(uint16(grown)),
	}
}

// hidden returns what hide hid; ok is false where nothing is in flight.
func hidden(a conntrack.SeqAdj) (m rewrite.Mark, ok bool) {
	if a.After < 1<<endShift || a.After == a.Before {
		return rewrite.Mark{}, false
	}
	return rewrite.Mark{Line: a.Pos - farAhead, End: uint16(a.After >> endShift), Grown: int16(a.After)}, true
}

// opened tells whether the edits of a mark named another door, and so were made after the login: what is
// refused keeps its length, or becomes longer than any verb.
func opened(m rewrite.Mark) bool {
	const most = 64 // bytes that addresses differ in, also of several lines
	return m.Grown != 0 && m.Grown > -most && m.Grown < most
}
