package nfqueue

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	nfq "github.com/florianl/go-nfqueue/v2"
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
	InDev, OutDev uint32 // interface indexes; 0 if there is none at that hook
	Payload       []byte // from the IP header on; valid until the next Receive
	Truncated     bool   // the packet was longer than Payload
}

// Config is how to open a queue.
type Config struct {
	Queue      uint16 // queue number
	MaxLen     uint32 // packets that may wait; 0: 1024. The kernel takes at most 65535
	ReadBuffer int    // bytes of the socket's receive buffer; 0: the system's default
	Batch      int    // most packets of one Receive; 0: 32. Each costs 64 KiB of address space
}

func (c Config) withDefaults() Config {
	if c.MaxLen == 0 {
		c.MaxLen = 1024
	}
	if c.Batch <= 0 {
		c.Batch = 32
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

const (
	// bindTime is how long the kernel may take to answer to the binding.
	bindTime = 2 * time.Second
	// bindSeq is the sequence number of the binding; verdicts have 0.
	bindSeq = 1
)

// Queue is an open queue. One goroutine may use it; SetDeadline and Close may
// be called by others.
type Queue struct {
	t      *transport
	queue  uint16
	gone   uint64
	closed atomic.Bool
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
	q := &Queue{t: t, queue: c.Queue}
	if err := q.setUp(c); err != nil {
		_ = t.nf.Close()
		return nil, fmt.Errorf("open queue %d: %w", c.Queue, err)
	}
	return q, nil
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
	if err := q.bind(c.MaxLen); err != nil {
		return err
	}
	return q.SetDeadline(time.Time{})
}

// bind sends the one message that makes the queue and reads to its answer,
// accepting packets that come first. If the receive buffer overflows meanwhile,
// the answer may be what was lost; then a packet proves that the queue is ours,
// because the kernel makes it and sets it up in one go or refuses it whole.
func (q *Queue) bind(maxLen uint32) error {
	q.t.out = configMessage(q.queue, maxLen, bindSeq)
	if err := q.t.write(nil); err != nil {
		return err
	}
	for lost := false; ; {
		n, err := q.t.receive(len(q.t.bufs))
		switch err = overrun(err); {
		case errors.Is(err, ErrOverrun):
			lost = true
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("the kernel did not answer within %v", bindTime)
		case err != nil:
			return err
		}
		packets, answered, errno, err := q.acceptAll(n)
		switch {
		case err != nil:
			return err
		case answered:
			return q.bindError(errno)
		case lost && packets > 0:
			return nil
		}
	}
}

// acceptAll accepts the packets among the n datagrams just received and looks
// for the answer to the binding.
func (q *Queue) acceptAll(n int) (packets int, answered bool, errno unix.Errno, err error) {
	for i := range n {
		var p Packet
		switch k, seq, e := decode(q.t.datagram(i), &p); {
		case k == packet:
			packets++
			err = errors.Join(err, q.Verdict(p.ID, Accept, nil))
		case k == answer && seq == bindSeq:
			answered, errno = true, e
		}
	}
	return packets, answered, errno, err
}

// bindError explains a refusal. The kernel answers EPERM both to a queue of
// another program and to a lack of privilege (nfqnl_recv_config).
func (q *Queue) bindError(errno unix.Errno) error {
	switch errno {
	case 0:
		return nil
	case unix.EBUSY, unix.EPERM:
		if s, err := ReadStats(q.queue); err == nil && s.PortID != 0 {
			return fmt.Errorf("%w (netlink port %d; a small number is its process id): stop it or choose another queue number: %w", ErrBound, s.PortID, errno)
		}
		return fmt.Errorf("CAP_NET_ADMIN is missing or %w: %w", ErrBound, errno)
	case unix.EINVAL:
		return fmt.Errorf("the kernel has no nfnetlink_queue (CONFIG_NETFILTER_NETLINK_QUEUE): %w", errno)
	}
	return fmt.Errorf("bind: %w", errno)
}

// receiveError names what a caller has to tell apart. A raw connection that is
// closed returns an error of an internal package.
func (q *Queue) receiveError(err error) error {
	if q.closed.Load() {
		return os.ErrClosed
	}
	return overrun(err)
}

func overrun(err error) error {
	if errors.Is(err, unix.ENOBUFS) {
		return ErrOverrun
	}
	return err
}

// Receive waits for packets and returns how many of pkts it filled, at least
// one. Their payload is valid until the next call. ErrOverrun is not the end:
// call again. After the deadline the error is os.ErrDeadlineExceeded, after
// Close os.ErrClosed.
func (q *Queue) Receive(pkts []Packet) (int, error) {
	for {
		n, err := q.t.receive(len(pkts))
		if err != nil {
			return 0, fmt.Errorf("receive from queue %d: %w", q.queue, q.receiveError(err))
		}
		filled := 0
		for i := range n {
			switch k, _, errno := decode(q.t.datagram(i), &pkts[filled]); {
			case k == packet:
				filled++
			case k == answer && errno != 0: // a refused verdict: the packet was gone (ENOENT)
				q.gone++
			}
		}
		if filled > 0 {
			return filled, nil
		}
	}
}

// Gone counts the verdicts for packets that the kernel no longer had, because
// their queue was flushed when an interface or the program went away.
func (q *Queue) Gone() uint64 { return q.gone }

// SetDeadline ends a Receive that waits at t; the zero time means never.
func (q *Queue) SetDeadline(t time.Time) error {
	if err := q.t.nf.Con.SetReadDeadline(t); err != nil {
		return fmt.Errorf("set the deadline of queue %d: %w", q.queue, err)
	}
	return nil
}

// Verdict decides about the packet. A payload that is not nil replaces the
// packet; its checksums must be right. When Verdict returns the kernel has sent
// the packet on. A packet that is gone is no error, see Gone.
func (q *Queue) Verdict(id uint32, v Verdict, payload []byte) error {
	if len(payload) > copyRange {
		return fmt.Errorf("verdict in queue %d: a packet of %d bytes does not fit into a message", q.queue, len(payload))
	}
	q.t.out = appendVerdict(q.t.out[:0], q.queue, id, v, len(payload))
	if err := q.t.write(payload); err != nil {
		return fmt.Errorf("verdict in queue %d: %w", q.queue, err)
	}
	return nil
}

// Close unbinds the queue. The kernel drops packets that wait for a verdict.
func (q *Queue) Close() error {
	q.closed.Store(true)
	if err := q.t.nf.Close(); err != nil {
		return fmt.Errorf("close queue %d: %w", q.queue, err)
	}
	return nil
}
