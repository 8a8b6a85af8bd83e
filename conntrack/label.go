package conntrack

import "encoding/binary"

const (
	labelLen  = 16 // NF_CT_LABELS_MAX_SIZE, bytes
	flightLen = 6
	stateAt   = 2 * flightLen // of our bytes
	oursLen   = stateAt + 2
)

// Layout tells where in the conntrack label our 14 bytes lie: two Flight, then the State,
// all little endian. It is the index of the first of them, 0 to 2. The queue rules must
// agree with it, because they set and read bits of the State.
type Layout uint8

const (
	// DefaultLayout has our bytes at the end of the label.
	DefaultLayout Layout = labelLen - oursLen
	maxLayout            = DefaultLayout
)

// StateByte is the index in the label of the low byte of the State.
func (l Layout) StateByte() int { return int(min(l, maxLayout)) + stateAt }

// ours is the part of the label that is ours.
func (l Layout) ours(label *[labelLen]byte) []byte {
	at := int(min(l, maxLayout))
	return label[at : at+oursLen]
}

// parse reads a CTA_LABELS attribute; ok is false if it is not a whole label.
func (l Layout) parse(v []byte) (s State, flight [2]Flight, ok bool) {
	if len(v) != labelLen {
		return 0, flight, false
	}
	ours := l.ours((*[labelLen]byte)(v))
	for d := range flight {
		b := ours[flightLen*d:]
		flight[d].Port = binary.LittleEndian.Uint16(b)
		flight[d].Base = int16(binary.LittleEndian.Uint16(b[2:]))
		flight[d].End = binary.LittleEndian.Uint16(b[4:])
	}
	return State(binary.LittleEndian.Uint16(ours[stateAt:])), flight, true
}

// change returns the bits that u writes and their mask. Bits outside the mask are 0,
// because the kernel XORs (nf_connlabels_replace in net/netfilter/nf_conntrack_labels.c).
func (l Layout) change(u *Update) (label, mask [labelLen]byte) {
	bits, of := l.ours(&label), l.ours(&mask)
	binary.LittleEndian.PutUint16(bits[stateAt:], uint16(u.State&u.StateMask))
	binary.LittleEndian.PutUint16(of[stateAt:], uint16(u.StateMask))
	for d, set := range u.SetFlight {
		if !set {
			continue
		}
		b := bits[flightLen*d:]
		binary.LittleEndian.PutUint16(b, u.Flight[d].Port)
		binary.LittleEndian.PutUint16(b[2:], uint16(u.Flight[d].Base))
		binary.LittleEndian.PutUint16(b[4:], u.Flight[d].End)
		copy(of[flightLen*d:], "\xff\xff\xff\xff\xff\xff")
	}
	return label, mask
}
