package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Ruleset is what an operator writes into the firewall of a gateway: NAT, and
// who may pass. It says nothing of FTP's data connections.
type Ruleset struct {
	// Masquerade names the devices on whose way out the source address
	// becomes the gateway's.
	Masquerade []string
	SNAT       []SNAT
	DNAT       []DNAT
	// Hairpin names networks whose hosts reach each other through a DNAT rule:
	// such connections are masqueraded, so that answers come back.
	Hairpin []netip.Prefix
	// Forward and Input are the policies of the two chains; nil accepts all.
	Forward, Input *Policy
}

// SNAT gives connections that leave through a device a source address.
type SNAT struct {
	Out string
	To  netip.Addr
}

// DNAT forwards a TCP port.
type DNAT struct {
	Dialled netip.AddrPort // what the client connects to
	To      netip.AddrPort // where the connection goes
}

// Policy drops all but what is established or related, ICMP, the loopback
// device, and new TCP connections that are accepted by name.
type Policy struct {
	Accept []Accept
	// DropRelated has expected connections dropped too, an operator's mistake.
	DropRelated bool
}

// Accept lets new TCP connections pass.
type Accept struct {
	In   string // device, or any
	Port uint16 // destination as the chain sees it, so after DNAT
}

const tableName = "operator"

// SetRules replaces the rules that SetRules made before, in the table
// `inet operator`, at once. Connections that stand keep their NAT.
func (h *Host) SetRules(r Ruleset) error {
	b, err := newBuilder(int(h.ns), tableName)
	if err != nil {
		return err
	}
	b.destinationNAT(r.DNAT)
	b.sourceNAT(r)
	b.policy("forward", nftables.ChainHookForward, r.Forward)
	b.policy("input", nftables.ChainHookInput, r.Input)
	if err := b.Flush(); err != nil {
		return fmt.Errorf("setting the firewall rules of host %s: %w", h, err)
	}
	return nil
}

// KernelHelper attaches the kernel's own FTP helper to TCP connections to a
// port, in the network namespace of the calling thread, in the table
// `inet kernel-helper`. It is what the gateway is compared to.
func KernelHelper(port uint16) error {
	b, err := newBuilder(0, "kernel-helper")
	if err != nil {
		return err
	}
	const name = "ftp"
	b.AddObj(&nftables.NamedObj{Table: b.table, Name: name, Type: nftables.ObjTypeCtHelper,
		Obj: &expr.CtHelper{Name: "ftp", L4Proto: unix.IPPROTO_TCP}})
	set := []expr.Any{&expr.Objref{Type: int(nftables.ObjTypeCtHelper), Name: name}}
	for chain, hook := range map[string]*nftables.ChainHook{
		"prerouting": nftables.ChainHookPrerouting, "output": nftables.ChainHookOutput,
	} {
		// After conntrack (-200), before the destination is changed (-100).
		c := b.chain(chain, nftables.ChainTypeFilter, hook, nftables.ChainPriorityMangle,
			nftables.ChainPolicyAccept)
		b.rule(c, tcpPort(port), set)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("attaching the kernel's FTP helper to port %d: %w", port, err)
	}
	return nil
}

// builder collects one table.
type builder struct {
	*nftables.Conn
	table *nftables.Table
}

// newBuilder starts a table that takes the place of the one with its name.
// A namespace of 0 is that of the calling thread.
func newBuilder(ns int, table string) (*builder, error) {
	// A kernel without nf_tables never answers.
	deadline := nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetDeadline(time.Now().Add(30 * time.Second))
	})
	c, err := nftables.New(nftables.WithNetNSFd(ns), deadline)
	if err != nil {
		return nil, fmt.Errorf("opening nf_tables: %w", err)
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: table}
	c.AddTable(t) // so that there is one to delete
	c.DelTable(t)
	return &builder{c, c.AddTable(t)}, nil
}

func (b *builder) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook,
	prio *nftables.ChainPriority, policy nftables.ChainPolicy) *nftables.Chain {
	return b.AddChain(&nftables.Chain{Name: name, Table: b.table, Type: kind, Hooknum: hook, Priority: prio,
		Policy: &policy})
}

func (b *builder) rule(c *nftables.Chain, parts ...[]expr.Any) {
	var exprs []expr.Any
	for _, p := range parts {
		exprs = append(exprs, p...)
	}
	b.AddRule(&nftables.Rule{Table: b.table, Chain: c, Exprs: exprs})
}

func (b *builder) destinationNAT(rules []DNAT) {
	in := b.chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting,
		nftables.ChainPriorityNATDest, nftables.ChainPolicyAccept)
	local := b.chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest,
		nftables.ChainPolicyAccept)
	for _, r := range rules {
		for _, c := range []*nftables.Chain{in, local} {
			b.rule(c, network(destination, netip.PrefixFrom(r.Dialled.Addr(), r.Dialled.Addr().BitLen())),
				tcpPort(r.Dialled.Port()), nat(expr.NATTypeDestNAT, r.To.Addr(), r.To.Port()))
		}
	}
}

func (b *builder) sourceNAT(r Ruleset) {
	c := b.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting,
		nftables.ChainPriorityNATSource, nftables.ChainPolicyAccept)
	for _, p := range r.Hairpin {
		b.rule(c, ctBits(expr.CtKeySTATUS, ipsDstNAT), network(source, p), network(destination, p),
			masquerade())
	}
	for _, s := range r.SNAT {
		b.rule(c, device(expr.MetaKeyOIFNAME, s.Out), family(s.To), nat(expr.NATTypeSourceNAT, s.To, 0))
	}
	for _, dev := range r.Masquerade {
		b.rule(c, device(expr.MetaKeyOIFNAME, dev), masquerade())
	}
}

func (b *builder) policy(name string, hook *nftables.ChainHook, p *Policy) {
	if p == nil {
		return
	}
	c := b.chain(name, nftables.ChainTypeFilter, hook, nftables.ChainPriorityFilter, nftables.ChainPolicyDrop)
	known := uint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	if p.DropRelated {
		known = expr.CtStateBitESTABLISHED
	}
	b.rule(c, ctBits(expr.CtKeySTATE, known), accept())
	b.rule(c, device(expr.MetaKeyIIFNAME, "lo"), accept())
	b.rule(c, protocol(unix.IPPROTO_ICMP), accept())
	b.rule(c, protocol(unix.IPPROTO_ICMPV6), accept())
	for _, a := range p.Accept {
		var in []expr.Any
		if a.In != "" {
			in = device(expr.MetaKeyIIFNAME, a.In)
		}
		b.rule(c, in, tcpPort(a.Port), accept())
	}
}

// ipsDstNAT is IPS_DST_NAT: the destination of the connection was changed.
const ipsDstNAT = 0x20

// field is where an address stands in the two network headers.
type field struct{ offset4, offset6 uint32 }

var (
	source      = field{12, 8}
	destination = field{16, 24}
)

// match compares register 1, into which load puts a value.
func match(load expr.Any, want []byte) []expr.Any {
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: want}}
}

func device(key expr.MetaKey, dev string) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, dev)
	return match(&expr.Meta{Key: key, Register: 1}, name)
}

func family(a netip.Addr) []expr.Any {
	proto := byte(unix.NFPROTO_IPV4)
	if a.Is6() {
		proto = unix.NFPROTO_IPV6
	}
	return match(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, []byte{proto})
}

func protocol(proto byte) []expr.Any {
	return match(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, []byte{proto})
}

func tcpPort(port uint16) []expr.Any {
	dport := match(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		binary.BigEndian.AppendUint16(nil, port))
	return append(protocol(unix.IPPROTO_TCP), dport...)
}

func network(f field, p netip.Prefix) []expr.Any {
	p = p.Masked()
	size, offset := uint32(p.Addr().BitLen()/8), f.offset4
	if p.Addr().Is6() {
		offset = f.offset6
	}
	return append(family(p.Addr()),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: ipNet(p).Mask,
			Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Addr().AsSlice()},
	)
}

func ctBits(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func nat(kind expr.NATType, to netip.Addr, port uint16) []expr.Any {
	proto := uint32(unix.NFPROTO_IPV4)
	if to.Is6() {
		proto = unix.NFPROTO_IPV6
	}
	e := &expr.NAT{Type: kind, Family: proto, RegAddrMin: 1}
	exprs := []expr.Any{&expr.Immediate{Register: 1, Data: to.AsSlice()}}
	if port != 0 {
		e.RegProtoMin = 2
		exprs = append(exprs, &expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, port)})
	}
	return append(exprs, e)
}

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
