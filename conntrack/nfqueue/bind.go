package nfqueue

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bindTime is how long the kernel may take to answer to the binding.
	bindTime = 2 * time.Second
	bindSeq  = 1
)

// bind sends the one message that makes the queue and reads to its answer,
// accepting packets that come first. If the receive buffer overflows meanwhile,
// the answer may be what was lost; then a packet proves that the queue is ours,
// because the kernel makes it and sets it up in one go or refuses it whole.
func (q *Queue) bind(maxLen, flags uint32) error {
	if err := q.t.write(configMessage(q.queue, maxLen, flags, bindSeq)); err != nil {
		return err
	}
	for lost := false; ; {
		n, err := q.t.receive(len(q.t.slots), q.deadline)
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
			q.noteID(p.ID)
			err = errors.Join(err, q.Verdict(p.ID, Accept, nil))
		case k == answer && seq == bindSeq:
			answered, errno = true, e
		}
	}
	return packets, answered, errno, errors.Join(err, q.Flush())
}

// bindError explains a refusal. The kernel answers EPERM both to a queue of
// another program and to a lack of privilege (nfqnl_recv_config).
func (q *Queue) bindError(errno unix.Errno) error {
	switch errno {
	case 0:
		return nil
	case unix.EBUSY, unix.EPERM:
		if s, err := ReadStats(q.queue); err == nil && s.PortID != 0 {
			return fmt.Errorf("%w (netlink port %d; a small number is its process id): "+
				"stop it or choose another queue number: %w", ErrBound, s.PortID, errno)
		}
		return fmt.Errorf("CAP_NET_ADMIN is missing or %w: %w", ErrBound, errno)
	case unix.EINVAL:
		return fmt.Errorf("the kernel has no nfnetlink_queue (CONFIG_NETFILTER_NETLINK_QUEUE): %w", errno)
	}
	return fmt.Errorf("bind: %w", errno)
}
