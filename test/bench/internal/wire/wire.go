package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/ftpalg/ftpalg/test/lab"
)

// perAddress is how many sessions have the same two addresses; their ports tell them apart.
const perAddress = 20000

// Networks beyond the two hosts, which neither answers for: what comes is swallowed.
var (
	clients = netip.MustParsePrefix("10.99.0.0/24")
	servers = netip.MustParsePrefix("198.51.100.0/24")
)

// Wire sends the packets of any number of sessions through a gateway. One goroutine may use it.
type Wire struct {
	outside        netip.Addr // what the gateway makes of the client's address
	client, server *sender
	sessions       []session
	used           int // sessions ever opened: none gets the ports of another
}

// session is what both ends know of it.
type session struct {
	client, dialled, seen netip.AddrPort // seen: the client as the server sees it
	cseq, sseq            uint32         // the next of either end
}

// New prepares the hosts of a network whose gateway masquerades.
func New(r *lab.Routed) (*Wire, error) {
	w := &Wire{outside: r.Outside.Addr(false)}
	err := errors.Join(
		r.Gateway.Route(clients, r.Client.Addr(false)),
		r.Gateway.Route(servers, r.Server.Addr(false)))
	if err != nil {
		return nil, err
	}
	if w.client, err = newSender(r.Client); err != nil {
		return nil, err
	}
	if w.server, err = newSender(r.Server); err != nil {
		w.client.close()
		return nil, err
	}
	return w, nil
}

// Close closes the sockets. The sessions stay in the gateway: see [Wire.End].
func (w *Wire) Close() {
	w.client.close()
	w.server.close()
}

// Len is how many sessions there are.
func (w *Wire) Len() int { return len(w.sessions) }

// line is what one end says to log in.
type line struct {
	toServer bool
	text     string
}

var login = []line{
	{false, "220 ready\r\n"}, {true, "USER u\r\n"}, {false, "331 password\r\n"},
	{true, "PASS p\r\n"}, {false, "230 in\r\n"},
}

// Open opens n more sessions and logs them in. After each step of a group of them it calls settle,
// which is to wait until the gateway has handled all that was sent.
func (w *Wire) Open(n int, settle func() error) error {
	const group = 500
	for n > 0 {
		first, k := len(w.sessions), min(n, group)
		for range k {
			w.sessions = append(w.sessions, w.next())
		}
		if err := w.open(w.sessions[first:], settle); err != nil {
			return fmt.Errorf("opening sessions %d to %d: %w", first, first+k, err)
		}
		n -= k
	}
	return nil
}

func (w *Wire) next() session {
	i := w.used
	w.used++
	block, port := byte(1+i/perAddress%250), uint16(10000+i%perAddress)
	return session{
		client:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 99, 0, block}), port),
		dialled: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, block}), lab.ControlPort),
		seen:    netip.AddrPortFrom(w.outside, port),
		cseq:    uint32(i)*7919 + 1, sseq: uint32(i)*104729 + 1,
	}
}

func (w *Wire) open(group []session, settle func() error) error {
	for i := range group {
		s := &group[i]
		if err := w.put(true, s, s.cseq-1, 0, syn, ""); err != nil {
			return err
		}
	}
	if err := w.settle(settle); err != nil {
		return err
	}
	for i := range group {
		s := &group[i]
		if err := w.put(false, s, s.sseq-1, s.cseq, syn|ack, ""); err != nil {
			return err
		}
	}
	if err := w.settle(settle); err != nil {
		return err
	}
	for i := range group {
		if err := w.acknowledge(&group[i]); err != nil {
			return err
		}
	}
	for _, l := range login {
		if err := w.settle(settle); err != nil {
			return err
		}
		for i := range group {
			if err := w.say(&group[i], l.toServer, l.text); err != nil {
				return err
			}
		}
	}
	return w.settle(settle)
}

func (w *Wire) settle(f func() error) error {
	if err := w.flush(); err != nil {
		return err
	}
	return f()
}

func (w *Wire) flush() error { return errors.Join(w.client.flush(), w.server.flush()) }

// put sends one segment, at the latest with the next flush.
func (w *Wire) put(toServer bool, s *session, seq, acked uint32, flags byte, text string) error {
	from, to, via := s.client, s.dialled, w.client
	if !toServer {
		from, to, via = s.dialled, s.seen, w.server
	}
	return via.add(segment(via.room(), from, to, seq, acked, flags, []byte(text)))
}

// say sends a line that acknowledges all that the other end said.
func (w *Wire) say(s *session, toServer bool, text string) error {
	seq, acked := &s.cseq, s.sseq
	if !toServer {
		seq, acked = &s.sseq, s.cseq
	}
	at := *seq
	*seq += uint32(len(text))
	return w.put(toServer, s, at, acked, psh|ack, text)
}

func (w *Wire) acknowledge(s *session) error { return w.put(true, s, s.cseq, s.sseq, ack, "") }

// NOOPs has each of the first k sessions send n commands and get their replies, one after the other:
// 2 k n packets.
func (w *Wire) NOOPs(k, n int) error {
	defer pinned()()
	for range n {
		for _, toServer := range []bool{true, false} {
			if err := w.round(k, toServer); err != nil {
				return err
			}
		}
	}
	return nil
}

// round is one line of each of the first k sessions.
func (w *Wire) round(k int, toServer bool) error {
	text := "200 ok\r\n"
	if toServer {
		text = "NOOP\r\n"
	}
	for i := range w.sessions[:k] {
		if err := w.say(&w.sessions[i], toServer, text); err != nil {
			return err
		}
	}
	return w.flush()
}

// Flood has the first k sessions exchange NOOPs at rate packets a second for so long, and
// returns how many packets were sent, which is less than asked for if this machine cannot.
func (w *Wire) Flood(k int, rate float64, d time.Duration) (sent int, err error) {
	defer pinned()()
	start := time.Now()
	for toServer := true; ; toServer = !toServer {
		now := time.Since(start)
		if now >= d {
			return sent, nil
		}
		if due := time.Duration(float64(sent) / rate * float64(time.Second)); due > now {
			time.Sleep(min(due, d) - now)
		}
		if err := w.round(k, toServer); err != nil {
			return sent, err
		}
		sent += k
	}
}

// End ends all sessions, by a FIN of either end and the last acknowledgement.
func (w *Wire) End(settle func() error) error {
	for len(w.sessions) > 0 {
		group := w.sessions[:min(500, len(w.sessions))]
		for i := range group {
			s := &group[i]
			err := errors.Join(
				w.put(false, s, s.sseq, s.cseq, fin|ack, ""), w.server.flush(),
				w.put(true, s, s.cseq, s.sseq+1, fin|ack, ""), w.client.flush(),
				w.put(false, s, s.sseq+1, s.cseq+1, ack, ""), w.server.flush())
			if err != nil {
				return err
			}
		}
		if err := w.settle(settle); err != nil {
			return err
		}
		w.sessions = w.sessions[len(group):]
	}
	w.sessions = nil
	return nil
}

// pinned keeps the goroutine on its thread, which keeps the packets of one call in order.
func pinned() func() {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
