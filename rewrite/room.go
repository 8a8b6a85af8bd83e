package rewrite

import (
	"slices"
	"time"
)

// A segment that comes before its predecessor waits for it: what precedes it may
// be edited, and then its own place changes. Loss and reordering are all that it
// takes, so the wait is short; it is bounded in time and in number.
const (
	holdTime = 3 * time.Second
	maxHeld  = 32 // packets of one direction of one connection
)

// What is not acknowledged may be repeated and is remembered. A control connection has a line or two in
// flight; only a long listing over it (STAT) comes near. Beyond the bound new data waits with its sender.
const (
	maxHistory = 64 << 10 // bytes of one direction
	crowd      = 16 << 10 // bytes from which on every acknowledgement is looked at
)

// Room is what all connections of a gateway may use together. No connection gets more of it than a
// part of what is left, so that none can take what others need.
type Room struct {
	MaxPackets int // packets that wait
	MaxBytes   int // bytes of packets that wait, and of histories

	// Unseen tells that packets pass by unseen: what is missing is not late but gone by, and not waited for.
	Unseen bool

	packets, bytes, history int
}

// Packets returns how many packets wait.
func (r *Room) Packets() int { return r.packets }

// Bytes returns how many bytes are in use.
func (r *Room) Bytes() int { return r.bytes + r.history }

// share returns how many bytes the history of one direction may have now.
func (r *Room) share() int {
	return min(maxHistory, max(0, r.MaxBytes-r.history)/16+1024)
}

// Waiting is a packet that was held back, with what a verdict on it needs.
type Waiting struct {
	ID       uint32
	Entry    uint32 // the kernel's number of it; 0: not known
	Data     []byte // a copy
	Loopback bool
	Dir      Dir

	seq   uint32
	since time.Time
}

// Hold keeps a packet that must wait, with what w tells besides; false if too many do.
func (c *Conn) Hold(now time.Time, p *Packet, w Waiting, r *Room) bool {
	h := &c.half[w.Dir]
	waiting := h.waiting()
	if len(waiting) >= min(maxHeld, (r.MaxPackets-r.packets)/8) || r.bytes+r.history+p.Len() > r.MaxBytes {
		return false
	}
	r.packets++
	r.bytes += p.Len()
	w.Data, w.seq, w.since = slices.Clone(p.raw), p.Seq(), now
	h.wait(append(waiting, w))
	return true
}

// Holds tells whether packets wait.
func (c *Conn) Holds() bool { return c.half[0].waiting() != nil || c.half[1].waiting() != nil }

// Next returns a packet that waited and need not wait longer.
func (c *Conn) Next(r *Room) (Waiting, bool) {
	for d := range c.half {
		h := &c.half[d]
		waiting := h.waiting()
		if len(waiting) > 0 && h.passedBy(r) {
			return h.release(h.foremost(), r), true
		}
		for i := range waiting {
			w := &waiting[i]
			if h.late || h.claims(w.seq) || h.stream.Classify(w.seq, 1) != Gap {
				return h.release(i, r), true
			}
		}
	}
	return Waiting{}, false
}

// foremost returns which of the packets that wait comes first in the stream.
func (h *half) foremost() (first int) {
	waiting := h.waiting()
	for i := range waiting {
		if before(waiting[i].seq, waiting[first].seq) {
			first = i
		}
	}
	return first
}

func (h *half) release(i int, r *Room) Waiting {
	waiting := h.waiting()
	w := waiting[i]
	r.packets--
	r.bytes -= len(w.Data)
	h.wait(slices.Delete(waiting, i, i+1))
	return w
}

// waiting returns the packets that wait, in the order in which they came.
func (h *half) waiting() []Waiting {
	if h.doubt == nil {
		return nil
	}
	return h.doubt.held
}

func (h *half) wait(packets []Waiting) {
	if len(packets) == 0 {
		packets = nil
	}
	h.doubts().held = packets
}

// Expire lets packets go that waited too long: in their place the receiver is asked whether it has what
// precedes them. It may have passed by unseen; else it is lost, and the sender repeats all.
func (c *Conn) Expire(now time.Time) {
	for d := range c.half {
		h := &c.half[d]
		if waiting := h.waiting(); len(waiting) > 0 && now.Sub(waiting[0].since) >= holdTime {
			h.late = true
		}
	}
}

// Account brings what r counts of the connection's histories up to date.
func (c *Conn) Account(r *Room) {
	size := c.half[0].stream.size() + c.half[1].stream.size()
	r.history += size - int(c.size)
	c.size = int32(size)
}

// Leave gives back what the connection has of r, and returns the packets that waited: they are to be
// dropped.
func (c *Conn) Leave(r *Room) (dropped []Waiting) {
	for d := range c.half {
		for h := &c.half[d]; h.waiting() != nil; {
			dropped = append(dropped, h.release(0, r))
		}
	}
	r.history -= int(c.size)
	c.size = 0
	return dropped
}
