package sim

// End is one end of the connection. It sends in its own numbers and receives in those that the
// gateway makes of the other's.
type End struct {
	ISN   uint32 // number of the first byte
	Una   uint32 // of the oldest that is not acknowledged
	Nxt   uint32 // of the next to be sent
	Lines []Line // what it says
	Got   []byte // what it received in order
	Taken int    // how much of it its application took

	data    []byte
	since   int    // step of the last progress or repetition
	dups    int    // duplicate acknowledgements in a row
	recover uint32 // after a loss: up to where it repeats
	heard   []heard
	plainAt []uint32 // offsets in lines that may pass untouched

	rcv    uint32
	early  map[uint32]byte
	ackDue bool
}

// heard is an acknowledgement that moved a sender on, and what its receiver had then.
type heard struct {
	upTo uint32 // offset in the sender's data
	got  int
}

func newEnd(isn, rcv uint32) *End {
	return &End{ISN: isn, Una: isn, Nxt: isn, rcv: rcv, early: map[uint32]byte{}}
}

// Say has the end send a line when its TCP may.
func (e *End) Say(l Line) {
	l.start = uint32(len(e.data))
	e.Lines = append(e.Lines, l)
	e.data = append(e.data, l.Text...)
}

// Sent tells whether a byte of line i was sent.
func (e *End) Sent(i int) bool { return e.Lines[i].start < e.offset(e.Nxt) }

// Acked tells whether the end knows that line i arrived.
func (e *End) Acked(i int) bool { return e.Lines[i].end() <= e.offset(e.Una) }

func (e *End) offset(seq uint32) uint32 { return seq - e.ISN }
func (e *End) edge() uint32             { return e.ISN + uint32(len(e.data)) }
func (e *End) allSaid() bool            { return e.Una == e.edge() }

// spoil notes what may become of all lines that are sent but for those that end up to offset from.
func (e *End) spoil(from uint32, f Fate) {
	for i := range e.Lines {
		if l := &e.Lines[i]; l.end() > from && e.Sent(i) {
			l.Spoil(f)
		}
	}
}

// spoilNext lets the line at seq pass untouched.
func (e *End) spoilNext(seq uint32) { e.plainAt = append(e.plainAt, e.offset(seq)) }

// spoilNoted spoils the lines of which spoilNext was told, as all lines are known now.
func (e *End) spoilNoted() {
	for _, at := range e.plainAt {
		for i := range e.Lines {
			if l := &e.Lines[i]; l.start <= at && at < l.end() {
				l.Spoil(Plain)
			}
		}
	}
}

// take receives data with the number seq. It keeps what it had first.
func (e *End) take(seq uint32, data []byte) {
	for i, c := range data {
		at := seq + uint32(i)
		if _, have := e.early[at]; !have && int32(at-e.rcv) >= 0 && int32(at-e.rcv) < 1<<16 {
			e.early[at] = c
		}
	}
	for c, ok := e.early[e.rcv]; ok; c, ok = e.early[e.rcv] {
		delete(e.early, e.rcv)
		e.Got = append(e.Got, c)
		e.rcv++
	}
}

// sack returns the option that reports the highest of the blocks that arrived behind a gap, or nil.
func (e *End) sack() []byte {
	if len(e.early) == 0 {
		return nil
	}
	right := e.rcv
	for at := range e.early {
		if after(at+1, right) {
			right = at + 1
		}
	}
	left := right
	for _, ok := e.early[left-1]; ok; _, ok = e.early[left-1] {
		left--
	}
	return sackOption(left, right)
}
