package nfqueue

import "io"

// sampleRounds is after how many full batches in a row the kernel is asked how long the
// queue is. So many can be read between two looks at most, so no time of a full queue is missed.
const sampleRounds = 16

// pressure tells which packets passed unseen, or may have: with FAIL_OPEN the kernel
// counts none of them (__nfqnl_enqueue_packet in net/netfilter/nfnetlink_queue.c). One
// that meets a full receive buffer has a number, which we then miss; one that
// meets a full queue has none.
type pressure struct {
	table  io.ReaderAt // the kernel's table of queues; nil where it cannot be read
	buf    []byte      // for it
	maxLen uint32      // packets that may wait
	last   uint32      // id of the packet that was read last
	full   int         // full batches since the kernel was asked
	crowd  bool        // packets passed since WasFull was asked
	until  uint32      // id of the last packet that was queued while the queue was full
	behind bool        // until is not reached yet
}

// noteID counts the packets between the last one and this one, whose ids are
// consecutive in each queue, beginning with 1.
func (q *Queue) noteID(id uint32) {
	p := &q.pressure
	if missing := id - p.last - 1; missing > 0 && int32(missing) > 0 {
		q.lost.Add(uint64(missing))
		p.crowd = true
	}
	p.last = id
	if p.behind && int32(id-p.until) > 0 { // the first one after those that passed
		p.behind, p.crowd = false, true
	}
}

// noteBatch looks at the length of the queue from time to time while batches are full.
func (p *pressure) noteBatch(queue uint16, n, most int) {
	if n < most {
		p.full = 0
		return
	}
	if p.full++; p.full >= sampleRounds {
		p.full = 0
		p.sample(queue, uint32(sampleRounds*most))
	}
}

// sample asks the kernel. The queue may have been full if it is now, with the packets
// that were read since the kernel was asked last.
func (p *pressure) sample(queue uint16, read uint32) {
	if p.table == nil {
		return
	}
	n, err := p.table.ReadAt(p.buf, 0)
	if n == 0 && err != nil {
		return
	}
	s, ok := parseStats(p.buf[:n], queue)
	if ok && s.Waiting+read >= p.maxLen {
		p.crowd, p.behind, p.until = true, true, s.LastID
	}
}

// Lost counts the packets that passed unseen because the receive buffer was full. Any
// goroutine may ask.
func (q *Queue) Lost() uint64 { return q.lost.Load() }

// WasFull tells whether packets passed unseen, or may have, next to the packets that were
// received since it was last asked: the receive buffer overflowed, or the queue was
// near its maximum when those were queued. Then what is missing in a stream is
// not late but gone by.
func (q *Queue) WasFull() bool {
	was := q.pressure.crowd || q.pressure.behind
	q.pressure.crowd = false
	return was
}
