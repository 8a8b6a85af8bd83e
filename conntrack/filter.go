package conntrack

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxFiltered is how many ports the filter of a Listener compares: with more it lets the end of every
// entry through.
const maxFiltered = 64

// Filter has the kernel deliver, of all events, those of expectations; of entries that were expected their
// beginning and their end; of entries that were dialled at one of the ports their end, and what a program
// wrote in them; but nothing of what was done by one whose netlink port id is among own. The rest is not even
// queued then. It can be called again, also while Receive waits.
func (r *Listener) Filter(ports []uint16, own ...uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return fmt.Errorf("filter conntrack events: %w", os.ErrClosed)
	}
	prog := eventFilter(ports, own)
	err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
	if err != nil {
		return fmt.Errorf("filter conntrack events: %w", err)
	}
	return nil
}

// Where a classic BPF program finds a netlink attribute: in X its type, in A where to look, afterwards where
// it is, 0 if it is not there (__skb_get_nlattr in net/core/filter.c).
const (
	findAttr   = 0xfffff000 + 12 // SKF_AD_OFF + SKF_AD_NLATTR
	findNested = 0xfffff000 + 16 // SKF_AD_OFF + SKF_AD_NLATTR_NEST
	attrValue  = 4               // where its value begins, bytes
)

// portIDAt is where nlmsg_pid lies in a netlink message.
const portIDAt = 12

// They stand for the distance to the end of the program until it is known.
const (
	toAccept = 254
	toReject = 255
)

func eventFilter(ports []uint16, own []uint32) []unix.SockFilter {
	subsystem, message := uint32(5), uint32(4) // bytes of nlmsg_type
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		subsystem, message = message, subsystem
	}
	expected := ofExpected(message)
	p := []unix.SockFilter{op(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, portIDAt)}
	for _, id := range own {
		var b [4]byte // a filter loads in network byte order what is in the host's
		binary.NativeEndian.PutUint32(b[:], id)
		p = append(p, jump(unix.BPF_JEQ, binary.BigEndian.Uint32(b[:]), toReject, 0))
	}
	p = append(p,
		op(unix.BPF_LD|unix.BPF_B|unix.BPF_ABS, subsystem),
		jump(unix.BPF_JEQ, subsysExpect>>8, toAccept, 0),
	)
	p = append(p, find(ctaStatus)...)
	p = append(p,
		op(unix.BPF_LD|unix.BPF_W|unix.BPF_IND, attrValue),
		jump(unix.BPF_JSET, uint32(StatusExpected), 0, uint8(len(expected))),
	)
	p = append(p, expected...)
	p = append(p,
		op(unix.BPF_LD|unix.BPF_B|unix.BPF_ABS, message),
		jump(unix.BPF_JEQ, msgDelete, 2, 0),
		op(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, portIDAt),
		jump(unix.BPF_JEQ, 0, toReject, 0), // the kernel itself did it, for a packet
	)
	if len(ports) <= maxFiltered {
		p = append(p, portOf()...)
		for _, port := range ports {
			p = append(p, jump(unix.BPF_JEQ, uint32(port), toAccept, 0))
		}
		p = append(p, op(unix.BPF_RET|unix.BPF_K, 0))
	}
	return landed(p)
}

// ofExpected judges an event of an entry that was expected.
func ofExpected(message uint32) []unix.SockFilter {
	p := []unix.SockFilter{
		op(unix.BPF_LD|unix.BPF_B|unix.BPF_ABS, message),
		jump(unix.BPF_JEQ, msgDelete, toAccept, 0),
	}
	p = append(p, find(ctaProtoInfo, ctaProtoInfoTCP, ctaTCPState)...)
	return append(p,
		op(unix.BPF_LD|unix.BPF_B|unix.BPF_IND, attrValue),
		jump(unix.BPF_JEQ, uint32(TCPSynSent), toAccept, 0),
		op(unix.BPF_RET|unix.BPF_K, 0))
}

// portOf loads the port that the entry of an event was dialled at.
func portOf() []unix.SockFilter {
	return append(find(ctaTupleOrig, ctaTupleProto, ctaProtoDstPort),
		op(unix.BPF_LD|unix.BPF_H|unix.BPF_IND, attrValue))
}

// find goes to an attribute in attributes, and rejects what has it not.
func find(path ...uint32) []unix.SockFilter {
	p := []unix.SockFilter{op(unix.BPF_LD|unix.BPF_IMM, headerLen)}
	for i, typ := range path {
		how := uint32(findNested)
		if i == 0 {
			how = findAttr
		}
		p = append(p,
			op(unix.BPF_LDX|unix.BPF_IMM, typ),
			op(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, how),
			jump(unix.BPF_JEQ, 0, toReject, 0))
	}
	return append(p, op(unix.BPF_MISC|unix.BPF_TAX, 0))
}

// landed gives the program its two ends, and the jumps their distances.
func landed(p []unix.SockFilter) []unix.SockFilter {
	accept := len(p)
	for i := range p {
		for _, to := range []*uint8{&p[i].Jt, &p[i].Jf} {
			switch *to {
			case toAccept:
				*to = uint8(accept - i - 1)
			case toReject:
				*to = uint8(accept - i)
			}
		}
	}
	return append(p, op(unix.BPF_RET|unix.BPF_K, 1<<20), op(unix.BPF_RET|unix.BPF_K, 0))
}

func op(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func jump(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no}
}
