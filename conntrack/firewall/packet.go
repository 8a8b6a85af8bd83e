package firewall

// Answer tells whether something is so.
type Answer uint8

// The answers, so that the least of two is that of both together.
const (
	No Answer = iota
	Maybe
	Yes
)

// State is what connection tracking thinks of a packet, as nftables and iptables write it.
type State uint32

// States of NF_CT_STATE_BIT in include/uapi/linux/netfilter/nf_conntrack_common.h.
const (
	Established State = 1 << 1
	Related     State = 1 << 2
	New         State = 1 << 3
)

func (s State) String() string {
	return map[State]string{Established: "established", Related: "related", New: "new"}[s]
}

// Packet is what is known of a segment of TCP.
type Packet struct {
	Port  uint16 // destination; 0: some port that no rule names
	State State
}
