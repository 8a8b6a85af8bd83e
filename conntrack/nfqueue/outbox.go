package nfqueue

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// maxDatagram is how many bytes of messages are sent at once. The kernel takes what
// fits into the socket's send buffer (netlink_sendmsg in net/netlink/af_netlink.c),
// by default more than 200,000 bytes; one message with a whole packet is always sent.
const maxDatagram = 60_000

// outbox is the datagram under way: whole messages, one after another. The kernel
// handles them in this order (netlink_rcv_skb).
type outbox struct {
	b      []byte
	accept int   // how long b was behind a message that can accept more packets, if it is the last; 0: none
	each   bool  // a message for each packet from now on: something else becomes of an earlier one
	limit  int   // bytes; less than maxDatagram where the send buffer is small
	failed error // the first that the next Flush has to tell
}

func newOutbox() outbox { return outbox{b: make([]byte, 0, packetRoom), limit: maxDatagram} }

// fits tells whether a message of n bytes can be added.
func (o *outbox) fits(n int) bool { return len(o.b) == 0 || len(o.b)+n <= o.limit }

// Verdict decides about the packet. A payload that is not nil replaces the packet and
// is copied; its checksums must be right. The verdict leaves with the next Flush,
// after what was given before it. A packet that is gone is no error, see Gone.
func (q *Queue) Verdict(id uint32, v Verdict, payload []byte) error {
	if len(payload) > copyRange {
		return fmt.Errorf("verdict in queue %d: a packet of %d bytes does not fit into a message",
			q.queue, len(payload))
	}
	inOrder, accepts := q.order.answered(id), v == Accept && len(payload) == 0
	if o := &q.out; accepts && inOrder && o.accept > 0 && o.accept == len(o.b) {
		acceptUntil(o.b[o.accept-verdictRoom:], id)
		return nil
	}
	q.makeRoom(verdictRoom + len(payload))
	q.out.b = appendVerdict(q.out.b, q.queue, id, v, payload)
	if q.out.each = q.out.each || !accepts; inOrder && !q.out.each {
		q.out.accept = len(q.out.b)
	}
	return nil
}

// Append puts another message to netfilter before the verdicts that follow, so that the
// kernel has done it when it sees those packets. msg is one whole netlink message with
// NLM_F_REQUEST and a sequence number of the caller's, which is not 0. Without
// NLM_F_ACK the kernel answers only if it refuses; OnRefused is told.
func (q *Queue) Append(msg []byte) error {
	whole := len(msg) >= unix.NLMSG_HDRLEN && int(binary.NativeEndian.Uint32(msg)) == len(msg)
	if !whole || len(msg) > maxDatagram {
		return fmt.Errorf("message to queue %d: %d bytes are not one netlink message", q.queue, len(msg))
	}
	if seqOf(msg) == verdictSeq {
		return fmt.Errorf("message to queue %d: sequence number %d is that of verdicts", q.queue, verdictSeq)
	}
	q.makeRoom(len(msg))
	q.out.b = appendPadded(q.out.b, msg)
	return nil
}

// makeRoom sends what there is unless n more bytes fit to it.
func (q *Queue) makeRoom(n int) {
	if !q.out.fits(n) {
		q.send()
	}
}

// Flush sends what Verdict and Append have collected. When it returns the kernel has
// done it, and the packets are on their way. If the kernel has no room for a message, a
// packet that was to be replaced is dropped, for its sender to send again; a message of
// Append is refused; and another verdict stays for the next Flush. The error tells the
// first of these since the last Flush.
func (q *Queue) Flush() error {
	q.send()
	err := q.out.failed
	q.out.failed = nil
	if err == nil {
		return nil
	}
	return fmt.Errorf("send verdicts to queue %d: %w", q.queue, err)
}

func (q *Queue) send() {
	b := q.out.b
	if len(b) == 0 {
		return
	}
	q.out.b, q.out.accept, q.out.each = b[:0], 0, false
	if err := q.deliver(b); err != nil && q.out.failed == nil {
		q.out.failed = err
	}
}

// deliver sends whole messages, by halves if the kernel has no room for all.
func (q *Queue) deliver(b []byte) error {
	err := q.t.write(b)
	if err == nil || !noRoom(err) {
		return err
	}
	if errors.Is(err, unix.EMSGSIZE) {
		q.out.limit = min(q.out.limit, max(len(b)/2, verdictRoom))
	}
	n := halfOf(b)
	if n == len(b) {
		return q.replace(b, err)
	}
	first := q.deliver(b[:n])
	second := q.deliver(b[n:])
	if first != nil {
		return first
	}
	return second
}

// replace does what can be done about the one message that was not sent because of why.
func (q *Queue) replace(msg []byte, why error) error {
	if seq := seqOf(msg); seq != verdictSeq {
		q.refused(seq, errnoIn(why))
		return why
	}
	if id := verdictID(msg); len(msg) > verdictRoom {
		q.drop = appendVerdict(q.drop[:0], q.queue, id, Drop, nil)
		msg = q.drop
		if q.t.write(msg) == nil {
			return fmt.Errorf("packet %d is dropped: %w", id, why)
		}
	}
	// What lies before it in the buffer of the outbox is sent or moved already.
	q.out.b, q.out.each = append(q.out.b, msg...), true
	return why
}

// noRoom tells whether less at a time may help.
func noRoom(err error) bool {
	switch errnoIn(err) {
	case unix.ENOBUFS, unix.EMSGSIZE, unix.ENOMEM, unix.EAGAIN:
		return true
	}
	return false
}

func errnoIn(err error) unix.Errno {
	var errno unix.Errno
	errors.As(err, &errno)
	return errno
}

// halfOf returns where the message that reaches beyond the middle of b begins, or ends if
// it is the first.
func halfOf(b []byte) int {
	for at := 0; at < len(b); {
		next := at + nlread.Aligned(int(binary.NativeEndian.Uint32(b[at:])))
		if next > len(b)/2 {
			if at == 0 {
				return min(next, len(b))
			}
			return at
		}
		at = next
	}
	return len(b)
}
