package rewrite

import (
	"bytes"
	"encoding/binary"
)

// half is one direction of a connection: its stream, what the kernel adds to its numbers, and,
// where it was picked up in the middle, what is not known of it yet.
//
// An earlier program had it then, or it was forgotten, or it went by unseen. What the receiver has is
// not known, and an edit in what it has already would put both ends out of step. Its next
// acknowledgement tells. If data comes first we ask: they go on as a probe, the receiver answers, and the
// sender repeats them.
//
// Where edits were in flight the mark tells where the line of the first starts and where the last
// ends. Until the receiver has the last, the sender hears of no acknowledgement beyond what it repeated to
// us and we edited as it was edited before.
//
// What nobody can know: a line that passed by untouched while no program was there, and is
// repeated to us after an acknowledgement from before it, is edited. If that makes it longer then
// its end arrives as a line of its own. While such a line may be on its way yet the receiver is asked:
// what it answers it says behind that line, unless the network changed their order (see Conn.Confirm).
type half struct {
	stream  Stream
	carried int32 // bytes that the kernel adds to sequence numbers, after us
	mark    Mark  // of an earlier program; since the pick-up see Conn.Keep

	joint  Joint
	unsure bool // what the receiver has is not known
	joined bool // since the pick-up new data followed on what the receiver has
	asked  bool // it was sent a probe and did not answer yet
	proven bool // since the pick-up the receiver acknowledged an edit of ours

	changed bool // there was one
	ended   bool // its FIN came in order
	late    bool // the next packet that waits has waited too long
	midLine bool // see Kept.MidLine
	crowded bool // so much is unacknowledged that every acknowledgement counts

	undecided bool // see Conn.Undecided
	confirm   bool // see Conn.Confirm

	doubt *doubt // nil: there is none
}

// Joint says how new bytes join those that were delivered before them.
type Joint uint8

const (
	Follows Joint = iota // they are the next ones
	Resumed              // the stream was picked up at them, in the middle of a line or not
	Begun                // it was picked up at them, and a line starts with them
	Torn                 // bytes before them went by unseen, up to somewhere in a line
)

// picked tells whether the stream was picked up at them.
func (j Joint) picked() bool { return j == Resumed || j == Begun }

// begin starts the direction at its first byte.
func (h *half) begin(seq uint32) {
	h.stream.Start(seq, 0)
	h.unsure, h.proven, h.joint = false, true, Follows
	h.confirmed()
}

// acked takes an acknowledgement of this direction, final number ack, with its SACK blocks.
func (h *half) acked(ack uint32, sack []byte) {
	st, known, lacks := &h.stream, h.proven, h.asked && h.unsure
	if h.doubt != nil {
		h.doubt.unheard, h.doubt.hearsay = false, h.doubt.hearsay && !h.asked
	}
	h.asked = false
	switch {
	case h.unsure, st.Behind() && h.allArrived(ack):
		h.place(ack, sack)
	case st.Acked(ack):
		h.crowded = h.crowded && st.Unacked() > 0
		if !st.Behind() {
			h.answered() // what is missing did not arrive
		}
		h.proven = h.proven || h.changed && st.inFlight().edits == 0
		if h.joined && st.Unacked() == 0 {
			h.confirmed() // what came behind what went by has arrived
		}
	case h.ended && ack == st.FinalEdge()+1: // of the FIN
	case !h.proven:
		// The receiver turns out to have had more when we picked the direction up. It has it instead of what
		// we made of it.
		h.start(ack, h.picked())
	default:
		d := h.doubts()
		d.claimed, d.hasClaim = ack-uint32(st.Delta()), true
	}
	if !known && !h.unsure {
		h.notePlain(sack)
	}
	if d := h.doubt; d != nil {
		d.lacks = (d.lacks || lacks && !h.unsure && !d.hasPlain) && st.final == st.acked
	}
}

// claims tells whether the receiver claims to have all before original number seq. If it is true then
// something passed by while the queue was full or on another way, and what the sender sends next
// starts behind it.
func (h *half) claims(seq uint32) bool { return h.hasClaim() && !before(h.doubt.claimed, seq) }

// place picks the direction up where the receiver says with final number ack, and SACK blocks, what it has.
func (h *half) place(ack uint32, sack []byte) {
	m := h.mark
	switch h.wentBy(ack, sack) {
	case perhaps:
		return
	case yes:
		h.start(ack, h.carried)
		return
	}
	line := m.Line + uint32(h.carried)                    // final number
	last := line + uint32(m.End) + uint32(int32(m.Grown)) // final number
	if m.End == 0 || !before(ack, last) {
		h.start(ack, h.carried+int32(m.Grown))
		return
	}
	h.stream.Resume(m.Line+uint32(min(int32(ack-line), 0)), h.carried, last)
	d := h.doubts()
	d.fence = m.Line + uint32(m.End)
	h.stream.Acked(ack)
	h.pickedUp(h.carried + int32(m.Grown))
	if h.midLine {
		// How the line was edited is not known any more. Something of the same length takes its place, so
		// that both ends stay in step and what was one line does not become two.
		h.stream.foregone = partLine
		d.plain, d.hasPlain = m.Line+uint32(m.End), true
		d.mend, d.mendFrom, d.blanks = m.Grown, m.Line, true
		return
	}
	// What precedes the first edit went by untouched.
	d.plain, d.hasPlain = m.Line, before(ack, line)
}

// start starts a direction of which all that was edited has arrived, and the offset is delta.
func (h *half) start(ack uint32, delta int32) {
	h.stream.Start(ack-uint32(delta), delta)
	h.pickedUp(delta)
}

// guess picks the direction up at original number seq, where the receiver does not tell, or it does not
// matter.
func (h *half) guess(seq uint32) {
	h.stream.Start(seq, h.carried)
	h.pickedUp(h.carried)
}

// pickedUp notes that the direction goes on from here, where all that was edited before has the offset delta.
func (h *half) pickedUp(delta int32) {
	h.unsure, h.joined, h.joint = false, false, Resumed
	h.proven, h.changed, h.crowded = false, false, false
	d := h.doubts()
	d.picked = delta
	if r := &d.reached; r.Known && r.Line && r.Seq == h.stream.Edge() {
		h.joint = Begun
	}
	d.probes, d.mend, d.blanks, d.lacks = 0, 0, false, false
	d.hasPlain, d.hasClaim, d.hasBlock = false, false, false
}

// allArrived tells whether final number ack acknowledges the last of the edits that another program left
// in flight.
func (h *half) allArrived(ack uint32) bool { return !before(ack, h.stream.sent) }

// allowed returns how many of the bytes of new data may be taken now. What another program edited comes
// first, to the end of its last line. What it sent behind that may have arrived as it was then, so it is
// taken once the receiver has all before it, and tells what else it has.
func (h *half) allowed(data []byte) int {
	st := &h.stream
	if !h.behindFence() {
		if after(st.sent, st.acked) && st.final != st.acked {
			return 0
		}
		return len(data)
	}
	d := h.doubt
	from := min(d.fence-1-st.edge, uint32(len(data)))
	if n := bytes.IndexByte(data[from:], '\n'); n >= 0 {
		d.fence = st.edge + from + uint32(n) + 1
		return int(d.fence - st.edge)
	}
	if end := st.edge + uint32(len(data)); !before(end, d.fence) {
		d.fence = end + 1 // somewhere behind it the line ends
	}
	return len(data)
}

// alone returns how many of the bytes of new data may be taken now beside an edit of a line of which the
// sender will not repeat the start. How it was edited is forgotten with the program: see place. With one more
// edit in flight it would not be known how much of both the receiver has, so that line arrives first.
func (h *half) alone(data []byte) int {
	st := &h.stream
	if !h.undecided && !st.past.marked() {
		return len(data) // nothing was edited
	}
	switch f := st.inFlight(); {
	case f.edits > 0 && !f.atLine && st.endsLine(f.line):
		return 0
	case !h.undecided && (f.edits == 0 || f.atLine):
		return len(data)
	}
	return lineLen(data)
}

// behindFence tells whether what comes next is what another program edited.
func (h *half) behindFence() bool {
	return after(h.stream.sent, h.stream.acked) && h.doubt != nil && before(h.stream.edge, h.doubt.fence)
}

// skipTo goes on at original number seq, behind bytes that went by unseen. Where a line ends
// there is not known.
func (h *half) skipTo(seq uint32) {
	if st := &h.stream; st.Behind() {
		h.guess(seq)
	} else {
		st.Start(seq, st.Delta())
	}
	if h.joint = Torn; h.doubt != nil {
		h.doubt.hasClaim = false
	}
}

// notePlain notes what the receiver has behind a gap: it went by untouched while no program was there,
// so that nothing before its end can change its length any more.
func (h *half) notePlain(sack []byte) {
	st := &h.stream
	for ; len(sack) >= sackUnit; sack = sack[sackUnit:] {
		left, end := binary.BigEndian.Uint32(sack), binary.BigEndian.Uint32(sack[4:])
		h.noteBlock(left)
		at := end - uint32(h.picked())
		if st.Behind() || !after(end, st.FinalEdge()) || !after(at, st.Edge()) {
			continue // it was edited, or is known
		}
		if d := h.doubts(); !d.hasPlain || after(at, d.plain) {
			d.plain, d.hasPlain = at, true
		}
	}
}

// takePlain takes what of new data cannot be edited, see notePlain, and returns how much.
func (h *half) takePlain(data []byte) int {
	if !h.hasPlain() {
		return 0
	}
	d := h.doubt
	n := int(int32(d.plain - h.stream.Edge()))
	d.hasPlain = n > len(data)
	if n = min(n, len(data)); n <= 0 {
		return 0
	}
	h.stream.Append(data[:n], d.mending(h.stream.Edge(), h.stream.Delta(), data[:n]))
	return n
}

// final returns the final number of original number seq, and what goes out there for the payload.
func (h *half) final(seq uint32, payload []byte, syn bool) (out []byte, final uint32) {
	if syn || !h.stream.knows(seq) {
		return payload, seq + uint32(h.carried)
	}
	return h.stream.Emit(seq, payload)
}

// leaves tells that what the packet sends may leave as it is, without a closer look: it is what has been
// taken, and nothing of that was edited.
func (h *half) leaves(p *Packet) bool {
	st, data := &h.stream, p.Payload()
	if !st.started || !st.plain(h.carried) {
		return !st.started
	}
	if st.past == nil {
		return len(data) == 0
	}
	o, _ := st.oldest()
	at, buf := p.Seq()-o, st.past.buf
	end := at + uint32(len(data))
	return at <= end && end <= uint32(len(buf)) && string(data) == string(buf[at:end])
}

// acknowledged tells the same of what it acknowledges.
func (h *half) acknowledged(p *Packet) bool {
	switch {
	case p.Flags()&ACK == 0:
		return true
	case h.doubted():
		return false
	}
	return !h.stream.started || h.stream.plain(h.carried) && p.SACK() == nil
}

// acknowledgement returns the number and the SACK option, nil if there is none to
// translate, with which p's acknowledgement of this direction must leave us.
func (h *half) acknowledgement(p *Packet) (ack uint32, sack []byte) {
	ack = p.Ack()
	switch {
	case p.Flags()&ACK == 0:
		return ack, nil
	case h.doubted():
		return h.surely(ack), p.SACK()
	case !h.stream.Started():
		return ack, nil
	}
	return h.stream.Original(ack) + uint32(h.carried), p.SACK()
}

// block translates the SACK block at b for the kernel to finish. The receiver reports a probe as
// a duplicate; the sender knows nothing of it.
func (h *half) block(b []byte) (l, r uint32, ok bool) {
	l, r = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if h.doubted() || h.stream.Started() && before(r, h.stream.acked-probeBack/2) {
		return 0, 0, false
	}
	l, r, ok = h.stream.Block(l, r)
	return l + uint32(h.carried), r + uint32(h.carried), ok
}

func (h *half) sackChanges(blocks []byte) bool {
	for b := blocks; len(b) >= sackUnit; b = b[sackUnit:] {
		if l, r, ok := h.block(b); !ok || l != binary.BigEndian.Uint32(b) ||
			r != binary.BigEndian.Uint32(b[4:]) {
			return true
		}
	}
	return false
}

// translateSACK rewrites a SACK option in place. A block of which nothing
// certain can be said is left out, and the room filled with no-operations.
func (h *half) translateSACK(opt []byte) {
	kept := 2
	for b := opt[2:]; len(b) >= sackUnit; b = b[sackUnit:] {
		if l, r, ok := h.block(b); ok {
			binary.BigEndian.PutUint32(opt[kept:], l)
			binary.BigEndian.PutUint32(opt[kept+4:], r)
			kept += sackUnit
		}
	}
	if opt[1] = byte(kept); kept == 2 {
		kept = 0
	}
	for i := kept; i < len(opt); i++ {
		opt[i] = optNop
	}
}
