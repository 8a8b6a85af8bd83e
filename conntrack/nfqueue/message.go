package nfqueue

import (
	"encoding/binary"
	"math"
	"time"

	nfq "github.com/florianl/go-nfqueue/v2"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// Numbers of include/uapi/linux/netfilter/nfnetlink_queue.h.
const (
	subsysQueue = 3 << 8 // NFNL_SUBSYS_QUEUE

	msgPacket   = subsysQueue
	msgVerdict  = subsysQueue | 1
	msgConfig   = subsysQueue | 2
	msgVerdicts = subsysQueue | 3 // NFQNL_MSG_VERDICT_BATCH: on all packets until one

	attrPacketHeader  = 1
	attrVerdictHeader = 2
	attrTimestamp     = 4
	attrInDev         = 5
	attrOutDev        = 6
	attrPayload       = 10
	attrCT            = 11
	attrCTInfo        = 12
	attrCapLen        = 13

	cfgCmd    = 1
	cfgParams = 2
	cfgMaxLen = 3
	cfgMask   = 4
	cfgFlags  = 5

	cmdBind = 1
)

const (
	genHeaderLen = 4
	messageStart = unix.NLMSG_HDRLEN + genHeaderLen

	// copyRange is the most that the kernel copies of a packet: what fits into
	// one attribute (NFQNL_MAX_COPY_RANGE).
	copyRange = 0xffff - unix.SizeofNlAttr
	// packetRoom holds a message with a payload of that size: its other
	// attributes, of which VLAN and link layer header are the largest, take less
	// than 1 KiB.
	packetRoom = copyRange + 1024

	verdictSeq = 0              // sequence number of all verdicts
	tellSeq    = math.MaxUint32 // and of what TellEntries asks for
	// verdictRoom is the size of a verdict without payload.
	verdictRoom = messageStart + unix.SizeofNlAttr + 8
)

var padding [3]byte

// appendHeader begins a message to the queue; the length is written by setLen.
func appendHeader(b []byte, typ, flags uint16, seq uint32, queue uint16) []byte {
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)     // portid: the kernel knows it
	b = append(b, unix.AF_UNSPEC, 0)               // family, NFNETLINK_V0
	return binary.BigEndian.AppendUint16(b, queue) // res_id
}

func setLen(msg []byte, n int) { binary.NativeEndian.PutUint32(msg, uint32(n)) }

func appendAttr(b []byte, typ uint16, value ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	return appendPadded(b, value)
}

func appendAttr32(b []byte, typ uint16, v uint32) []byte {
	return appendAttr(b, typ, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// configMessage binds the queue and sets everything about it, so that the kernel
// does it in one go and no packet meets a half-made queue.
func configMessage(queue uint16, maxLen, flags, seq uint32) []byte {
	b := appendHeader(nil, msgConfig, unix.NLM_F_REQUEST|unix.NLM_F_ACK, seq, queue)
	b = appendAttr(b, cfgCmd, cmdBind, 0, 0, 0)
	b = appendAttr(b, cfgParams, 0, 0, byte(copyRange>>8), byte(copyRange&0xff), nfq.NfQnlCopyPacket)
	b = appendAttr32(b, cfgMaxLen, maxLen)
	b = appendAttr32(b, cfgFlags, flags)
	b = appendAttr32(b, cfgMask, flags)
	setLen(b, len(b))
	return b
}

// tellMessage asks for the entries of packets.
func tellMessage(queue uint16) []byte {
	b := appendHeader(nil, msgConfig, unix.NLM_F_REQUEST, tellSeq, queue)
	b = appendAttr32(b, cfgFlags, nfq.NfQaCfgFlagConntrack)
	b = appendAttr32(b, cfgMask, nfq.NfQaCfgFlagConntrack)
	setLen(b, len(b))
	return b
}

// appendVerdict writes a verdict with sequence number 0 and a payload, which the kernel
// takes over if it is not empty (nfqnl_recv_verdict).
func appendVerdict(b []byte, queue uint16, id uint32, v Verdict, payload []byte) []byte {
	at := len(b)
	b = appendHeader(b, msgVerdict, unix.NLM_F_REQUEST, verdictSeq, queue)
	b = appendAttr(b, attrVerdictHeader,
		0, 0, 0, v.number(), byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
	if len(payload) > 0 {
		b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(payload)))
		b = binary.NativeEndian.AppendUint16(b, attrPayload)
		b = appendPadded(b, payload)
	}
	setLen(b[at:], len(b)-at)
	return b
}

// acceptUntil makes of a message that accepts a packet one that accepts all until a later one.
func acceptUntil(msg []byte, id uint32) {
	binary.NativeEndian.PutUint16(msg[4:], msgVerdicts)
	binary.BigEndian.PutUint32(msg[messageStart+unix.SizeofNlAttr+4:], id)
}

// verdictID returns the packet of a message that appendVerdict wrote.
func verdictID(msg []byte) uint32 {
	return binary.BigEndian.Uint32(msg[messageStart+unix.SizeofNlAttr+4:])
}

func seqOf(msg []byte) uint32 { return binary.NativeEndian.Uint32(msg[8:]) }

func appendPadded(b, v []byte) []byte {
	b = append(b, v...)
	return append(b, padding[:-len(v)&3]...)
}

// kind tells what a datagram from the kernel is.
type kind uint8

const (
	other  kind = iota // nothing to act on
	packet             // a packet, now in the Packet
	answer             // NLMSG_ERROR: an acknowledgement or a refusal
)

// decode reads the first message of a datagram; nfnetlink_queue puts one in
// each. For an answer it returns the sequence number and the errno, 0 for success.
func decode(b []byte, p *Packet) (k kind, seq uint32, errno unix.Errno) {
	m, _, _ := nlread.NextMessage(b)
	switch {
	case m.Type == unix.NLMSG_ERROR && len(m.Body) >= 4:
		return answer, m.Seq, unix.Errno(-int32(binary.NativeEndian.Uint32(m.Body)))
	case m.Type == msgPacket && len(m.Body) >= genHeaderLen:
		if parsePacket(m.Body[genHeaderLen:], p) {
			return packet, m.Seq, 0
		}
	}
	return other, m.Seq, 0
}

// parsePacket reads the attributes of a packet; false if it has no id to answer.
func parsePacket(b []byte, p *Packet) (found bool) {
	*p = Packet{}
	whole, info, entry := -1, uint32(0), []byte(nil)
	for typ, v, rest, ok := nlread.NextAttr(b); ok; typ, v, rest, ok = nlread.NextAttr(rest) {
		switch {
		case typ == attrPacketHeader && len(v) >= 4: // struct nfqnl_msg_packet_hdr
			p.ID, found = nlread.U32(v), true
		case typ == attrTimestamp && len(v) >= 16: // struct nfqnl_msg_packet_timestamp, in seconds and µs
			p.Time = time.Unix(int64(nlread.U64(v)), int64(nlread.U64(v[8:]))*1000)
		case typ == attrInDev:
			p.InDev = nlread.U32(v)
		case typ == attrOutDev:
			p.OutDev = nlread.U32(v)
		case typ == attrPayload:
			p.Payload = v
		case typ == attrCapLen && len(v) >= 4:
			whole = int(nlread.U32(v))
		case typ == attrCT:
			entry = v
		case typ == attrCTInfo:
			info = nlread.U32(v)
		}
	}
	if entry != nil {
		zone, id := conntrack.EntryOf(entry)
		p.Zone, p.Entry = zone.In(direction(info)), id
	}
	p.Truncated = whole > len(p.Payload)
	return found
}

// direction is that of a packet with an enum ip_conntrack_info.
func direction(info uint32) conntrack.Dir {
	const reply = 3 // IP_CT_IS_REPLY
	if info >= reply {
		return conntrack.Reply
	}
	return conntrack.Original
}
