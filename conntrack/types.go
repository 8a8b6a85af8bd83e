package conntrack

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Tuple is one direction of a TCP flow as conntrack keys it: the source and
// destination of the packets that travel in that direction, before this
// machine translates them. IPv4 addresses are never IPv4-mapped.
type Tuple struct {
	Src, Dst netip.AddrPort
	Zone     uint16 // where packets of that direction are looked up: see Zone.In; 0: the default zone
}

// Reverse returns the tuple of a packet that answers one of t, in the same zone.
func (t Tuple) Reverse() Tuple { return Tuple{Src: t.Dst, Dst: t.Src, Zone: t.Zone} }

// Key is a tuple for maps, without pointers: both addresses in 16 bytes, both ports, and the zone.
type Key [38]byte

// Key returns the key of t. An IPv4 address has that of the IPv4-mapped one.
func (t Tuple) Key() (k Key) {
	src, dst := t.Src.Addr().As16(), t.Dst.Addr().As16()
	copy(k[:], src[:])
	copy(k[16:], dst[:])
	binary.BigEndian.PutUint16(k[32:], t.Src.Port())
	binary.BigEndian.PutUint16(k[34:], t.Dst.Port())
	binary.BigEndian.PutUint16(k[36:], t.Zone)
	return k
}

// Zone returns the zone of the tuple.
func (k *Key) Zone() uint16 { return binary.BigEndian.Uint16(k[36:]) }

// Dir is a direction of a flow, numbered as enum ip_conntrack_dir.
type Dir uint8

const (
	Original Dir = iota // from the side that opened the connection
	Reply               // from the other
)

// Opposite returns the other direction.
func (d Dir) Opposite() Dir { return d ^ 1 }

func (d Dir) String() string {
	if d == Original {
		return "original"
	}
	return "reply"
}

// State is what is remembered of a control connection in two bytes of its conntrack label,
// so that it outlives the program: see Layout. The queue rules read the bits that are named here;
// what the other ones mean is the business of whoever writes them.
type State uint16

const (
	StateControl  State = 1 << 0  // ours: set by the rules on the first packet
	StateBusy     State = 1 << 1  // pure ACKs must be queued too: the kernel alone cannot translate them yet
	StateOpaque   State = 1 << 2  // nothing of it needs to be queued
	StateNoBypass State = 1 << 10 // no packet may pass while no program has the queue

	StateDoorActive  State = 1 << 12 // a door waits for a connection to the client (PORT, EPRT), see Flight
	StateDoorPassive State = 1 << 13 // and one to the server (227, 229)

	// StateTurn counts, modulo 4, the programs that had it: whoever picks it up in the middle counts one
	// more, so that whoever had it before can tell.
	StateTurn State = 3 << 14
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

// Flight is what must be known beside SeqAdj while edits of one direction are not acknowledged
// yet. It lies in the label too. Bytes are the sender's.
type Flight struct {
	Port uint16 // of the door that waits: in [Original] where one connects to, in [Reply] where that leads
	Base int16  // how many bytes the edits in flight add
	End  uint16 // from the start of the line of the first to where the last ends, bytes; 0: there is none
}

// Flow is a conntrack entry of a control connection.
type Flow struct {
	ID     uint32 // CTA_ID; differs between two connections that reuse a tuple
	Tuple  [2]Tuple
	Zone   Zone
	Helper string // name of the attached helper; empty: none, so nothing can be expected

	SNAT, DNAT bool // IPS_SRC_NAT, IPS_DST_NAT

	State    State
	HasState bool // the entry has a label extension, so State can be stored

	Seq    [2]SeqAdj
	HasSeq bool // the entry has the seqadj extension, so the kernel can hold offsets
	Flight [2]Flight

	Opening bool // the kernel has not seen the end of TCP's handshake yet
}

// EvictsOldest tells whether the kernel makes room for a new expectation by dropping the one
// there is, so that it need not be withdrawn before. It does not for the same Src and Dst,
// and not with HelperOwn, under which several wait.
func (f *Flow) EvictsOldest() bool { return f.Helper == HelperCarrier }

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

// What the kernel answers when it does not make or find an entry.
var (
	ErrNotFound    = errors.New("no such conntrack entry")
	ErrPortTaken   = errors.New("another expectation has this port")
	ErrNoHelper    = errors.New("the control connection has no conntrack helper")
	ErrTableFull   = errors.New("the kernel's expectation table is full")
	ErrEntriesFull = errors.New("the kernel's table of connections is full")
	ErrUnsupported = errors.New("the kernel does not support this")
	ErrBusy        = errors.New("something waits on the conntrack entry")
)
