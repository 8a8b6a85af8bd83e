package sim

import (
	"slices"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Kernel is a connection tracker with one entry. It answers as conntrack.Conn does.
type Kernel struct {
	Entry   conntrack.Flow
	Expects []conntrack.Expectation
	Made    []conntrack.Expectation // all that there were ever
	Called  func(what string)       // called around each change; nil: nobody cares

	before  conntrack.Flow   // the entry before the last change
	wrote   []conntrack.Flow // what its program made of the entry since the traffic came here
	old     []conntrack.Flow // the entries that were replaced, as they were then
	fresh   bool             // the last was by another program, and ours has not written since
	adopted bool             // one was by ours
}

func (k *Kernel) called(what string) {
	if k.Called != nil {
		k.Called(what)
	}
}

// Flow looks the entry up by the tuple of either direction. As the kernel does it does not tell of a label
// that is empty, nor whether there is room for one.
func (k *Kernel) Flow(t conntrack.Tuple) (conntrack.Flow, error) {
	if t != k.Entry.Tuple[0] && t != k.Entry.Tuple[1] {
		return conntrack.Flow{}, conntrack.ErrNotFound
	}
	f := k.Entry
	f.HasState = f.HasState && (f.State != 0 || f.Flight != [2]conntrack.Flight{})
	return f, nil
}

// Update changes the entry. It ignores that for which there is no room, where the kernel
// ignores offsets and refuses a label.
func (k *Kernel) Update(_ conntrack.Tuple, u conntrack.Update) error {
	k.called("before Update")
	f := &k.Entry
	k.before = *f
	if f.HasState {
		f.State = f.State&^u.StateMask | u.State&u.StateMask
	}
	for d := range u.Seq {
		if u.SetFlight[d] && f.HasState {
			f.Flight[d] = u.Flight[d]
		}
		if u.SetSeq[d] && f.HasSeq {
			f.Seq[d] = u.Seq[d]
		}
	}
	k.wrote, k.fresh = append(k.wrote, *f), false
	k.called("after Update")
	return nil
}

// Expect makes an expectation, in place of one for the same peer and place.
func (k *Kernel) Expect(e *conntrack.Expectation) error {
	k.Expects = slices.DeleteFunc(k.Expects, func(old conntrack.Expectation) bool {
		return old.Src == e.Src && old.Dst == e.Dst || k.Entry.EvictsOldest() && old.Master == e.Master
	})
	k.Expects, k.Made = append(k.Expects, *e), append(k.Made, *e)
	k.called("after Expect")
	return nil
}

// Withdraw takes an expectation back.
func (k *Kernel) Withdraw(e conntrack.Expectation) error {
	k.Expects = slices.DeleteFunc(k.Expects, func(old conntrack.Expectation) bool { return old == e })
	return nil
}

// Adopt replaces an entry that is older than the rules.
func (k *Kernel) Adopt(_ conntrack.Tuple, u conntrack.Update) (conntrack.Flow, error) {
	k.called("before Adopt")
	k.old, k.adopted = append(k.old, k.Entry), true
	f := &k.Entry
	f.ID++
	f.Helper, f.HasSeq, f.HasState, f.State, f.Flight = conntrack.HelperCarrier, true, true, u.State, u.Flight
	k.called("after Adopt")
	return *f, nil
}

// Adopted tells whether the entry was replaced.
func (k *Kernel) Adopted() bool { return k.adopted }

// replace is what another program does: it puts a new entry in the place of the old one, and f into it.
func (k *Kernel) replace(f conntrack.Flow) {
	f.ID = k.Entry.ID + 1
	k.old = append(k.old, k.Entry)
	k.Entry, k.Expects, k.fresh = f, nil, true
}

// misleads tells whether a packet that comes now, and leaves unseen, leaves with numbers of the past.
func (k *Kernel) misleads(dir conntrack.Dir, s Segment) bool {
	if !k.fresh {
		return false
	}
	was := s
	k.adjust(dir, &was, k.old[len(k.old)-1].ID)
	k.adjust(dir, &s, k.Entry.ID)
	return was.Seq != s.Seq || was.Ack != s.Ack
}

// of returns the entry that a packet has for its whole way: the one that there was when it came.
func (k *Kernel) of(id uint32) *conntrack.Flow {
	if i := slices.IndexFunc(k.old, func(f conntrack.Flow) bool { return f.ID == id }); i >= 0 {
		return &k.old[i]
	}
	return &k.Entry
}

// fate is what the queue rules do with a packet; see conntrack/ruleset.
type fate uint8

const (
	passes fate = iota // unseen
	queued             // if a program has the queue; else it passes
	waits              // is queued; without a program it is dropped
)

func (k *Kernel) fate(s *Segment) fate {
	const always = rewrite.FIN | rewrite.RST | rewrite.SYN
	state := k.Entry.State
	switch {
	case state&conntrack.StateNoBypass != 0:
		return waits
	case s.Flags&always != 0:
		return queued
	case state&conntrack.StateOpaque != 0:
		return passes
	case len(s.Data) > 0, state&conntrack.StateBusy != 0:
		return queued
	}
	return passes
}

// adjust is the kernel's sequence adjustment of a packet that leaves (nf_ct_seq_adjust), and came with the
// entry of that ID.
func (k *Kernel) adjust(dir conntrack.Dir, s *Segment, id uint32) {
	f := k.of(id)
	this, other := f.Seq[dir], f.Seq[dir.Opposite()]
	if after(s.Seq, this.Pos) {
		s.Seq += uint32(this.After)
	} else {
		s.Seq += uint32(this.Before)
	}
	if after(s.Ack-uint32(other.Before), other.Pos) {
		s.Ack -= uint32(other.After)
	} else {
		s.Ack -= uint32(other.Before)
	}
}
