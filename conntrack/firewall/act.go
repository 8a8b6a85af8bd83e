package firewall

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
)

// Kind is what a rule does beside letting a packet pass or not.
type Kind uint8

// The kinds that matter to a helper.
const (
	AttachesHelper Kind = iota
	NotTracked
	SetsLabel
	SetsZone
	Masquerades
)

// Act is what some rule does to the packet.
type Act struct {
	Kind     Kind
	Helper   string // its name in the kernel
	Template bool   // attached before there is an entry, and so before every other one
	Zone     uint16 // that it sets; 0 if it is not known

	Sure     bool // else it depends on what is not known of the packet
	Chain    string
	Hook     uint32 // NF_INET_…
	Priority int32
}

// act is what does not match but do.
func (m *matcher) act(e expression) {
	switch e.name {
	case "immediate":
		m.immediate(e.data)
	case "reject":
		m.verdicts = []verdict{{code: nfDrop, known: true}}
	case "masq":
		m.acts = append(m.acts, Act{Kind: Masquerades})
		m.verdicts = []verdict{{code: nfAccept, known: true}}
	case "nat", "redir":
		m.verdicts = []verdict{{code: nfAccept, known: true}}
	case "queue": // some program decides
		m.verdicts, m.doubt = []verdict{{code: nfAccept, known: true}}, true
	case "notrack":
		m.acts = append(m.acts, Act{Kind: NotTracked})
	case "objref":
		m.object(e.data)
	case "target":
		m.target(e.data)
	case "flow_offload":
	default: // it may load anything
		clear(m.regs)
	}
}

func (m *matcher) immediate(d []byte) {
	data := nlread.Attr(d, unix.NFTA_IMMEDIATE_DATA)
	if nlread.U32(nlread.Attr(d, unix.NFTA_IMMEDIATE_DREG)) == unix.NFT_REG_VERDICT {
		m.verdicts = []verdict{parseVerdict(nlread.Attr(data, unix.NFTA_DATA_VERDICT))}
		return
	}
	m.load(d, unix.NFTA_IMMEDIATE_DREG, nlread.Attr(data, unix.NFTA_DATA_VALUE))
}

func (m *matcher) object(d []byte) {
	const typ, name = 1, 2 // NFTA_OBJREF_IMM_TYPE, NFTA_OBJREF_IMM_NAME
	if nlread.U32(nlread.Attr(d, typ)) != unix.NFT_OBJECT_CT_HELPER {
		return
	}
	if helper := m.table.helpers[text(d, name)]; helper != "" {
		m.acts = append(m.acts, Act{Kind: AttachesHelper, Helper: helper})
	}
}

// target is a target of iptables.
func (m *matcher) target(d []byte) {
	switch text(d, unix.NFTA_TARGET_NAME) {
	case "CT":
		m.ctTarget(nlread.Attr(d, unix.NFTA_TARGET_INFO))
	case "NOTRACK":
		m.acts = append(m.acts, Act{Kind: NotTracked})
	case "MASQUERADE":
		m.acts = append(m.acts, Act{Kind: Masquerades})
		m.verdicts = []verdict{{code: nfAccept, known: true}}
	case "SNAT", "DNAT", "REDIRECT":
		m.verdicts = []verdict{{code: nfAccept, known: true}}
	case "REJECT":
		m.verdicts = []verdict{{code: nfDrop, known: true}}
	case "NFQUEUE": // some program decides
		m.verdicts, m.doubt = []verdict{{code: nfAccept, known: true}}, true
	}
}

// ctTarget reads struct xt_ct_target_info: flags, zone, two event masks, and 16 bytes of
// the helper's name.
func (m *matcher) ctTarget(info []byte) {
	const at, size, notrack = 12, 16, 1
	if len(info) < at+size {
		return
	}
	if binary.NativeEndian.Uint16(info)&notrack != 0 {
		m.acts = append(m.acts, Act{Kind: NotTracked})
	}
	if zone := binary.NativeEndian.Uint16(info[2:]); zone != 0 {
		m.acts = append(m.acts, Act{Kind: SetsZone, Zone: zone})
	}
	if name, _, _ := bytes.Cut(info[at:at+size], []byte{0}); len(name) > 0 {
		m.acts = append(m.acts, Act{Kind: AttachesHelper, Helper: string(name), Template: true})
	}
}
