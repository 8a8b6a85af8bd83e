package riding

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack"
)

// Kernel is connection tracking as a gateway asks and changes it. It is not for concurrent use.
type Kernel struct {
	Out Outbox // must be set before anything is changed

	Refused func(original conntrack.Tuple, u conntrack.Update, err error) // is told what Update sent in vain
	Failed  func(doing string, err error)                                 // is told of other failures

	conn   Tracker
	helper string

	seq   uint32
	msg   []byte // used anew for each message
	under [maxRiding]riding
}

// New returns a Kernel that waits for answers of conn. An entry that is adopted gets the helper if it has
// none.
func New(conn Tracker, helper string) *Kernel { return &Kernel{conn: conn, helper: helper} }

// Tracker is what is waited for: [conntrack.Conn].
type Tracker interface {
	Flow(t conntrack.Tuple) (conntrack.Flow, error)
	Create(e *conntrack.Expectation) (timeout bool, err error)
	Withdraw(e conntrack.Expectation) error
	Entry(t conntrack.Tuple, e *conntrack.Entry) error
	Vacate(t conntrack.Tuple) (holder conntrack.Tuple, err error)
	Replace(e *conntrack.Entry, helper string, u conntrack.Update) (conntrack.Flow, error)
}

// Outbox is by what messages ride: nfqueue.Queue.
type Outbox interface {
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
func (k *Kernel) Flow(t conntrack.Tuple) (conntrack.Flow, error) {
	k.flush()
	return k.conn.Flow(t)
}

func (k *Kernel) flush() {
	if err := k.Out.Flush(); err != nil {
		k.Failed("give verdicts", err)
	}
}

// Update has an entry changed before the verdicts that follow.
func (k *Kernel) Update(original conntrack.Tuple, u conntrack.Update) error {
	r := k.next(anUpdate)
	r.tuple, r.update = original, u
	k.msg = conntrack.AppendUpdate(k.msg[:0], original, u, r.seq)
	return k.send()
}

// Expect waits for the kernel: whether the door is open decides about the next byte.
func (k *Kernel) Expect(e *conntrack.Expectation) error {
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
func (k *Kernel) Withdraw(e conntrack.Expectation) error {
	if e.ID == 0 {
		return k.conn.Withdraw(e)
	}
	r := k.next(aWithdrawal)
	r.door = e
	k.msg = conntrack.AppendWithdraw(k.msg[:0], e, r.seq)
	return k.send()
}

// Vacate waits for the kernel, as Expect does. Nothing that rides concerns an ended connection.
func (k *Kernel) Vacate(t conntrack.Tuple) (holder conntrack.Tuple, err error) {
	return k.conn.Vacate(t)
}

// next returns the place of the next message.
func (k *Kernel) next(what rider) *riding {
	if k.seq++; k.seq == 0 {
		k.seq = 1
	}
	r := &k.under[k.seq%maxRiding]
	r.seq, r.what = k.seq, what
	return r
}

func (k *Kernel) send() error {
	if len(k.msg) == 0 {
		return nil // nothing to do
	}
	return k.Out.Append(k.msg)
}

// OnRefused takes the kernel's word that it did not do the message with this sequence number.
func (k *Kernel) OnRefused(seq uint32, why unix.Errno) {
	r := &k.under[seq%maxRiding]
	switch {
	case r.seq != seq:
		k.Failed("change connection tracking", why)
	case r.what == anUpdate:
		k.Refused(r.tuple, r.update, fmt.Errorf("update conntrack entry %v: %w", r.tuple,
			conntrack.UpdateError(why)))
	case errors.Is(why, unix.ENOENT): // the door is used or gone
	case r.what == aTimeout:
		k.Failed("set the timeout of an expectation, which is withdrawn", why)
		if err := k.Withdraw(r.door); err != nil { // rather none than one that stays open for minutes
			k.Failed("withdraw an expectation", err)
		}
	default:
		k.Failed("withdraw an expectation", why)
	}
}
