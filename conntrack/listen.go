package conntrack

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// ErrEventsLost says that the kernel had more events than the receive buffer took. It is told
// once; what happens until the buffer has been read empty is lost as well (netlink_overrun in
// net/netlink/af_netlink.c). The Listener goes on.
var ErrEventsLost = errors.New("conntrack events were lost: the receive buffer was full")

// Kind is a kind of event; kinds are bits, so that they can be chosen.
type Kind uint8

const (
	FlowNew       Kind = 1 << iota // an entry was made
	FlowUpdate                     // something of an entry was changed
	FlowDestroy                    // an entry is gone
	ExpectNew                      // an expectation was made
	ExpectDestroy                  // an expectation was used, has expired or was withdrawn

	AllEvents = FlowNew | FlowUpdate | FlowDestroy | ExpectNew | ExpectDestroy
)

// groups are the multicast groups of the kinds, in their order (enum nfnetlink_groups).
var groups = [...]uint32{1, 2, 3, 4, 6}

// groups returns the groups of the kinds, the first as bit 0.
func (k Kind) groups() (mask uint32) {
	for i, group := range groups {
		if k&(1<<i) != 0 {
			mask |= 1 << (group - 1)
		}
	}
	return mask
}

// Event is a change of the connection tracking of TCP.
type Event struct {
	Kind   Kind
	PortID uint32 // netlink port id of who did it, 0: the kernel itself, for a packet or a timeout

	Entry  Entry       // of the flow kinds
	Expect ExpectEntry // of the expectation kinds
}

// Listener receives events of one network namespace. Receive is for one goroutine; all else may be called
// from others, Join and Leave also from what Receive calls.
type Listener struct {
	fd     int
	portID uint32
	wait   waiter
	closed atomic.Bool
	most   int // datagrams that are read at once

	receiving sync.Mutex   // held by Receive
	mu        sync.Mutex   // held from a datagram's reading until its events are handed on
	open      sync.RWMutex // held while the socket must not be closed, by who may have mu or not
	buf       []byte
	event     Event
	dec       decoder
}

// Listen opens a socket for the kinds of events, in the network namespace of the calling
// thread. buffer is the size of its receive buffer in bytes; the kernel gives less to
// who is not privileged. It needs CAP_NET_ADMIN. Events are made only for entries that are
// newer than the first listener, unless net.netfilter.nf_conntrack_events is 1, and never
// if it is 0.
func Listen(kinds Kind, buffer int, l Layout) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK,
		unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for conntrack events: %w", err)
	}
	a := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kinds.groups()}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	if err == nil {
		err = unix.Bind(fd, a)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("set up the netlink socket for conntrack events: %w", err)
	}
	r := &Listener{fd: fd, buf: make([]byte, maxAnswer), dec: decoder{layout: l}, most: aReceive}
	if r.portID, err = nlread.PortID(fd); err == nil {
		err = r.wait.init(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("wait on the netlink socket for conntrack events: %w", err)
	}
	return r, nil
}

// PortID is the netlink port id of the socket.
func (r *Listener) PortID() uint32 { return r.portID }

// Join has the listener hear of kinds from now on as well.
func (r *Listener) Join(kinds Kind) error {
	return r.member(unix.NETLINK_ADD_MEMBERSHIP, kinds, "join")
}

// Leave has it hear of kinds no more. What was queued before is still received.
func (r *Listener) Leave(kinds Kind) error {
	return r.member(unix.NETLINK_DROP_MEMBERSHIP, kinds, "leave")
}

func (r *Listener) member(how int, kinds Kind, doing string) error {
	r.open.RLock()
	defer r.open.RUnlock()
	if r.closed.Load() {
		return fmt.Errorf("%s conntrack events: %w", doing, os.ErrClosed)
	}
	for i, group := range groups {
		if kinds&(1<<i) == 0 {
			continue
		}
		if err := unix.SetsockoptInt(r.fd, unix.SOL_NETLINK, how, int(group)); err != nil {
			return fmt.Errorf("%s conntrack events: %w", doing, err)
		}
	}
	return nil
}

// SetDeadline makes Receive return os.ErrDeadlineExceeded at t; never if t is zero.
func (r *Listener) SetDeadline(t time.Time) error {
	r.wait.setDeadline(t)
	return nil
}

// Close closes the socket and wakes Receive, which then returns os.ErrClosed.
func (r *Listener) Close() error {
	if r.closed.Swap(true) {
		return os.ErrClosed
	}
	r.wait.wake()
	r.receiving.Lock()
	defer r.receiving.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open.Lock()
	defer r.open.Unlock()
	return errors.Join(os.NewSyscallError("close", unix.Close(r.fd)), r.wait.close())
}

// aReceive is how many datagrams are read at once.
const aReceive = 256

// Receive waits for events and calls fn for each of TCP that there is. The event is valid
// during the call. After ErrEventsLost and os.ErrDeadlineExceeded it can be called again.
func (r *Listener) Receive(fn func(*Event)) error {
	r.receiving.Lock()
	defer r.receiving.Unlock()
	for !r.wait.over() {
		n, err := r.datagrams(fn)
		if n > 0 || err != nil {
			return r.explain(err)
		}
		if err := r.wait.sleep(); err != nil {
			return r.explain(err)
		}
	}
	return os.ErrDeadlineExceeded
}

// ReceiveWaiting is Receive for the events that there are, and waits for none. When it returns false, all
// that had happened before the call was given to a fn: also what a Receive at the same time has read. When
// it returns true there may be more.
func (r *Listener) ReceiveWaiting(fn func(*Event)) (more bool, err error) {
	n, err := r.datagrams(fn)
	return n == r.most, r.explain(err)
}

// explain turns an error of reading into one of Receive.
func (r *Listener) explain(err error) error {
	switch {
	case err == nil, errors.Is(err, os.ErrClosed):
		return err
	case errors.Is(err, unix.ENOBUFS):
		return ErrEventsLost
	}
	return fmt.Errorf("receive conntrack events: %w", err)
}

// datagrams calls fn for the events that there are, and returns how many datagrams it read.
func (r *Listener) datagrams(fn func(*Event)) (read int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return 0, os.ErrClosed
	}
	for read < r.most {
		n, err := unix.Read(r.fd, r.buf)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return read, nil
		case err != nil:
			return read, err
		default:
			read++
			r.each(r.buf[:n], fn)
		}
	}
	return read, nil
}

// each calls fn for the events of a datagram.
func (r *Listener) each(b []byte, fn func(*Event)) {
	for len(b) > 0 {
		var ok bool
		if b, ok = r.dec.event(b, &r.event); ok {
			fn(&r.event)
		}
	}
}

// event fills e from the first message of b; ok is false if that is no event of TCP.
func (d *decoder) event(b []byte, e *Event) (rest []byte, ok bool) {
	m, rest, ok := nlread.NextMessage(b)
	if !ok || len(m.Body) < genmsgLen {
		return rest, false
	}
	e.PortID = m.PortID
	isNew := m.Flags&unix.NLM_F_CREATE != 0
	typ, attrs := m.Type, m.Body[genmsgLen:]
	switch {
	case typ == subsysConntrack|msgNew && isNew:
		e.Kind = FlowNew
	case typ == subsysConntrack|msgNew:
		e.Kind = FlowUpdate
	case typ == subsysConntrack|msgDelete:
		e.Kind = FlowDestroy
	case typ == subsysExpect|msgNew:
		e.Kind = ExpectNew
	case typ == subsysExpect|msgDelete:
		e.Kind = ExpectDestroy
	default:
		return rest, false
	}
	if e.Kind >= ExpectNew {
		if ok = isTCP(attrs, expTuple); ok {
			d.expectation(attrs, &e.Expect)
		}
		return rest, ok
	}
	if ok = isTCP(attrs, ctaTupleOrig); ok {
		d.entry(attrs, &e.Entry)
	}
	return rest, ok
}
