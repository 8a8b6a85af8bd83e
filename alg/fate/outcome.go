package fate

import (
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// Outcome is what came of a door.
type Outcome uint8

const (
	Unknown    Outcome = iota // the kernel did not tell
	Used                      // its connection came, and was answered
	Unanswered                // its connection came, and nobody answered
	Rejected                  // its connection came, and was answered by a reset
	Dropped                   // the first packet came, and this machine dropped it
	Expired                   // nobody connected
	Withdrawn                 // it was closed before anybody connected
)

// Outcomes are the labels of the outcomes.
var Outcomes = [...]string{"unknown", "used", "unanswered", "rejected", "dropped", "expired", "withdrawn"}

func (o Outcome) String() string { return Outcomes[o] }

// Failed tells whether a transfer is likely to have failed for it.
func (o Outcome) Failed() bool { return o >= Unanswered && o <= Expired }

// Likely says what is the likely cause of a failure, and what to look at; empty if nothing failed.
func (o Outcome) Likely(m dialogue.Mode) string {
	dials, listens := "the client", "the server"
	if m.Active() {
		dials, listens = listens, dials
	}
	switch o {
	case Unanswered:
		return listens + " did not answer the SYN: look at its own firewall, " +
			"and at what lies between it and this machine"
	case Rejected:
		return listens + " refused the connection: nothing listens on that port any more, " +
			"or its own firewall rejects it"
	case Dropped:
		return "this machine dropped the SYN of " + dials + ": its firewall must accept 'ct state related'"
	case Expired:
		return dials + " did not dial, or its SYN did not come here: look at the address that it was told " +
			"(external_address), at its own firewall, and whether it allows this mode"
	}
	return ""
}

// Ending is how a data connection ended.
type Ending uint8

const (
	NoEnding Ending = iota // there was no connection, or the kernel did not tell
	Closed                 // both sides closed it
	Reset                  // one side reset it
	TimedOut               // the kernel forgot it before it was closed
)

// Endings are the labels of the endings.
var Endings = [...]string{"none", "closed", "reset", "timed_out"}

func (e Ending) String() string { return Endings[e] }

func endingOf(s conntrack.TCPState) Ending {
	switch s {
	case 0:
		return NoEnding
	case conntrack.TCPTimeWait, conntrack.TCPLastAck:
		return Closed
	case conntrack.TCPClosed:
		return Reset
	}
	return TimedOut
}

// Fate tells what came of a door, when that is known for good.
type Fate struct {
	Mode           dialogue.Mode
	Client, Server netip.AddrPort // of the control connection, as they know themselves
	Zone           uint16         // conntrack zone
	User           string         // if Names says so, as sent
	Open           netip.AddrPort // where the data connection was expected
	Target         netip.AddrPort // where it was led
	Outcome        Outcome
	Why            policy.Reason // why it was closed, if it was
	Opened         time.Time
	Waited         time.Duration // until the connection came, or nobody was waited for any more
	Lasted         time.Duration // the connection: until the final reply, or until it was found to be over
	Ending         Ending

	// FromClient and FromServer are what was sent, IP headers included, if Counted: that is with
	// net.netfilter.nf_conntrack_acct.
	FromClient, FromServer conntrack.Counter
	Counted                bool
}
