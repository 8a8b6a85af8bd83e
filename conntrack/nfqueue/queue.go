package nfqueue

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	nfq "github.com/florianl/go-nfqueue/v2"
	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// Verdict is what becomes of a packet.
type Verdict uint8

const (
	Accept Verdict = iota
	Drop
)

// number is the NF_ constant of the verdict.
func (v Verdict) number() byte {
	if v == Drop {
		return nfq.NfDrop
	}
	return nfq.NfAccept
}

// Packet is a packet that waits for its verdict.
type Packet struct {
	ID            uint32
	InDev, OutDev uint32    // interface indexes; 0 if there is none at that hook
	Payload       []byte    // from the IP header on; valid until the next Receive
	Truncated     bool      // the packet was longer than Payload
	Time          time.Time // of its arrival on the machine; zero if the kernel took none
	Zone          uint16    // conntrack zone of its direction, if the queue is Zoned
	Entry         uint32    // number of its entry (conntrack.Flow.ID) as it came, if TellEntries asks
}

// Config is how to open a queue.
type Config struct {
	Queue      uint16 // queue number
	MaxLen     uint32 // packets that may wait; 0: 1024. The kernel takes at most 65535
	ReadBuffer int    // bytes of the socket's receive buffer; 0: the system's default
	Batch      int    // most packets of one Receive; 0: 64. Each costs 2 KiB, or 130 once it was a large one
	Zones      bool   // have the kernel tell the conntrack zone of each packet, if it can
}

func (c Config) withDefaults() Config {
	if c.MaxLen == 0 {
		c.MaxLen = 1024
	}
	if c.Batch <= 0 {
		c.Batch = 64
	}
	return c
}

var (
	// ErrOverrun tells that packets came faster than they were read and the
	// socket's receive buffer overflowed: the kernel let some pass unseen. The
	// queue goes on.
	ErrOverrun = errors.New("packets passed unseen because the receive buffer of the queue was full")
	// ErrBound tells that another program has the queue.
	ErrBound = errors.New("another program has this queue")
)

// Queue is an open queue. One goroutine may use it; Wake, Lost and Close may be
// called by others.
type Queue struct {
	// OnRefused is told by Receive, or by Flush if it could not be sent, which message
	// of Append the kernel refused and why; nil if nobody wants to know.
	OnRefused func(seq uint32, why unix.Errno)

	t        *transport
	queue    uint16
	zoned    bool
	out      outbox
	order    order
	drop     []byte // scratch space of replace
	gone     uint64
	pressure pressure
	more     bool
	lost     atomic.Uint64
	woken    atomic.Bool
	deadline time.Time
}

// Open binds the queue in the network namespace of the calling thread. Packets
// that are queued before Open returns are accepted unseen. The error is ErrBound
// if another program has the queue; binding needs CAP_NET_ADMIN.
func Open(c Config) (*Queue, error) {
	c = c.withDefaults()
	t, err := newTransport(c)
	if err != nil {
		return nil, fmt.Errorf("open queue %d: %w", c.Queue, err)
	}
	q := newQueue(c, t)
	if err := q.setUp(c); err != nil {
		_ = t.close()
		return nil, fmt.Errorf("open queue %d: %w", c.Queue, err)
	}
	return q, nil
}

func newQueue(c Config, t *transport) *Queue {
	q := &Queue{t: t, queue: c.Queue, out: newOutbox(), drop: make([]byte, 0, verdictRoom)}
	q.pressure = pressure{buf: make([]byte, 4096), maxLen: c.MaxLen}
	if t.stats != nil {
		q.pressure.table = t.stats
	}
	return q
}

func (q *Queue) setUp(c Config) error {
	if c.ReadBuffer > 0 {
		if err := q.t.setReadBuffer(c.ReadBuffer); err != nil {
			return err
		}
	}
	if err := q.SetDeadline(time.Now().Add(bindTime)); err != nil {
		return err
	}
	if err := q.bindAs(c); err != nil {
		return err
	}
	return q.SetDeadline(time.Time{})
}

// bindAs asks for zones if they are wanted, and does without where the kernel cannot tell them.
func (q *Queue) bindAs(c Config) error {
	const flags = nfq.NfQaCfgFlagFailOpen
	if c.Zones {
		err := q.bind(c.MaxLen, flags|nfq.NfQaCfgFlagConntrack)
		if q.zoned = err == nil; !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	return q.bind(c.MaxLen, flags)
}

// Zoned tells whether the kernel tells the zones of packets: it was to, and has
// CONFIG_NETFILTER_NETLINK_GLUE_CT.
func (q *Queue) Zoned() bool { return q.zoned }

// TellEntries has the kernel tell the entry of each packet from about now on, if it can (as Zoned). It leaves
// with the next Flush.
func (q *Queue) TellEntries() {
	if !q.zoned {
		q.makeRoom(messageStart + 2*(unix.SizeofNlAttr+4))
		q.out.b = append(q.out.b, tellMessage(q.queue)...)
	}
}

// Receive sends what Flush would, waits for packets and returns how many of pkts it filled, at least
// one. Their payload is valid until the next call. ErrOverrun is not the end:
// call again. After the deadline or a Wake, if there is no packet, the error is os.ErrDeadlineExceeded, after
// Close os.ErrClosed.
func (q *Queue) Receive(pkts []Packet) (int, error) {
	q.send() // the next Flush tells if it fails
	for until := q.deadline; ; {
		if q.woken.Swap(false) {
			until = longAgo
		}
		most := min(len(pkts), len(q.t.slots))
		n, err := q.t.receive(most, until)
		if err != nil {
			q.more = false
			return 0, fmt.Errorf("receive from queue %d: %w", q.queue, q.receiveError(err))
		}
		q.more = n == most
		if filled := q.decodeAll(pkts, n); filled > 0 {
			q.order.received(pkts[:filled])
			q.pressure.noteBatch(q.queue, n, most)
			return filled, nil
		}
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(0, 0)

// More tells whether there was more to read than the last Receive could take. One that returned no packet has
// seen that there was none.
func (q *Queue) More() bool { return q.more }

// decodeAll reads the n datagrams just received and returns how many packets were among them.
func (q *Queue) decodeAll(pkts []Packet, n int) (filled int) {
	for i := range n {
		switch k, seq, errno := decode(q.t.datagram(i), &pkts[filled]); {
		case k == packet:
			q.noteID(pkts[filled].ID)
			if !q.zoned {
				pkts[filled].Zone = 0 // nobody wants to know
			}
			filled++
		case k == answer && errno != 0:
			q.refused(seq, errno)
		}
	}
	return filled
}

// refused notes what the kernel did not do. A verdict is refused if the packet was gone (ENOENT).
func (q *Queue) refused(seq uint32, why unix.Errno) {
	switch {
	case seq == verdictSeq:
		q.gone++
	case seq == tellSeq && why == unix.EOPNOTSUPP: // it goes on without
	case q.OnRefused != nil:
		q.OnRefused(seq, why)
	}
}

// receiveError names what a caller has to tell apart, and ends what it is about.
func (q *Queue) receiveError(err error) error {
	err = overrun(err)
	if errors.Is(err, ErrOverrun) {
		q.pressure.crowd = true
		q.pressure.sample(q.queue, 0)
	}
	return err
}

func overrun(err error) error {
	if errors.Is(err, unix.ENOBUFS) {
		return ErrOverrun
	}
	return err
}

// PortID is the netlink port id of the socket. Events of what the messages of Append changed carry it.
func (q *Queue) PortID() (uint32, error) { return nlread.PortID(q.t.fd) }

// Gone counts the verdicts for packets that the kernel no longer had, because
// their queue was flushed when an interface or the program went away.
func (q *Queue) Gone() uint64 { return q.gone }

// SetDeadline ends a Receive that waits at about t, at most lateness later; the zero time means never. It is
// for the goroutine that calls Receive.
func (q *Queue) SetDeadline(t time.Time) error {
	q.deadline = t
	return nil
}

// Wake has a Receive that waits, or else the next one, return at once, with what there is. Any goroutine may
// call it.
func (q *Queue) Wake() error {
	q.woken.Store(true)
	if err := q.t.wake(); err != nil {
		return fmt.Errorf("wake the reader of queue %d: %w", q.queue, err)
	}
	return nil
}

// Close unbinds the queue. The kernel drops packets that wait for a verdict.
func (q *Queue) Close() error {
	if err := q.t.close(); err != nil {
		return fmt.Errorf("close queue %d: %w", q.queue, err)
	}
	return nil
}
