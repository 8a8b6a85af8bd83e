package ruleset

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack"
)

// rule is one rule in both forms.
type rule struct {
	text  string
	exprs []expr.Any
}

// chain is a chain with its rules. A chain without hook is a goto's target.
type chain struct {
	name  string
	hook  *nftables.ChainHook
	rules []rule
}

const (
	portSet      = "ports"
	controlChain = "control"
	helperObject = "carrier"

	reg = unix.NFT_REG_1 // 16 bytes wide

	loopback = 1 // interface index of lo in every network namespace

	flagFIN, flagSYN, flagRST, flagACK = 0x01, 0x02, 0x04, 0x10

	payloadInner = 3 // NFT_PAYLOAD_INNER_HEADER, Linux 5.16
)

func chains(c Config) []chain {
	toControl := rule{
		"meta l4proto tcp ct original proto-dst @" + portSet + " goto " + controlChain,
		join(isTCP(), isOurPort(), gotoChain(controlChain)),
	}
	return []chain{
		{name: controlChain, rules: control(c)},
		{name: "prerouting", hook: nftables.ChainHookPrerouting, rules: []rule{
			{`iif "lo" return`, join(fromLoopback(), verdict(expr.VerdictReturn))}, // seen at output already
			toControl,
		}},
		{name: "output", hook: nftables.ChainHookOutput, rules: []rule{toControl}},
	}
}

// control is what happens to a packet of a control connection.
func control(c Config) []rule {
	queue, always := queueText(c), fmt.Sprintf("queue to %d", c.Queue)
	rules := []rule{{
		// The bit that marks the connection also makes the kernel give labels to
		// connections at all: it does so only while some rule sets one.
		"ct state new ct label set " + bit(conntrack.StateControl),
		join(isNew(), setLabel(conntrack.StateControl)),
	}}
	if c.Helper != "" {
		rules = append(rules, rule{
			`ct state new ct helper set "` + helperObject + `"`,
			join(isNew(), setHelper()),
		})
	}
	rules = append(rules,
		// A first packet is never queued: its entry cannot be looked up yet.
		rule{"ct state new return", join(isNew(), verdict(expr.VerdictReturn))},
		// While the kernel alone cannot translate a connection it waits for the
		// program to come back: its ends repeat what is dropped.
		rule{"ct label " + bit(conntrack.StateNoBypass) + " " + always, join(hasLabel(conntrack.StateNoBypass), toQueue(c, 0))},
		rule{"tcp flags & (fin | rst) != 0 " + queue, join(tcpFlags(flagFIN|flagRST, expr.CmpOpNeq, 0), toQueue(c, bypass))},
		rule{"tcp flags & (syn | ack) == (syn | ack) " + queue, join(tcpFlags(flagSYN|flagACK, expr.CmpOpEq, flagSYN|flagACK), toQueue(c, bypass))},
		rule{"ct label " + bit(conntrack.StateOpaque) + " return", join(hasLabel(conntrack.StateOpaque), verdict(expr.VerdictReturn))},
	)
	if !c.InnerHeader {
		return append(rules, rule{queue, toQueue(c, bypass)})
	}
	return append(rules,
		rule{"@ih,0,8 >= 0 " + queue, join(hasPayload(), toQueue(c, bypass))},
		rule{"ct label " + bit(conntrack.StateBusy) + " " + queue, join(hasLabel(conntrack.StateBusy), toQueue(c, bypass))},
	)
}

func join(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func isTCP() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{unix.IPPROTO_TCP}},
	}
}

func fromLoopback() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIF, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: binary.NativeEndian.AppendUint32(nil, loopback)},
	}
}

// isOurPort looks at the port that the client dialled, in both directions and
// whatever NAT makes of it.
func isOurPort() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyPROTODST, Register: reg, Direction: uint32(conntrack.Original)},
		&expr.Lookup{SourceRegister: reg, SetName: portSet},
	}
}

func isNew() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: reg},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4,
			Mask: binary.NativeEndian.AppendUint32(nil, expr.CtStateBitNEW), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: make([]byte, 4)},
	}
}

func tcpFlags(mask byte, op expr.CmpOp, value byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 1, Mask: []byte{mask}, Xor: []byte{0}},
		&expr.Cmp{Op: op, Register: reg, Data: []byte{value}},
	}
}

// hasPayload loads the first byte after the TCP header. The load ends the rule if
// there is none; the comparison is always true, nft wants one.
func hasPayload() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: reg, Base: payloadInner, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpGte, Register: reg, Data: []byte{0}},
	}
}

// label is a label with the bits of s, as it lies in memory on every machine.
func label(s conntrack.State) []byte {
	b := make([]byte, 16)
	binary.LittleEndian.PutUint16(b[14:], uint16(s))
	return b
}

// bit is the number that nft, which counts the bits of a label in host byte
// order, gives to the one bit in s on a little endian machine.
func bit(s conntrack.State) string {
	n := 14 * 8
	for ; s > 1; s >>= 1 {
		n++
	}
	return fmt.Sprint(n)
}

func setLabel(s conntrack.State) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: reg, Data: label(s)},
		&expr.Ct{Key: expr.CtKeyLABELS, Register: reg, SourceRegister: true},
	}
}

func hasLabel(s conntrack.State) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyLABELS, Register: reg},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 16, Mask: label(s), Xor: make([]byte, 16)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: make([]byte, 16)},
	}
}

func setHelper() []expr.Any {
	return []expr.Any{&expr.Objref{Type: unix.NFT_OBJECT_CT_HELPER, Name: helperObject}}
}

func verdict(k expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: k}} }

func gotoChain(name string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: name}}
}

// bypass lets a packet pass if no program has the queue: NFT_QUEUE_FLAG_BYPASS, NFQ_FLAG_BYPASS.
const bypass = 1

// toQueue queues the packet. If no program has the queue it is dropped, unless flags is bypass.
func toQueue(c Config, flags uint16) []expr.Any {
	if c.NativeQueue {
		return []expr.Any{&expr.Queue{Num: c.Queue, Total: 1, Flag: expr.QueueFlag(flags)}}
	}
	info := binary.NativeEndian.AppendUint16(nil, c.Queue) // struct xt_NFQ_info_v3, aligned to 8 bytes
	info = binary.NativeEndian.AppendUint16(info, 1)
	info = binary.NativeEndian.AppendUint16(info, flags)
	info = append(info, 0, 0)
	return []expr.Any{&expr.Target{Name: "NFQUEUE", Rev: 3, Info: (*xt.Unknown)(&info)}}
}

func queueText(c Config) string { return fmt.Sprintf("queue flags bypass to %d", c.Queue) }
