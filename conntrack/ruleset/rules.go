package ruleset

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

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
	offerChain   = "offer" // spreads over the workers what passes if nobody has their queues,
	holdChain    = "hold"  // and what waits then
	helperObject = "carrier"

	reg = unix.NFT_REG_1 // 16 bytes wide

	loopback = 1 // interface index of lo in every network namespace

	flagFIN, flagSYN, flagRST, flagACK = 0x01, 0x02, 0x04, 0x10

	metaInKind = 26 // NFT_META_IIFKIND, Linux 5.0

	payloadInner = 3 // NFT_PAYLOAD_INNER_HEADER, Linux 5.16

	// workerSeed of the hash that chooses the worker is any number but 0, for which
	// the kernel would take another one each time that the rules are installed.
	workerSeed = 0xf7
)

func chains(c Config) []chain {
	toControl := rule{
		"meta l4proto tcp ct original proto-dst @" + portSet + " goto " + controlChain,
		join(isTCP(), isOurPort(), gotoChain(controlChain)),
	}
	all := []chain{
		{name: controlChain, rules: control(c)},
		{name: "prerouting", hook: nftables.ChainHookPrerouting, rules: []rule{
			{`iif "lo" return`, join(fromLoopback(), verdict(expr.VerdictReturn))}, // seen at output already
			toControl,
		}},
		{name: "output", hook: nftables.ChainHookOutput, rules: []rule{toControl}},
	}
	if c.Workers > 1 {
		all = append(all,
			chain{name: offerChain, rules: spread(c, bypass)},
			chain{name: holdChain, rules: spread(c, 0)})
	}
	return all
}

// spread gives each worker a queue of its own, beginning with that of c, and all
// packets of a connection, whatever NAT makes of them, to one worker. The port of the
// client chooses it: the id of the entry, which would do too, changes when the entry is
// replaced (see conntrack.Conn.Replace).
func spread(c Config, flags uint16) []rule {
	var rules []rule
	for i := range c.Workers {
		text, exprs := countAndQueue(c, c.Queue+uint16(i), flags)
		if i < c.Workers-1 { // the last one takes the rest
			text = fmt.Sprintf("jhash ct original proto-src mod %d seed %#x %d %s",
				c.Workers, workerSeed, i, text)
			exprs = join(isWorker(c.Workers, i), exprs)
		}
		rules = append(rules, rule{text, exprs})
	}
	return rules
}

func isWorker(workers, i int) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyPROTOSRC, Register: reg, Direction: uint32(conntrack.Original)},
		&expr.Hash{Type: expr.HashTypeJenkins, SourceRegister: reg, DestRegister: reg, Length: 2,
			Modulus: uint32(workers), Seed: workerSeed},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: binary.NativeEndian.AppendUint32(nil, uint32(i))},
	}
}

// control is what happens to a packet of a control connection.
func control(c Config) []rule {
	rules := []rule{{
		// What comes by a VRF was here already, by the device that is in it. Of a packet that is queued this
		// time the kernel loses sight: vrf_rcv_finish in drivers/net/vrf.c does nothing.
		`meta iifkind "vrf" return`,
		join(fromKind("vrf"), verdict(expr.VerdictReturn)),
	}, {
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
	if c.Listened {
		rules = append(rules, rule{
			"ct event set " + strings.Join(eventNames, ","), setEvents(1<<len(eventNames) - 1),
		})
	}
	rules = append(rules,
		// A first packet is never queued: its entry cannot be looked up yet.
		rule{"ct state new return", join(isNew(), verdict(expr.VerdictReturn))},
		// While the kernel alone cannot translate a connection it waits for the
		// program to come back: its ends repeat what is dropped.
		queueing(c, 0, "ct label "+bit(conntrack.StateNoBypass), hasLabel(conntrack.StateNoBypass)),
		queueing(c, bypass, "tcp flags & (fin | rst) != 0", tcpFlags(flagFIN|flagRST, expr.CmpOpNeq, 0)),
		queueing(c, bypass, "tcp flags & (syn | ack) == (syn | ack)",
			tcpFlags(flagSYN|flagACK, expr.CmpOpEq, flagSYN|flagACK)),
		rule{"ct label " + bit(conntrack.StateOpaque) + " return",
			join(hasLabel(conntrack.StateOpaque), verdict(expr.VerdictReturn))},
	)
	if !c.InnerHeader {
		return append(rules, queueing(c, bypass, "", nil))
	}
	return append(rules,
		queueing(c, bypass, "@ih,0,8 >= 0", hasPayload()),
		queueing(c, bypass, "ct label "+bit(conntrack.StateBusy), hasLabel(conntrack.StateBusy)),
	)
}

// queueing is the rule that gives the program what matches.
func queueing(c Config, flags uint16, text string, match []expr.Any) rule {
	then, exprs := countAndQueue(c, c.Queue, flags)
	if c.Workers > 1 {
		to := holdChain
		if flags == bypass {
			to = offerChain
		}
		then, exprs = "goto "+to, gotoChain(to)
	}
	return rule{strings.TrimSpace(text + " " + then), join(match, exprs)}
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

func fromKind(kind string) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, kind)
	return []expr.Any{
		&expr.Meta{Key: metaInKind, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: name},
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

// eventNames are what the kernel tells of a control connection, as nft calls it; the place of a name is its
// number (enum ip_conntrack_events). That a label was changed is not among them: a change by a message is
// told at once, with all that changed. The kernel would tell of the label alone once more, with the next
// packet: listeners would read everything twice, and where that packet is one that strays to a standby,
// conntrackd takes it for news there and sends its copy back over what the active gateway has written since
// (nf_connlabels_replace in net/netfilter/nf_conntrack_labels.c). So the rule is for every packet: what
// conntrackd has made never was new here.
var eventNames = []string{
	"new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark", "seqadj", "secmark",
}

func setEvents(mask uint32) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: reg, Data: binary.NativeEndian.AppendUint32(nil, mask)},
		&expr.Ct{Key: expr.CtKeyEVENTMASK, Register: reg, SourceRegister: true},
	}
}

// label is a label with the bits of s, as it lies in memory on every machine.
func label(s conntrack.State) []byte {
	b := make([]byte, 16)
	binary.LittleEndian.PutUint16(b[14:], uint16(s))
	return b
}

// bit is the number that nft on this machine gives to the one bit in s.
func bit(s conntrack.State) string { return fmt.Sprint(bitNumber(s, binary.NativeEndian)) }

// bitNumber looks for the bit as nft does (ct_label_type_parse in its src/ct.c): a label is one number of
// 16 bytes in the byte order of the machine. The kernel counts by words, but what nft gives it is bytes.
func bitNumber(s conntrack.State, order binary.ByteOrder) int {
	b := label(s)
	if order.Uint16([]byte{1, 0}) == 1 {
		slices.Reverse(b) // the highest byte first
	}
	for i, v := range b {
		if v != 0 {
			return 8*(len(b)-1-i) + bits.TrailingZeros8(v)
		}
	}
	return -1
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

// countAndQueue counts the packet, for what no program sees is counted nowhere
// else, and queues it. If no program has the queue it is dropped, unless flags is
// bypass.
func countAndQueue(c Config, queue, flags uint16) (string, []expr.Any) {
	text := fmt.Sprintf("counter queue to %d", queue)
	if flags == bypass {
		text = fmt.Sprintf("counter queue flags bypass to %d", queue)
	}
	return text, []expr.Any{&expr.Counter{}, toQueue(c, queue, flags)}
}

func toQueue(c Config, queue, flags uint16) expr.Any {
	if c.NativeQueue {
		return &expr.Queue{Num: queue, Total: 1, Flag: expr.QueueFlag(flags)}
	}
	info := binary.NativeEndian.AppendUint16(nil, queue) // struct xt_NFQ_info_v3, aligned to 8 bytes
	info = binary.NativeEndian.AppendUint16(info, 1)
	info = binary.NativeEndian.AppendUint16(info, flags)
	info = append(info, 0, 0)
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: (*xt.Unknown)(&info)}
}
