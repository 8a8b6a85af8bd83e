package conntrack

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Update is a change to a conntrack entry. Zero fields change nothing.
type Update struct {
	StateMask State // which bits of State to write
	State     State

	// Seq holds the adjustments to write where SetSeq is true.
	Seq    [2]SeqAdj
	SetSeq [2]bool

	// Flight holds what to write of the edits in flight where SetFlight is true.
	Flight    [2]Flight
	SetFlight [2]bool

	// Liberal has window tracking accept every number (IP_CT_TCP_FLAG_BE_LIBERAL, both
	// directions): it looks at numbers that are translated only later. SetSeq implies it.
	Liberal bool

	// Timeout is how long the entry lasts from now if no packet comes, rounded to seconds,
	// at least one. The next packet gives it the timeout of its TCP state again.
	Timeout time.Duration
}

// Empty tells whether nothing is to be changed.
func (u *Update) Empty() bool {
	return u.StateMask == 0 && u.SetSeq == [2]bool{} && u.SetFlight == [2]bool{} && !u.Liberal &&
		u.Timeout == 0
}

// SetLabel has all that is ours in the label written, so that whatever another program has
// made of it is mended.
func (u *Update) SetLabel(s State, f [2]Flight) {
	u.StateMask, u.State = ^State(0), s
	u.SetFlight, u.Flight = [2]bool{true, true}, f
}

// Update changes the entry whose original tuple is orig, with one
// message. The error is ErrNotFound if the connection is gone and ErrUnsupported if
// its entry has no room for labels, which is so for a connection that is older than
// the queue rules. The kernel silently ignores a sequence adjustment for an entry
// without that extension: see Flow.HasSeq.
func (c *Conn) Update(orig Tuple, u Update) error {
	if u.Empty() {
		return nil
	}
	family, err := familyOf(orig.Src.Addr(), orig.Dst.Addr())
	if err != nil {
		return fmt.Errorf("update conntrack entry %v: %w", orig, err)
	}
	e := c.start(subsysConntrack|msgNew, 0, family)
	e.key(orig)
	e.update(&u, c.layout)
	if err := c.do(); err != nil {
		return fmt.Errorf("update conntrack entry %v: %w", orig, UpdateError(err))
	}
	return nil
}

// UpdateError says what the kernel's errno for an update means.
func UpdateError(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return ErrNotFound
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("it has no room for a label because it is older than the queue rules: %w",
			ErrUnsupported)
	}
	return err
}

func (e *encoder) update(u *Update, l Layout) {
	if u.StateMask != 0 || u.SetFlight != [2]bool{} {
		label, mask := l.change(u)
		e.bytes(ctaLabels, label[:])
		e.bytes(ctaLabelsMask, mask[:])
	}
	if u.Liberal || u.SetSeq != [2]bool{} {
		e.liberal()
	}
	if u.Timeout > 0 {
		e.u32(ctaTimeout, seconds(u.Timeout))
	}
	if u.SetSeq[Original] {
		e.seqAdj(ctaSeqAdjOrig, u.Seq[Original])
	}
	if u.SetSeq[Reply] {
		e.seqAdj(ctaSeqAdjReply, u.Seq[Reply])
	}
}

// liberal sets IP_CT_TCP_FLAG_BE_LIBERAL in both directions and leaves the state
// and the window scale as they are. The value is struct nf_ct_tcp_flags: flags,
// mask.
func (e *encoder) liberal() {
	info := e.nest(ctaProtoInfo)
	tcp := e.nest(ctaProtoInfoTCP)
	e.bytes(ctaTCPFlagsOrig, []byte{tcpBeLiberal, tcpBeLiberal})
	e.bytes(ctaTCPFlagsReply, []byte{tcpBeLiberal, tcpBeLiberal})
	e.end(tcp)
	e.end(info)
}

func (e *encoder) seqAdj(typ uint16, s SeqAdj) {
	at := e.nest(typ)
	e.u32(ctaSeqAdjPos, s.Pos)
	e.u32(ctaSeqAdjBefore, uint32(s.Before))
	e.u32(ctaSeqAdjAfter, uint32(s.After))
	e.end(at)
}
