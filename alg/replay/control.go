package replay

import (
	"container/list"
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
)

// Control is one control connection.
type Control struct {
	Client  netip.AddrPort // as it knows itself
	Server  netip.AddrPort // as dialled
	Outside netip.AddrPort // the client as the server sees it, after source NAT
	Inside  netip.AddrPort // the server as it knows itself, after destination NAT

	First, Last int // frames
	Start, End  time.Time
	BothSides   bool   // the capture has it before and after NAT
	MidStream   bool   // its start is not in the capture: it is taken as logged in
	TLS         bool   // went over to TLS
	NotFTP      bool   // the client spoke another protocol
	Forgotten   bool   // it left to make room, before its end
	Packets     [2]int // from the client, from the server
	Cut         int    // frames of which the capture has only the beginning
	Gaps        [2]int // how often bytes are missing in the capture, from the client and from the server
	VLANs       []string

	Opened, Refused int
	Channels        []*Channel
	Refusals        []*Refusal
	Unlisted        int // channels and refusals beyond those in the lists

	flow    conntrack.Flow
	seen    []conntrack.Tuple // as the capture has it, two or four
	syn     uint32            // sequence number of the client's SYN, if it was seen
	mark    mark              // of its first packet
	hops    byte              // left of it
	waiting []kept            // its first packets: is there another side of a NAT?
	waits   bool
	fin     [2]bool
	over    bool
	spoke   bool       // FTP was spoken
	talk    exchange   // its lines
	open    []*Channel // that may still change
	place   *list.Element
}

// Bounds on what is kept of one control connection.
const (
	maxRows  = 256 // channels and refusals in the lists
	maxOpen  = 8   // channels of which something may still come
	maxVLANs = 4
)

// Channel is a data connection that would be let in.
type Channel struct {
	Frame  int // where the line that negotiated it became whole
	Time   time.Time
	Mode   string         // port, eprt, pasv, epsv
	For    netip.Addr     // who may connect
	Open   netip.AddrPort // to where
	Target netip.AddrPort // where it is led
	Was    string         // the address in the line
	Is     string         // what would be written in its place

	Asked    string // the command as sent: PORT, EPRT, PASV or EPSV; empty: not in the capture
	Reply    Reply  // to it
	Command  string // that used the channel, as sent; empty: none in the capture
	Transfer Reply  // to it: the final one, if it is there
	Shut     bool   // the gateway would have shut the port again, unused
	Data     Data

	keys    []dataKey
	control *Control
	tuple   conntrack.Tuple // of the data connection, as its opener sends
	settled bool
}

// Reply is a line of the server; Code is 0 if there was none.
type Reply struct {
	Frame int
	Code  int
	Text  string // without the line end
}

// Data is what a capture has of a data connection.
type Data struct {
	Frame      int // its first; 0: it is not in the capture
	Start, End time.Time
	FromClient int64 // bytes
	FromServer int64
	Fate       Fate
}

// Fate is how a data connection went.
type Fate string

// The fates.
const (
	NotSeen    Fate = "not_seen"   // it is not in the capture
	Unanswered Fate = "unanswered" // nobody answered its SYN
	Rejected   Fate = "rejected"   // its SYN was answered by a reset
	Open       Fate = "open"       // it does not end within the capture
	Closed     Fate = "closed"     // both sides said that they are done
	Reset      Fate = "reset"      // one side cut it off
)

// Refusal is a line for which nothing would be opened.
type Refusal struct {
	Frame  int
	Time   time.Time
	Reason string // the words of the log
	Line   []byte // as sent, with its end
}

// Sum is what a capture had in all.
type Sum struct {
	Frames      int
	First, Last time.Time
	NotTCP      int // frames without the header of a TCP segment
	UnknownLink int // frames of a link type that cannot be read
	Cut         int // frames of which the capture has only the beginning
	Controls    int
	Channels    int
	Refusals    int
	Forgotten   int      // control connections that left to make room
	NotTold     int      // connections to a range of ports on which no FTP was spoken
	Elsewhere   []uint16 // other ports on which FTP seems to be spoken
}

// Observer is told what a replay finds, as it happens. Functions that are nil are not called.
type Observer struct {
	Opened  func(*Control, *Channel)
	Refused func(*Control, *Refusal)
	Settled func(*Control, *Channel) // nothing more will be known of it
	Ended   func(*Control)           // last of all of a control connection
}

func (c *Control) noteVLAN(tags []byte) {
	for _, v := range c.VLANs {
		if v == string(tags) {
			return
		}
	}
	if len(tags) > 0 && len(c.VLANs) < maxVLANs {
		c.VLANs = append(c.VLANs, string(tags))
	}
}

// name fills in the ends from the flow.
func (c *Control) name() {
	o, r := c.flow.Tuple[conntrack.Original], c.flow.Tuple[conntrack.Reply]
	c.Client, c.Server, c.Outside, c.Inside = o.Src, o.Dst, r.Dst, r.Src
}

// room tells whether the lists take one more row.
func (c *Control) room() bool {
	if len(c.Channels)+len(c.Refusals) < maxRows {
		return true
	}
	c.Unlisted++
	return false
}
