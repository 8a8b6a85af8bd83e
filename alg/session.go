package alg

import (
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

const (
	toServer = conntrack.Original // the direction of commands
	toClient = conntrack.Reply    // the direction of replies
)

// session is one control connection.
type session struct {
	flow   conntrack.Flow
	policy *Policy
	half   [2]rewrite.Half
	line   [2]line
	held   [2][]heldPacket
	tls    [2]tlsRecords

	waited  [2]bool   // the held packet waited too long for what precedes it
	claimed [2]uint32 // what the receiver acknowledged that we never saw, in original numbers
	claims  [2]bool   // whether it did

	begun bool   // the server's SYN/ACK was seen
	isn   uint32 // its sequence number

	unsure   [2]bool   // what the receiver has is not known: see resume.go
	asked    [2]bool   // it was sent a probe and did not answer yet
	probes   [2]uint8  // sent in a row
	midway   [2]bool   // the stream was picked up where a line need not start, and nothing read since
	proven   [2]bool   // since then the receiver acknowledged an edit of ours
	plain    [2]uint32 // what precedes this original number may have arrived untouched; see hasPlain
	hasPlain [2]bool
	before   [2]rewrite.Offset // the kernel's when it was picked up
	tangled  [2]bool           // the last edit needs us till it is acknowledged: see inFlight

	asks        asks
	multi       int  // code of the multi-line reply under way; 0: none
	credentials bool // USER, PASS or ACCT waits for its outcome
	bareLF      bool // the last command ended in a line feed alone
	over        bool // 221 or 421 was sent, or the connection ends
	overLimit   bool // one session too many of this client

	state   conntrack.State // what should be kept in the kernel
	stored  conntrack.State // what is kept there
	holds   holds
	liberal bool // the kernel was told to accept the numbers of offsets that the program holds

	open     conntrack.Expectation
	openMode Mode   // ModeNone: no port is open
	openAsk  uint32 // the number of the command that opened it
	openedAt time.Time

	client     *client
	counted    bool // in client.sessions
	lastSeen   time.Time
	prev, next *session // in order of lastSeen
}

// holds says who carries the offsets of a session once edits are acknowledged.
type holds uint8

const (
	holdsUnknown holds = iota // the kernel should be able to; not yet tried
	holdsKernel
	holdsProgram // no NAT here, or loopback: the kernel has no place for it
)

// Mode is how a data connection was negotiated.
type Mode uint8

const (
	ModeNone Mode = iota
	ModePORT
	ModeEPRT
	ModePASV
	ModeEPSV
)

// Modes are the labels of the modes.
var Modes = [...]string{"none", "port", "eprt", "pasv", "epsv"}

func (m Mode) String() string { return Modes[m] }

// active tells whether the server opens the data connection.
func (m Mode) active() bool { return m == ModePORT || m == ModeEPRT }

func modeOf(v ftp.Verb) Mode {
	if v == ftp.EPRT {
		return ModeEPRT
	}
	return ModePORT
}

// clientAddr and serverAddr are the peers as they know themselves: the client
// before source NAT, the server after destination NAT.
func (s *session) clientAddr() netip.AddrPort { return s.flow.Tuple[conntrack.Original].Src }
func (s *session) serverAddr() netip.AddrPort { return s.flow.Tuple[conntrack.Reply].Src }

// dialled is the address that the client connected to, outside the address that the server sees.
func (s *session) dialled() netip.Addr { return s.flow.Tuple[conntrack.Original].Dst.Addr() }
func (s *session) outside() netip.Addr { return s.flow.Tuple[conntrack.Reply].Dst.Addr() }

func (s *session) has(b conntrack.State) bool { return s.state&b != 0 }

func (s *session) set(b conntrack.State, on bool) {
	if on {
		s.state |= b
	} else {
		s.state &^= b
	}
}

// opaque tells whether nothing of the session is to be read.
func (s *session) opaque() bool { return s.has(conntrack.StateOpaque) }

// mayOpen tells why no port may be opened at all, or None.
func (s *session) mayOpen() Reason {
	switch {
	case s.has(conntrack.StateNotFTP):
		return NotFTP
	case s.over:
		return SessionOver
	case !s.has(conntrack.StateGreeted):
		return NotGreeted
	case !s.has(conntrack.StateLoggedIn):
		return NotLoggedIn
	case s.overLimit:
		return SessionLimit
	case s.flow.Helper == "":
		return NoHelper
	}
	return None
}
