package rewrite

import "encoding/binary"

// maxProbes is how often a packet may go on as a probe before we believe that no answer comes. What follows
// it does not count: of the packets of one window each may be a probe.
const maxProbes = 8

// doubt is what is kept of a direction of which something is not known, or did not come yet.
type doubt struct {
	held []Waiting

	picked    int32  // the offset of what was edited before it was picked up; counts until proven
	fence     uint32 // original number where what another program edited ends: see allowed
	claimed   uint32 // original number up to which the receiver acknowledged what we never saw
	plain     uint32 // original number: what precedes it may have arrived untouched
	askedFrom uint32 // original number of the first packet for which probes were sent
	askedTo   uint32 // and behind it
	reached   Reach  // how far the sender was seen to send
	mend      int16  // by how many bytes what lies from mendFrom to plain is to become longer
	mendFrom  uint32 // original number
	block     uint32 // final number: what the receiver has of that from here on; counts if hasBlock
	probes    uint8  // sent in a row, and not answered
	stray     uint8  // how often in a row the sender repeated just askedFrom to askedTo: see strays

	endTold  bool // where stray counts: the sender told that it has sent nothing behind askedTo
	unheard  bool // the receiver acknowledged nothing since the sender strayed last: see strays
	hasClaim bool // claimed counts
	hasPlain bool // plain counts
	hasBlock bool // block counts
	blanks   bool // from mendFrom on digits are made unreadable, to the end of the line
	hearsay  bool // the receiver was not asked yet for what it has: see Conn.Confirm
	bypassed bool // the line of the mark may have gone by untouched
	mends    bool // of what is in flight something took the place of unknown edits: see mending
	lacks    bool // the receiver was sent a probe and answered that it has nothing of what comes next
}

// doubts returns the doubt of the direction, to be changed.
func (h *half) doubts() *doubt {
	if h.doubt == nil {
		h.doubt = &doubt{}
	}
	return h.doubt
}

// rest gives back what is needed only while packets are on the way. What was asked then is known.
func (h *half) rest() {
	h.stream.rest()
	known := h.joined && h.picked() == 0 || h.proven
	quiet := !h.unsure && !h.asked && !after(h.stream.sent, h.stream.acked)
	if known && quiet && h.doubt.settled() {
		h.doubt = nil
	}
}

// settled tells whether all that it was about is known.
func (d *doubt) settled() bool {
	open := d == nil || d.hearsay || d.mends || d.hasClaim || d.hasPlain || d.lacks
	return !open && d.probes == 0 && d.held == nil
}

func (h *half) hasClaim() bool { return h.doubt != nil && h.doubt.hasClaim }

func (h *half) picked() int32 {
	if h.doubt == nil {
		return 0
	}
	return h.doubt.picked
}

func (h *half) hearsay() bool { return h.doubt != nil && h.doubt.hearsay }

// confirmed takes note that what the receiver tells counts.
func (h *half) confirmed() {
	if h.doubt != nil {
		h.doubt.hearsay = false
	}
}

func (h *half) mends() bool { return h.doubt != nil && h.doubt.mends }

// arrived takes note that no edit is in flight.
func (h *half) arrived() {
	if h.doubt != nil {
		h.doubt.mends = false
	}
}

func (h *half) hasPlain() bool { return h.doubt != nil && h.doubt.hasPlain }

func (h *half) lacks() bool { return h.doubt != nil && h.doubt.lacks }

// answered takes note that what was asked with probes is known.
func (h *half) answered() {
	if h.doubt != nil {
		h.doubt.probes = 0
	}
}

// noteBlock notes where of what is to be mended that begins which the receiver has already.
func (h *half) noteBlock(left uint32) {
	d := h.doubt
	switch {
	case d == nil || d.mend == 0 || !d.hasPlain:
	case !after(left, h.stream.FinalEdge()) || !before(left, d.plain+uint32(d.picked)):
	case !d.hasBlock || before(left, d.block):
		d.block, d.hasBlock = left, true
	}
}

func (h *half) ask(p *Packet) bool {
	d := h.doubts()
	if d.probes >= maxProbes {
		return false
	}
	seq, first := p.Seq(), d.probes == 0
	if first || h.doubted() || !after(seq, d.askedFrom) {
		if d.probes++; h.doubted() && seq != d.askedFrom {
			d.probes = 1 // see sureProbes
		}
		d.askedFrom, d.askedTo = seq, seq+uint32(len(p.Payload()))
	}
	h.asked = true
	return true
}

// passedBy tells whether what is missing is taken to have gone by unseen. While an edit is on its way it is
// not: what went by beside it did so at another offset, and what is lost of it must be repeated as it was.
func (h *half) passedBy(r *Room) bool { return r.Unseen && h.stream.plain(h.stream.Delta()) }

// crosses tells whether a segment is read although what precedes it did not
// come, or in a what becomes of it. doubtful tells that it may never come.
func (h *half) crosses(p *Packet, doubtful bool, a *Arrival) bool {
	switch {
	case h.claims(p.Seq()), a.Late && h.doubts().probes >= maxProbes:
		h.skipTo(p.Seq())
		a.Missed = true
		return true
	case doubtful && h.ask(p):
		a.Fate = Ask
	default:
		a.Fate = Wait
	}
	return false
}

// Where the rules were gone for a while, the line of a mark may have been lost as it was edited, and have
// gone by untouched when the sender repeated it. Then the offset behind it is that in front of it. Nobody
// tells: what the receiver acknowledges and where the sender goes on must fit.

// answer is one to a question that takes more than one acknowledgement.
type answer uint8

const (
	no answer = iota
	perhaps
	yes
)

// sureProbes is how many packets in a row must begin at the same byte for it to be the oldest that the sender
// has no acknowledgement of: a new one, one that it repeats to learn of losses at the end (RFC 8985 section
// 7), and one after its timeout.
const sureProbes = 3

// wentBy tells whether the line of the mark went by untouched, for a receiver that acknowledges final number
// ack and has what sack tells behind it. In doubt the sender hears of no acknowledgement behind the start of
// that line. If it goes on behind it then it has heard of one when nobody was there, in numbers that nobody
// translated; so from there on these are the right ones, whatever became of the line.
func (h *half) wentBy(ack uint32, sack []byte) answer {
	if !h.doubted() {
		return no
	}
	d := h.doubt
	at := ack - uint32(h.carried) // the original number if it did
	end := h.mark.Line + uint32(h.mark.End)
	more := int32(at - end)
	switch {
	case h.blockWentBy(ack, sack), h.unlike(ack):
		return yes
	case !after(at, h.mark.Line):
		return no // nothing of it arrived
	case d.probes == 0 || !after(d.askedFrom, h.mark.Line): // the sender does not tell where it is
	case d.probes < sureProbes:
		return perhaps
	case d.askedFrom == at-uint32(int32(h.mark.Grown)):
		return no // they agree on that the line arrived as it was edited
	case more > 0 && more == int32(h.mark.Grown) && before(d.askedFrom, end):
		return no // it arrived as it was edited, and the sender has heard of a part
	default:
		return yes
	}
	switch {
	case more == 0, more > 0 && more < int32(h.mark.Grown):
		return yes // else an edit arrived in part
	case more >= 0 && d.probes > 0 && at == d.askedTo:
		return yes // all that the sender repeats
	case d.probes == 0:
		return perhaps
	}
	return no
}

// unlike tells that what the receiver has, up to final number end, it cannot have if it has the line as that
// was edited: the sender sent less.
func (h *half) unlike(end uint32) bool {
	const fin = 1
	r := &h.doubt.reached
	return r.All && after(end-uint32(h.carried)-uint32(int32(h.mark.Grown)), r.Seq+fin)
}

// blockWentBy tells whether of what the receiver has behind a gap something is like a line that went by
// untouched. One that ends where the line does, if an edit made that longer, would end within the edit.
func (h *half) blockWentBy(ack uint32, sack []byte) bool {
	end := h.mark.Line + uint32(h.mark.End) + uint32(h.carried)
	for ; len(sack) >= sackUnit; sack = sack[sackUnit:] {
		right := binary.BigEndian.Uint32(sack[4:])
		if after(right, ack) && (right == end && h.mark.Grown > 0 || h.unlike(right)) {
			return true // else it reports a duplicate (RFC 2883)
		}
	}
	return false
}

// doubted tells whether it is not known if the line of the mark went by untouched.
func (h *half) doubted() bool { return h.unsure && h.doubt != nil && h.doubt.bypassed }

// surely returns what of the acknowledgement of final number ack is right in either case.
func (h *half) surely(ack uint32) uint32 {
	if line := h.mark.Line + uint32(h.carried); after(ack, line) {
		return line
	}
	return ack
}

// How often the sender repeats the same before we believe that it is all it has: its acknowledgements may be
// lost on their way, but for the second time after it told that this is where it ends. And how often it must
// have denied what the receiver acknowledges.
const (
	maxStrays  = 4
	sureStrays = 2
	maxDenials = 8
)

// reaches notes that the sender sent data from original number seq on, though perhaps nothing of it is taken.
func (d *doubt) reaches(seq uint32, data []byte) {
	if to := seq + uint32(len(data)); !d.reached.Known || after(to, d.reached.Seq) {
		d.reached = Reach{Seq: to, Line: data[len(data)-1] == '\n', Known: true, All: d.reached.All}
	}
}

// strays looks at a packet that the receiver has, of a sender that should know. What is kept may be older
// than what was done: a gateway replicates a moment later what it did, and no more once it is dead. If in
// our numbers the receiver has more than the sender ever sent, then the sender believes no acknowledgement
// and repeats the same for ever. What it repeats is all that there is, and the offset follows from it. Where
// that is its FIN the receiver may have it or not: one that has it ignores another.
//
// blind is as in Conn.PickUp: acknowledgements may have passed unseen.
//
// A sender that has nothing to repeat answers whatever acknowledges too much with where it ends, and takes no
// data with it (RFC 9293 section 3.10.7.4).
func (h *half) strays(p *Packet, blind bool) {
	seq, to := p.Seq(), p.Seq()+uint32(len(p.Payload()))
	next, st := to, &h.stream
	if settled := h.proven || h.joined || st.final != st.acked || st.Behind(); settled {
		if h.doubt != nil {
			h.doubt.stray, h.doubt.endTold = 0, false
		}
		return
	}
	d := h.doubts()
	if p.Flags()&FIN != 0 {
		next++
	}
	switch {
	case seq == next && d.stray > 0 && d.askedFrom != d.askedTo:
		d.endTold, h.joined = seq == d.askedTo, after(seq, d.askedTo)
		return
	case seq == next && d.unheard:
		return // it answers nothing
	case to == st.edge:
		d.stray, d.endTold = 0, false
		return
	case d.stray == 0 || seq != d.askedFrom || next != d.askedTo:
		d.stray, d.endTold, d.askedFrom, d.askedTo = 0, false, seq, next
	case d.unheard && !blind:
		return // it cannot have heard more than last time
	}
	d.unheard = true
	most := uint8(maxStrays)
	if seq == next {
		most = maxDenials
	}
	if d.stray++; d.stray >= most || d.endTold && d.stray >= sureStrays {
		d.stray, d.endTold = 0, false
		if d.reached.Known && after(d.reached.Seq, to) {
			to = d.reached.Seq // it repeats the first of more
		}
		h.start(st.acked, int32(st.acked-to))
	}
}
