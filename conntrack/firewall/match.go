package firewall

import (
	"bytes"
	"encoding/binary"

	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
)

// matcher is one rule as it is met by a packet.
type matcher struct {
	packet Packet
	table  *table
	regs   map[uint32][]byte // what is known of them

	answer    Answer
	saysState bool // it asks for the state
	verdicts  []verdict
	doubt     bool // which of the verdicts is not known
	acts      []Act
}

// run meets the packet with a rule.
func (m *matcher) run(rule []expression) {
	m.answer = Yes
	for _, e := range rule {
		if m.one(e); m.answer == No {
			return
		}
	}
}

func (m *matcher) least(a Answer) { m.answer = min(m.answer, a) }

func (m *matcher) one(e expression) {
	d := e.data
	switch e.name {
	case "meta":
		m.meta(d)
	case "payload":
		m.payload(d)
	case "ct":
		m.ct(d)
	case "bitwise":
		m.bitwise(d)
	case "cmp":
		m.compare(d)
	case "range":
		m.within(d)
	case "lookup":
		m.lookup(d)
	case "match":
		m.least(m.match(d))
	case "limit", "quota", "connlimit":
		m.least(Maybe)
	case "counter", "log":
	default:
		m.act(e)
	}
}

func (m *matcher) load(d []byte, attr uint16, value []byte) {
	if reg := nlread.Attr(d, attr); reg != nil {
		m.regs[nlread.U32(reg)] = value
	}
}

func (m *matcher) meta(d []byte) {
	var v []byte
	if nlread.U32(nlread.Attr(d, unix.NFTA_META_KEY)) == unix.NFT_META_L4PROTO {
		v = []byte{unix.IPPROTO_TCP}
	}
	m.load(d, unix.NFTA_META_DREG, v)
}

func (m *matcher) payload(d []byte) {
	base := nlread.U32(nlread.Attr(d, unix.NFTA_PAYLOAD_BASE))
	at := nlread.U32(nlread.Attr(d, unix.NFTA_PAYLOAD_OFFSET))
	size := nlread.U32(nlread.Attr(d, unix.NFTA_PAYLOAD_LEN))
	const protocol, nextHeader = 9, 6 // where they stand in the headers
	var v []byte
	switch {
	case base == unix.NFT_PAYLOAD_TRANSPORT_HEADER && at == 2 && size == 2:
		v = m.port()
	case base == unix.NFT_PAYLOAD_NETWORK_HEADER && size == 1 &&
		(at == protocol && m.table.family == unix.NFPROTO_IPV4 ||
			at == nextHeader && m.table.family == unix.NFPROTO_IPV6):
		v = []byte{unix.IPPROTO_TCP}
	}
	m.load(d, unix.NFTA_PAYLOAD_DREG, v)
}

// port is that of the packet.
func (m *matcher) port() []byte {
	if m.packet.Port == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint16(nil, m.packet.Port)
}

func (m *matcher) ct(d []byte) {
	key := nlread.U32(nlread.Attr(d, unix.NFTA_CT_KEY))
	if from := nlread.Attr(d, unix.NFTA_CT_SREG); from != nil {
		switch key {
		case unix.NFT_CT_LABELS:
			m.acts = append(m.acts, Act{Kind: SetsLabel})
		case unix.NFT_CT_ZONE:
			a := Act{Kind: SetsZone}
			if v := m.regs[nlread.U32(from)]; len(v) >= 2 {
				a.Zone = binary.NativeEndian.Uint16(v)
			}
			m.acts = append(m.acts, a)
		}
		return
	}
	var v []byte
	switch key {
	case unix.NFT_CT_STATE:
		v = binary.NativeEndian.AppendUint32(nil, uint32(m.packet.State))
		m.saysState = true
	case unix.NFT_CT_PROTOCOL:
		v = []byte{unix.IPPROTO_TCP}
	case unix.NFT_CT_PROTO_DST:
		v = m.port()
	}
	m.load(d, unix.NFTA_CT_DREG, v)
}

func (m *matcher) bitwise(d []byte) {
	v := m.regs[nlread.U32(nlread.Attr(d, unix.NFTA_BITWISE_SREG))]
	mask := nlread.Attr(nlread.Attr(d, unix.NFTA_BITWISE_MASK), unix.NFTA_DATA_VALUE)
	xor := nlread.Attr(nlread.Attr(d, unix.NFTA_BITWISE_XOR), unix.NFTA_DATA_VALUE)
	var out []byte
	if v != nil && len(mask) <= len(v) && len(mask) == len(xor) && len(mask) > 0 {
		for i := range mask {
			out = append(out, v[i]&mask[i]^xor[i])
		}
	}
	m.load(d, unix.NFTA_BITWISE_DREG, out)
}

func (m *matcher) compare(d []byte) {
	v := m.regs[nlread.U32(nlread.Attr(d, unix.NFTA_CMP_SREG))]
	with := nlread.Attr(nlread.Attr(d, unix.NFTA_CMP_DATA), unix.NFTA_DATA_VALUE)
	if len(v) == 0 || len(v) < len(with) {
		m.least(Maybe)
		return
	}
	order := bytes.Compare(v[:len(with)], with)
	so := false
	switch nlread.U32(nlread.Attr(d, unix.NFTA_CMP_OP)) {
	case unix.NFT_CMP_EQ:
		so = order == 0
	case unix.NFT_CMP_NEQ:
		so = order != 0
	case unix.NFT_CMP_LT:
		so = order < 0
	case unix.NFT_CMP_LTE:
		so = order <= 0
	case unix.NFT_CMP_GT:
		so = order > 0
	case unix.NFT_CMP_GTE:
		so = order >= 0
	}
	m.least(answer(so))
}

func answer(so bool) Answer {
	if so {
		return Yes
	}
	return No
}

func (m *matcher) within(d []byte) {
	v := m.regs[nlread.U32(nlread.Attr(d, unix.NFTA_RANGE_SREG))]
	from := nlread.Attr(nlread.Attr(d, unix.NFTA_RANGE_FROM_DATA), unix.NFTA_DATA_VALUE)
	to := nlread.Attr(nlread.Attr(d, unix.NFTA_RANGE_TO_DATA), unix.NFTA_DATA_VALUE)
	if len(v) == 0 || len(v) < len(from) || len(from) != len(to) {
		m.least(Maybe)
		return
	}
	v = v[:len(from)]
	in := bytes.Compare(v, from) >= 0 && bytes.Compare(v, to) <= 0
	m.least(answer(in == (nlread.U32(nlread.Attr(d, unix.NFTA_RANGE_OP)) == unix.NFT_RANGE_EQ)))
}

func (m *matcher) lookup(d []byte) {
	const invert = 1 // NFT_LOOKUP_F_INV
	s := m.table.sets[text(d, unix.NFTA_LOOKUP_SET)]
	found, verdicts := s.find(m.regs[nlread.U32(nlread.Attr(d, unix.NFTA_LOOKUP_SREG))])
	if nlread.U32(nlread.Attr(d, unix.NFTA_LOOKUP_FLAGS))&invert != 0 {
		found = Yes - found
	}
	m.least(found)
	to := nlread.Attr(d, unix.NFTA_LOOKUP_DREG)
	switch {
	case to == nil:
	case nlread.U32(to) == unix.NFT_REG_VERDICT:
		m.verdicts, m.doubt = verdicts, found != Yes
	default:
		m.regs[nlread.U32(to)] = nil
	}
}

// match is a match of iptables.
func (m *matcher) match(d []byte) Answer {
	name := text(d, unix.NFTA_MATCH_NAME)
	rev := nlread.U32(nlread.Attr(d, unix.NFTA_MATCH_REV))
	info, err := xt.Unmarshal(name, xt.TableFamily(m.table.family), rev,
		nlread.Attr(d, unix.NFTA_MATCH_INFO))
	if err != nil {
		return Maybe
	}
	switch i := info.(type) {
	case *xt.ConntrackMtinfo3:
		return m.state(i.MatchFlags, i.InvertFlags, uint32(i.StateMask))
	case *xt.ConntrackMtinfo2:
		return m.state(i.MatchFlags, i.InvertFlags, uint32(i.StateMask))
	case *xt.ConntrackMtinfo1:
		return m.state(i.MatchFlags, i.InvertFlags, uint32(i.StateMask))
	case *xt.Tcp:
		return m.ports(i)
	case *xt.Udp:
		return No
	case *xt.Comment:
		return Yes
	}
	return Maybe
}

func (m *matcher) state(flags, invert uint16, mask uint32) Answer {
	const state, alias = uint16(xt.ConntrackState), uint16(xt.ConntrackStateAlias)
	if flags&state == 0 {
		return Maybe
	}
	m.saysState = true
	if (uint32(m.packet.State)&mask != 0) == (invert&state != 0) {
		return No
	}
	if flags&^(state|alias) != 0 {
		return Maybe
	}
	return Yes
}

func (m *matcher) ports(i *xt.Tcp) Answer {
	const notDestination = 0x02 // XT_TCP_INV_DSTPT
	all := [2]uint16{0, 65535}
	switch {
	case i.DstPorts == all:
	case m.packet.Port == 0:
		return Maybe
	case (m.packet.Port >= i.DstPorts[0] && m.packet.Port <= i.DstPorts[1]) ==
		(i.InvFlags&notDestination != 0):
		return No
	}
	if i.SrcPorts != all || i.FlagsMask != 0 || i.Option != 0 {
		return Maybe
	}
	return Yes
}
