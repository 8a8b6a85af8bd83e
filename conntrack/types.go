package conntrack

import (
	"errors"
	"net/netip"
	"time"
)

// Tuple is one direction of a TCP flow as conntrack keys it: the source and
// destination of the packets that travel in that direction, before this
// machine translates them. IPv4 addresses are never IPv4-mapped.
type Tuple struct {
	Src, Dst netip.AddrPort
}

// Reverse returns the tuple of a packet that answers one of t.
func (t Tuple) Reverse() Tuple { return Tuple{Src: t.Dst, Dst: t.Src} }

// Dir is a direction of a flow, numbered as enum ip_conntrack_dir.
type Dir uint8

const (
	Original Dir = iota // the side that opened the connection: the FTP client
	Reply               // the FTP server
)

// Opposite returns the other direction.
func (d Dir) Opposite() Dir { return d ^ 1 }

func (d Dir) String() string {
	if d == Original {
		return "original"
	}
	return "reply"
}

// State is what is remembered of a control connection in the last two bytes (14 and 15) of its
// conntrack label, so that it outlives the program. The queue rules read the bits that are named
// here; the others are their writer's.
type State uint16

const (
	StateControl  State = 1 << 0  // ours: set by the rules on the first packet
	StateBusy     State = 1 << 1  // pure ACKs must be queued too: the kernel alone cannot translate them yet
	StateOpaque   State = 1 << 2  // nothing of it needs to be queued
	StateNoBypass State = 1 << 10 // no packet may pass while no program has the queue
)

// SeqAdj is the kernel's sequence adjustment of one direction
// (struct nf_ct_seqadj): a packet whose sequence number is after Pos is moved by
// After, every other one by Before, and acknowledgements of the other direction
// are moved back.
type SeqAdj struct {
	Pos    uint32 // sequence number as the sender counts, host byte order
	Before int32  // bytes
	After  int32  // bytes
}

// Flight is what must be known beside SeqAdj, which is that of the last edit, while edits
// of one direction are not acknowledged yet. It lies in the label too. Bytes are the sender's.
type Flight struct {
	Back uint16 // how many bytes before Pos+1 the line of the first of them starts
	Base int16  // what to add to Before for the offset there, in bytes
	End  uint16 // how many bytes behind Pos the last of them ends; 0: none is in flight
}

// Flow is a conntrack entry of a control connection.
type Flow struct {
	ID     uint32 // CTA_ID; differs between two connections that reuse a tuple
	Tuple  [2]Tuple
	Helper string // name of the attached helper; empty: none, so nothing can be expected

	SNAT, DNAT bool // IPS_SRC_NAT, IPS_DST_NAT

	State    State
	HasState bool // the entry has a label extension, so State can be stored

	Seq    [2]SeqAdj
	HasSeq bool // the entry has the seqadj extension, so the kernel can hold offsets
	Flight [2]Flight
}

// NAT tells whether the kernel translates an address or port of the flow.
func (f *Flow) NAT() bool { return f.SNAT || f.DNAT }

// HoldsOffsets tells whether the kernel can be given the sequence offsets of the flow. With a
// helper of user space it cannot: then it applies them to every packet that comes back from a
// queue, whosever queue it is (nf_confirm_cthelper), and once more when the packet leaves.
func (f *Flow) HoldsOffsets() bool { return f.HasSeq && f.Helper != HelperOwn }

// Direction tells which direction of the flow a packet with tuple t belongs to.
func (f *Flow) Direction(t Tuple) Dir {
	if t == f.Tuple[Original] {
		return Original
	}
	return Reply
}

// Update is a change to a conntrack entry. Zero fields change nothing.
type Update struct {
	StateMask State // which bits of State to write
	State     State

	// Seq holds the adjustments to write where SetSeq is true.
	Seq    [2]SeqAdj
	SetSeq [2]bool

	// Flight holds what to write of the edits in flight where SetFlight is true.
	Flight    [2]Flight
	SetFlight [2]bool

	// Liberal has window tracking accept every number (IP_CT_TCP_FLAG_BE_LIBERAL, both
	// directions): it looks at numbers that are translated only later. SetSeq implies it.
	Liberal bool
}

// Expectation lets one data connection through: from any port of Src to Dst.
type Expectation struct {
	Master Tuple          // original tuple of the control connection
	Src    netip.Addr     // who may connect
	Dst    netip.AddrPort // where it will connect to, as seen before translation

	// Target is where the connection is to end. It is used if Translate is
	// true: then the kernel also gives the connection the source address that
	// the control connection has on that side ("nat-follow-master").
	Translate bool
	Dir       Dir // direction of the data connection as seen from the control connection: Reply if the server connects (PORT), Original if the client does (PASV)
	Target    netip.AddrPort

	Timeout time.Duration // rounded to seconds
}

// What the kernel answers when it does not make or find an entry.
var (
	ErrNotFound    = errors.New("no such conntrack entry")
	ErrPortTaken   = errors.New("another expectation has this port")
	ErrNoHelper    = errors.New("the control connection has no conntrack helper")
	ErrTableFull   = errors.New("the kernel's expectation table is full")
	ErrUnsupported = errors.New("the kernel does not support this")
)
