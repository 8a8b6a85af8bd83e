package dialogue

import (
	"net/netip"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// Side is one end of the dialogue.
type Side uint8

const (
	Client Side = iota
	Server
)

// Mode is how a data connection was negotiated.
type Mode uint8

const (
	NoMode Mode = iota
	PORT
	EPRT
	PASV
	EPSV
)

// Modes are the labels of the modes.
var Modes = [...]string{"none", "port", "eprt", "pasv", "epsv"}

func (m Mode) String() string { return Modes[m] }

// Active tells whether the server opens the data connection.
func (m Mode) Active() bool { return m == PORT || m == EPRT }

// Request describes the door of one data connection.
type Request struct {
	Mode   Mode
	Src    netip.Addr     // who may connect
	Dst    netip.AddrPort // where it arrives before translation; its port is the one wished for
	Target netip.AddrPort // where it is led
	// whether the kernel leads it there: else no other port than the one wished for will do
	Translate bool

	// Unasked tells that no command that waits asks for it, as far as is known. It is right only if an
	// earlier process opened it; else the answer is policy.Unsolicited.
	Unasked bool
	Alone   bool // no other command waits for its reply
}

// Gate is what a dialogue asks of the gateway around it.
type Gate interface {
	// Open opens a door, closes the one before, and returns the port to name outside, or why it does not.
	Open(r Request) (port uint16, why policy.Reason)
	// Swallow tells whether the rest of a line, which comes in pieces, may be kept back until its end: it may
	// be one that asks for a door. asks tells that it may ask for one now, and that it is Alone.
	Swallow(from Side, asks bool) bool
	// Shut closes the door that waits, if there is one; policy.Used says that its connection came.
	Shut(why policy.Reason)
	// Tell says what happened. An answer to a Command that is not policy.None refuses it.
	Tell(n Notice) policy.Reason
}

// Notice tells of one thing that happened. Its slices are not to be kept.
type Notice struct {
	What    NoticeKind
	Why     policy.Reason
	Mode    Mode
	Verb    ftp.Verb
	Code    int    // of a reply
	Name    []byte // of a command, as it was sent
	Arg     []byte // of a command, without the blanks around it
	Alone   bool   // of a command: no other waits for its reply
	Line    []byte // as it was sent
	Was, Is []byte // the address in it, before and after
}

// NoticeKind is what a Notice tells.
type NoticeKind uint8

const (
	Command     NoticeKind = iota // the client said Line; Verb, Name, Arg
	Reply                         // the server answered the command Verb: Line; Code
	Opened                        // Mode; Was, Is: its address was passed on
	Refused                       // Why; Line
	LoginFailed                   // Code
)
