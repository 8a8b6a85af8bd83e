package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack"
)

// kernel is what the gateway asks of connection tracking. Whatever need not be waited for rides in front of
// the verdicts of the queue: nfnetlink does the messages of a datagram in order, so it is done when the
// packet that needs it goes on. What is refused then is told to the gateway afterwards.
type kernel struct {
	conn tracker
	out  outbox

	refused func(original conntrack.Tuple, u conntrack.Update, err error) // is told what Update sent in vain
	failed  func(doing string, err error)

	seq   uint32
	msg   []byte // used anew for each message
	under [maxRiding]riding
}

// tracker is the part of conntrack.Conn that is waited for.
type tracker interface {
	Flow(t conntrack.Tuple) (conntrack.Flow, error)
	Create(e *conntrack.Expectation) (timeout bool, err error)
	Withdraw(e conntrack.Expectation) error
}

// outbox is the part of nfqueue.Queue by which messages ride.
type outbox interface {
	Append(msg []byte) error
	Flush() error
}

// maxRiding is of how many messages a refusal can still be understood. All are told of with the next batch of
// packets.
const maxRiding = 512

// riding is a message of which no answer has been heard, which is the rule.
type riding struct {
	seq    uint32
	what   rider
	tuple  conntrack.Tuple
	update conntrack.Update
	door   conntrack.Expectation
}

type rider uint8

const (
	anUpdate rider = iota
	aTimeout
	aWithdrawal
)

// Flow looks up what the verdicts and updates before have left.
func (k *kernel) Flow(t conntrack.Tuple) (conntrack.Flow, error) {
	if err := k.out.Flush(); err != nil {
		k.failed("give verdicts", err)
	}
	return k.conn.Flow(t)
}

// Update has an entry changed before the verdicts that follow.
func (k *kernel) Update(original conntrack.Tuple, u conntrack.Update) error {
	r := k.next(anUpdate)
	r.tuple, r.update = original, u
	k.msg = conntrack.AppendUpdate(k.msg[:0], original, u, r.seq)
	return k.send()
}

// Expect waits for the kernel: whether the door is open decides about the next byte.
func (k *kernel) Expect(e *conntrack.Expectation) error {
	timeout, err := k.conn.Create(e)
	if err != nil || !timeout {
		return err
	}
	r := k.next(aTimeout)
	r.door = *e
	k.msg = conntrack.AppendExpectTimeout(k.msg[:0], *e, r.seq)
	return k.send()
}

// Withdraw takes an expectation back, before the verdicts that follow if its ID is known.
func (k *kernel) Withdraw(e conntrack.Expectation) error {
	if e.ID == 0 {
		return k.conn.Withdraw(e)
	}
	r := k.next(aWithdrawal)
	r.door = e
	k.msg = conntrack.AppendWithdraw(k.msg[:0], e, r.seq)
	return k.send()
}

// next returns the place of the next message.
func (k *kernel) next(what rider) *riding {
	if k.seq++; k.seq == 0 {
		k.seq = 1
	}
	r := &k.under[k.seq%maxRiding]
	r.seq, r.what = k.seq, what
	return r
}

func (k *kernel) send() error {
	if len(k.msg) == 0 {
		return nil // nothing to do
	}
	return k.out.Append(k.msg)
}

// onRefused takes the kernel's word that it did not do a message.
func (k *kernel) onRefused(seq uint32, why unix.Errno) {
	r := &k.under[seq%maxRiding]
	switch {
	case r.seq != seq:
		k.failed("change connection tracking", why)
	case r.what == anUpdate:
		k.refused(r.tuple, r.update, fmt.Errorf("update conntrack entry %v: %w", r.tuple,
			conntrack.UpdateError(why)))
	case errors.Is(why, unix.ENOENT): // the door is used or gone
	case r.what == aTimeout:
		k.failed("set the timeout of an expectation, which is withdrawn", why)
		if err := k.Withdraw(r.door); err != nil { // rather none than one that stays open for minutes
			k.failed("withdraw an expectation", err)
		}
	default:
		k.failed("withdraw an expectation", why)
	}
}
