package alg

import (
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Edits in flight are noted in the label, and once more where nobody else writes: in the sequence adjustment.
// Its position lies so far ahead that the kernel takes the offset in front of it for every packet; the one
// behind it, which it never uses then, says where the edits end and how much they add, or in which kernel it
// was that the receiver answered what it lacks (rewrite.Kept). Kernels that translate for themselves have an
// offset there, which is never as large.

const (
	farAhead = 1 << 30 // bytes; far less are ever under way
	maxEnd   = 1<<15 - 1
	lackBit  = 1 << 31
)

// hide returns what the kernel has for the offset carried and the edits of m.
func hide(carried int32, m rewrite.Mark) conntrack.SeqAdj {
	edits := uint32(min(m.End, maxEnd))<<16 | uint32(uint16(m.Grown))
	return conntrack.SeqAdj{Pos: m.Line + farAhead, Before: carried, After: int32(edits)}
}

// hideLack returns it where the receiver lacks what comes from original number line on.
func hideLack(carried int32, line uint32, here uint16) conntrack.SeqAdj {
	lack := uint32(lackBit | uint32(here))
	return conntrack.SeqAdj{Pos: line + farAhead, Before: carried, After: int32(lack)}
}

// hidden returns what was hidden, lacked being 0 or the kernel of hideLack; ok is false where nothing was.
func hidden(a conntrack.SeqAdj) (m rewrite.Mark, lacked uint16, ok bool) {
	m.Line = a.Pos - farAhead
	switch h := uint32(a.After); {
	case h>>16 == 0, h>>16 == 1<<16-1, a.After == a.Before:
		return rewrite.Mark{}, 0, false
	case h&lackBit != 0:
		return m, uint16(h), true
	default:
		m.End, m.Grown = uint16(h>>16), int16(h)
		return m, 0, true
	}
}

// kernelOf tells kernels apart by the number that each has for an entry. It is not 0.
func kernelOf(entry uint32) uint16 { return max(1, uint16(entry)^uint16(entry>>16)) }

// opened tells whether the edits of a mark named another door, and so were made after the login: what is
// refused keeps its length, or becomes longer than any verb.
func opened(m rewrite.Mark) bool {
	const most = 64 // bytes that addresses differ in, also of several lines
	return m.Grown != 0 && m.Grown > -most && m.Grown < most
}
