package conntrack

import (
	"time"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
)

// Entry is all that the kernel tells of a conntrack entry. What it does not tell is zero;
// an event tells less than a lookup (ctnetlink_conntrack_event in
// net/netfilter/nf_conntrack_netlink.c): a label and offsets only if they changed, the
// helper not at the end.
type Entry struct {
	Flow
	Label   [16]byte // all of it, with what others keep there
	Master  Tuple    // original tuple of the connection that expected this one
	Status  Status
	Mark    uint32
	Timeout time.Duration // what is left, whole seconds
	TCP     TCP
	Proxied bool // SYNPROXY answered its SYN, and translates numbers and timestamps since

	// Counters are there with net.netfilter.nf_conntrack_acct, by direction.
	Counters    [2]Counter
	HasCounters bool

	// Start and Stop are Unix nanoseconds, with net.netfilter.nf_conntrack_timestamp.
	Start, Stop int64
}

// Counter is what passed in one direction, IP headers included.
type Counter struct{ Packets, Bytes uint64 }

// Answered tells whether a packet of the other side was seen: false for a SYN that
// nobody answered. A reset is an answer.
func (e *Entry) Answered() bool { return e.Status&StatusSeenReply != 0 }

// Expected tells whether the connection was expected by another one.
func (e *Entry) Expected() bool { return e.Status&StatusExpected != 0 }

// Status are the bits of enum ip_conntrack_status.
type Status uint32

const (
	StatusExpected  Status = 1 << 0  // IPS_EXPECTED
	StatusSeenReply Status = 1 << 1  // IPS_SEEN_REPLY
	StatusAssured   Status = 1 << 2  // IPS_ASSURED: both sides were seen to talk
	StatusConfirmed Status = 1 << 3  // IPS_CONFIRMED
	StatusSrcNAT    Status = 1 << 4  // IPS_SRC_NAT
	StatusDstNAT    Status = 1 << 5  // IPS_DST_NAT
	StatusDying     Status = 1 << 9  // IPS_DYING
	StatusOffload   Status = 1 << 14 // IPS_OFFLOAD: a flow table has it
)

// TCP is what connection tracking knows of the connection, by direction where it is two.
type TCP struct {
	State       TCPState
	Flags       [2]uint8 // IP_CT_TCP_FLAG_ bits
	WindowScale [2]uint8
}

// TCPState is a state of enum tcp_conntrack; 0 if it was not told.
type TCPState uint8

const (
	TCPSynSent     TCPState = 1 + iota // nobody answered yet
	TCPSynReceived                     // answered, not yet acknowledged
	TCPEstablished
	TCPFinWait
	TCPCloseWait
	TCPLastAck
	TCPTimeWait // both sides have closed
	TCPClosed   // reset
	TCPSynSent2 // both sides sent a SYN
)

var tcpStates = [...]string{"unknown", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT",
	"CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"}

// String is the name that /proc/net/nf_conntrack has for it.
func (s TCPState) String() string {
	if int(s) >= len(tcpStates) {
		return tcpStates[0]
	}
	return tcpStates[s]
}

// decoder reads what ctnetlink tells of entries and expectations. It allocates for a name
// that is none of the last few only.
type decoder struct {
	layout Layout
	names  [4]string
	oldest int
}

// name returns b, up to its NUL, as a string.
func (d *decoder) name(b []byte) string {
	b = nlread.Text(b)
	if len(b) == 0 {
		return ""
	}
	for _, s := range d.names {
		if s == string(b) {
			return s
		}
	}
	s := string(b)
	d.names[d.oldest] = s
	d.oldest = (d.oldest + 1) % len(d.names)
	return s
}

// flow fills f from the attributes of an IPCTNL_MSG_CT_NEW message.
func (d *decoder) flow(b []byte, f *Flow) {
	*f = Flow{}
	for typ, v, rest, ok := nlread.NextAttr(b); ok; typ, v, rest, ok = nlread.NextAttr(rest) {
		d.flowAttr(typ, v, f)
	}
	f.HasSeq = f.HasSeq || f.NAT() && f.Helper != ""
	f.placed()
}

func (d *decoder) flowAttr(typ uint16, v []byte, f *Flow) {
	zoneIn(typ, v, &f.Zone)
	switch typ {
	case ctaTupleOrig:
		f.Tuple[Original] = parseTuple(v)
	case ctaTupleReply:
		f.Tuple[Reply] = parseTuple(v)
	case ctaStatus:
		status := Status(nlread.U32(v))
		f.SNAT, f.DNAT = status&StatusSrcNAT != 0, status&StatusDstNAT != 0
	case ctaID:
		f.ID = nlread.U32(v)
	case ctaHelp:
		f.Helper = d.name(nlread.Attr(v, ctaHelpName))
	case ctaProtoInfo:
		switch parseTCP(nlread.Attr(v, ctaProtoInfoTCP)).State {
		case TCPSynSent, TCPSynReceived, TCPSynSent2:
			f.Opening = true
		}
	case ctaLabels:
		f.State, f.Flight, f.HasState = d.layout.parse(v)
	case ctaSeqAdjOrig:
		f.Seq[Original], f.HasSeq = parseSeqAdj(v), true
	case ctaSeqAdjReply:
		f.Seq[Reply], f.HasSeq = parseSeqAdj(v), true
	}
}

// entry fills e from the attributes of an IPCTNL_MSG_CT_NEW or _DELETE message.
func (d *decoder) entry(b []byte, e *Entry) {
	*e = Entry{}
	for typ, v, rest, ok := nlread.NextAttr(b); ok; typ, v, rest, ok = nlread.NextAttr(rest) {
		d.flowAttr(typ, v, &e.Flow)
		e.attr(typ, v)
	}
	e.HasSeq = e.HasSeq || e.NAT() && e.Helper != ""
	e.placed()
	if e.Master.Src.IsValid() {
		e.Master.Zone = e.Zone.In(Original) // a connection is expected in the zone of its master alone
	}
}

func (e *Entry) attr(typ uint16, v []byte) {
	switch typ {
	case ctaLabels:
		copy(e.Label[:], v)
	case ctaTupleMaster:
		e.Master = parseTuple(v)
	case ctaStatus:
		e.Status = Status(nlread.U32(v))
	case ctaMark:
		e.Mark = nlread.U32(v)
	case ctaTimeout:
		e.Timeout = time.Duration(nlread.U32(v)) * time.Second
	case ctaProtoInfo:
		e.TCP = parseTCP(nlread.Attr(v, ctaProtoInfoTCP))
	case ctaCountersOrig:
		e.Counters[Original], e.HasCounters = parseCounter(v), true
	case ctaCountersReply:
		e.Counters[Reply], e.HasCounters = parseCounter(v), true
	case ctaSynProxy: // is there, and zero, in every entry that a program made
		for typ, v, rest, ok := nlread.NextAttr(v); ok; typ, v, rest, ok = nlread.NextAttr(rest) {
			e.Proxied = e.Proxied || typ != 0 && nlread.U32(v) != 0
		}
	case ctaTimestamp:
		e.Start = int64(nlread.U64(nlread.Attr(v, ctaTimestampStart)))
		e.Stop = int64(nlread.U64(nlread.Attr(v, ctaTimestampStop)))
	}
}

func parseTCP(b []byte) (t TCP) {
	for typ, v, rest, ok := nlread.NextAttr(b); ok; typ, v, rest, ok = nlread.NextAttr(rest) {
		if len(v) == 0 {
			continue
		}
		switch typ {
		case ctaTCPState:
			t.State = TCPState(v[0])
		case ctaTCPScaleOrig:
			t.WindowScale[Original] = v[0]
		case ctaTCPScaleReply:
			t.WindowScale[Reply] = v[0]
		case ctaTCPFlagsOrig: // struct nf_ct_tcp_flags: flags, mask
			t.Flags[Original] = v[0]
		case ctaTCPFlagsReply:
			t.Flags[Reply] = v[0]
		}
	}
	return t
}

func parseCounter(b []byte) Counter {
	packets, bytes := nlread.Attr(b, ctaCountersPackets), nlread.Attr(b, ctaCountersBytes)
	return Counter{Packets: nlread.U64(packets), Bytes: nlread.U64(bytes)}
}

func parseSeqAdj(b []byte) SeqAdj {
	return SeqAdj{
		Pos:    nlread.U32(nlread.Attr(b, ctaSeqAdjPos)),
		Before: int32(nlread.U32(nlread.Attr(b, ctaSeqAdjBefore))),
		After:  int32(nlread.U32(nlread.Attr(b, ctaSeqAdjAfter))),
	}
}
