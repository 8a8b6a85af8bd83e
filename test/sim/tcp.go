package sim

import "github.com/ftpalg/ftpalg/conntrack"

// transmit sends up to n bytes from seq.
func (w *World) transmit(dir conntrack.Dir, seq uint32, n int) {
	e := w.End[dir]
	at := e.offset(seq)
	e.ackDue = false
	s := Segment{Seq: seq, Ack: e.rcv, Data: e.data[at : int(at)+n], SACK: e.sack()}
	w.Tracef("%v sends %d+%d %q ack %d", dir, at, n, s.Data, int32(s.Ack-w.End[1-dir].ISN))
	w.toss(&w.node().near[dir], s)
}

func (w *World) ack(dir conntrack.Dir) {
	e := w.End[dir]
	e.ackDue = false
	w.toss(&w.node().near[dir], Segment{Seq: e.Nxt, Ack: e.rcv, SACK: e.sack()})
}

// cut tells how much goes into a segment that starts at seq.
func (w *World) cut(e *End, seq, end uint32) int {
	left := int(end - seq)
	if !w.Whole {
		return min(left, 1+w.IntN(w.MSS))
	}
	at := e.offset(seq)
	n, more := 0, w.IntN(4)
	for i := range e.Lines {
		if l := &e.Lines[i]; l.end() > at {
			if n > 0 && more == 0 {
				break
			}
			n = int(l.end() - at)
			more--
			if more < 0 {
				break
			}
		}
	}
	return min(n, left)
}

// stepEnd has an end send something, or repeat it.
func (w *World) stepEnd(dir conntrack.Dir) {
	e := w.End[dir]
	pending := e.Una != e.Nxt
	if !pending {
		e.since = w.Step
	}
	n := 0
	if e.Nxt != e.edge() {
		n = w.cut(e, e.Nxt, e.edge())
	}
	switch {
	case pending && w.Step-e.since > rto:
		w.repeat(dir)
	case n > 0 && !(w.Nagle && pending && n < w.MSS) && int(e.Nxt-e.Una) < w.Window:
		w.transmit(dir, e.Nxt, n)
		e.Nxt += uint32(n)
	case pending && w.IntN(30) == 0:
		from := e.Una
		if !w.Whole {
			from += uint32(w.IntN(int(e.Nxt - e.Una)))
		}
		w.transmit(dir, from, w.cut(e, from, e.Nxt))
	case w.IntN(100) == 0:
		w.ack(dir)
	}
}

// repeat sends what is not acknowledged, as after a timeout or a loss.
func (w *World) repeat(dir conntrack.Dir) {
	e := w.End[dir]
	e.since, e.dups, e.recover = w.Step, 0, e.Nxt
	w.transmit(dir, e.Una, w.cut(e, e.Una, e.Nxt))
}

// receive gives the segment of direction dir to its receiver.
func (w *World) receive(dir conntrack.Dir, s Segment) {
	e, from := w.End[1-dir], w.End[dir]
	w.Tracef("%v arrives %d %q ack %d; want %d",
		dir, int32(s.Seq-from.ISN), s.Data, int32(s.Ack-e.ISN), int32(e.rcv-from.ISN))
	w.acknowledged(dir.Opposite(), &s)
	switch {
	case len(s.Data) == 0:
		e.ackDue = e.ackDue || s.Seq != e.rcv
		return
	case s.Seq != e.rcv || w.IntN(3) > 0:
		e.ackDue = true
	}
	e.take(s.Seq, s.Data)
	if s.Seq != e.rcv-uint32(len(s.Data)) {
		w.ack(dir.Opposite()) // a gap or a duplicate is answered at once
	}
}

// acknowledged moves the sender in direction dir on.
func (w *World) acknowledged(dir conntrack.Dir, s *Segment) {
	e := w.End[dir]
	got := len(w.End[1-dir].Got)
	switch {
	case after(s.Ack, e.Nxt) && (w.stripped || w.swapped || w.Lags):
		// Nobody translated it; TCP answers and believes nothing (RFC 9293 section 3.10.7.4).
	case after(s.Ack, e.Nxt):
		w.T.Fatalf("%v: %d is acknowledged, sent is up to %d", dir, e.offset(s.Ack), e.offset(e.Nxt))
	case after(s.Ack, e.Una):
		e.Una, e.since, e.dups = s.Ack, w.Step, 0
		e.heard = append(e.heard, heard{e.offset(s.Ack), got})
		if after(e.recover, e.Una) {
			w.transmit(dir, e.Una, w.cut(e, e.Una, e.Nxt))
		}
	case s.Ack == e.Una && e.Una != e.Nxt && len(s.Data) == 0:
		if e.dups++; e.dups == 3 && !after(e.recover, e.Una) {
			w.repeat(dir)
		}
	}
}
