package fate

import (
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/conntrack"
)

// Story is that of a door, from its opening to the end of its data connection.
type Story struct {
	Fate
	Door conntrack.Expectation // as the kernel has it

	watched bool      // the kernel tells of it
	shutAt  time.Time // when it was shut, or was gone; zero: it is open
	used    bool      // it was gone because a packet came

	data        conntrack.Tuple // original tuple of the data connection; zero: it did not come
	came        time.Time
	established bool
	state       conntrack.TCPState
	ended       bool // nothing will be added

	said time.Time // when the server said that it is over; zero: it did not, or it was not so
	mark time.Time // when it came, or that
	look time.Time // when to ask the kernel for it
	gone bool      // the kernel had none when it was asked

	full    time.Duration // the most that was left of the control connection's timeout
	renewal time.Time     // when to look at it next
}

// NewStory begins the story of a door that is opened for the control connection between client and server,
// as they know themselves.
func NewStory(
	m dialogue.Mode, client, server netip.AddrPort, x *conntrack.Expectation, now time.Time,
) *Story {
	return &Story{Door: *x, Fate: Fate{
		Mode: m, Client: client, Server: server, Zone: x.Zone.ID, Target: x.Target, Opened: now,
	}}
}

// Came tells whether the data connection came.
func (s *Story) Came() bool { return !s.came.IsZero() }

// Waits tells whether the door is open.
func (s *Story) Waits() bool { return !s.ended && !s.Came() && s.shutAt.IsZero() }

// Flows tells whether the data connection is there.
func (s *Story) Flows() bool { return !s.ended && s.Came() }

// Ended tells whether it is known what came of the door.
func (s *Story) Ended() bool { return s.ended }

// Left is how long the door will be open yet.
func (s *Story) Left(now time.Time) time.Duration {
	return max(0, s.Door.Timeout-now.Sub(s.Opened))
}

// found takes note of what the kernel tells of the data connection. Assured: the handshake was completed.
func (s *Story) found(e *conntrack.Entry) {
	to := e.TCP.State
	if to != 0 {
		s.state = to
	}
	s.established = s.established || e.Status&conntrack.StatusAssured != 0 ||
		to != 0 && to != conntrack.TCPSynSent && to != conntrack.TCPClosed
	s.count(e)
}

// count notes what the kernel counted.
func (s *Story) count(e *conntrack.Entry) {
	if !e.HasCounters {
		return
	}
	s.Counted, s.FromClient, s.FromServer = true, e.Counters[conntrack.Original], e.Counters[conntrack.Reply]
	if s.Mode.Active() {
		s.FromClient, s.FromServer = s.FromServer, s.FromClient
	}
}

// flowed ends the story of a data connection that is gone at a time.
func (s *Story) flowed(at time.Time) {
	s.Lasted, s.Ending = max(0, at.Sub(s.came)), endingOf(s.state)
	switch {
	case s.established:
		s.Outcome = Used
	case s.state == conntrack.TCPClosed:
		s.Outcome = Rejected
	default:
		s.Outcome = Unanswered
	}
}
