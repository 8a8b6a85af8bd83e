package inspect

import (
	"net/netip"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// Report is what a capture had in it.
type Report struct {
	Frames      int
	NotTCP      int // frames without a whole TCP segment
	UnknownLink int // frames of a link type that cannot be read
	Controls    []*Control
}

// Control is one control connection.
type Control struct {
	Client, Server netip.AddrPort
	First, Last    int  // frames
	MidStream      bool // its start is not in the capture: it is taken as logged in
	TLS            bool // went over to TLS
	NotFTP         bool // the client spoke another protocol
	Channels       []Channel
	Refusals       []Refusal
}

// Channel is a data connection that would be let in.
type Channel struct {
	Frame int // where the line that negotiated it became whole
	Mode  dialogue.Mode
	For   netip.Addr     // who may connect
	Addr  netip.AddrPort // to where
}

// Refusal is a line for which nothing would be opened.
type Refusal struct {
	Frame  int
	Reason policy.Reason
	Line   string
}
