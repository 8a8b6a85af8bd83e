package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	labelLen  = 16 // NF_CT_LABELS_MAX_SIZE, bytes
	stateAt   = 14 // State lies in the last two bytes of the label, little endian
	flightAt  = 2  // before it a Flight for each direction, little endian
	flightLen = 6
)

// Flow looks up the entry that has t as the tuple of one of its directions, in
// the default conntrack zone. The error is ErrNotFound if there is none; the
// first packet of a connection has none yet, because its entry is only
// confirmed when the packet leaves the machine.
//
// A kernel tells of a label only if one of its bits is set and of a sequence
// adjustment only after one was set (ctnetlink_dump_labels and
// ctnetlink_dump_ct_seq_adj in net/netfilter/nf_conntrack_netlink.c). So HasState
// says that the label is not empty, which is so for every connection that the
// queue rules have marked with StateControl, and HasSeq that NAT was set up
// after a helper was attached, which is when nf_nat_setup_info adds the extension.
func (c *Conn) Flow(t Tuple) (Flow, error) {
	family, err := familyOf(t.Src.Addr(), t.Dst.Addr())
	if err != nil {
		return Flow{}, fmt.Errorf("look up conntrack entry %v: %w", t, err)
	}
	c.start(subsysConntrack|msgGet, 0, family).tuple(ctaTupleOrig, t)
	var f Flow
	if err := c.send(); err != nil {
		return Flow{}, fmt.Errorf("look up conntrack entry %v: %w", t, err)
	}
	for {
		attrs, done, err := c.next()
		switch {
		case errors.Is(err, unix.ENOENT):
			return Flow{}, fmt.Errorf("look up conntrack entry %v: %w", t, ErrNotFound)
		case err != nil:
			return Flow{}, fmt.Errorf("look up conntrack entry %v: %w", t, err)
		case done:
			return f, nil
		}
		c.parseFlow(attrs, &f)
	}
}

// parseFlow fills f from the attributes of an IPCTNL_MSG_CT_NEW message.
func (c *Conn) parseFlow(b []byte, f *Flow) {
	*f = Flow{}
	for {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			break
		}
		b = rest
		switch typ {
		case ctaTupleOrig:
			f.Tuple[Original] = parseTuple(v)
		case ctaTupleReply:
			f.Tuple[Reply] = parseTuple(v)
		case ctaStatus:
			status := be32(v)
			f.SNAT, f.DNAT = status&ipsSrcNAT != 0, status&ipsDstNAT != 0
		case ctaID:
			f.ID = be32(v)
		case ctaHelp:
			f.Helper = c.helper(cstring(attr(v, ctaHelpName)))
		case ctaLabels:
			f.State, f.Flight, f.HasState = parseLabel(v)
		case ctaSeqAdjOrig:
			f.Seq[Original], f.HasSeq = parseSeqAdj(v), true
		case ctaSeqAdjReply:
			f.Seq[Reply], f.HasSeq = parseSeqAdj(v), true
		}
	}
	f.HasSeq = f.HasSeq || f.NAT() && f.Helper != ""
}

func (c *Conn) helper(name []byte) string {
	if string(name) != c.lastHelper {
		c.lastHelper = string(name)
	}
	return c.lastHelper
}

func parseLabel(label []byte) (s State, flight [2]Flight, ok bool) {
	if len(label) != labelLen {
		return 0, flight, false
	}
	for d := range flight {
		b := label[flightAt+flightLen*d:]
		flight[d] = Flight{Back: binary.LittleEndian.Uint16(b), Base: int16(binary.LittleEndian.Uint16(b[2:])), End: binary.LittleEndian.Uint16(b[4:])}
	}
	return State(binary.LittleEndian.Uint16(label[stateAt:])), flight, true
}

func parseSeqAdj(b []byte) SeqAdj {
	return SeqAdj{
		Pos:    be32(attr(b, ctaSeqAdjPos)),
		Before: int32(be32(attr(b, ctaSeqAdjBefore))),
		After:  int32(be32(attr(b, ctaSeqAdjAfter))),
	}
}

// Empty tells whether nothing is to be changed.
func (u *Update) Empty() bool {
	return u.StateMask == 0 && u.SetSeq == [2]bool{} && u.SetFlight == [2]bool{} && !u.Liberal
}

// Update changes the entry whose original tuple is orig, with one message. The
// error is ErrNotFound if the connection is gone and ErrUnsupported if its entry
// has no room for labels, which is so for a connection that is older than the
// queue rules. The kernel silently ignores a sequence adjustment for an entry
// without that extension: see Flow.HasSeq.
func (c *Conn) Update(orig Tuple, u Update) error {
	if u.Empty() {
		return nil
	}
	family, err := familyOf(orig.Src.Addr(), orig.Dst.Addr())
	if err != nil {
		return fmt.Errorf("update conntrack entry %v: %w", orig, err)
	}
	e := c.start(subsysConntrack|msgNew, 0, family)
	e.tuple(ctaTupleOrig, orig)
	e.update(u)
	switch err := c.do(); {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("update conntrack entry %v: %w", orig, ErrNotFound)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("update conntrack entry %v: it has no room for a label because it is older than the queue rules: %w", orig, ErrUnsupported)
	case err != nil:
		return fmt.Errorf("update conntrack entry %v: %w", orig, err)
	}
	return nil
}

func (e *encoder) update(u Update) {
	if u.StateMask != 0 || u.SetFlight != [2]bool{} {
		e.label(u)
	}
	if u.Liberal || u.SetSeq != [2]bool{} {
		e.liberal()
	}
	if u.SetSeq[Original] {
		e.seqAdj(ctaSeqAdjOrig, u.Seq[Original])
	}
	if u.SetSeq[Reply] {
		e.seqAdj(ctaSeqAdjReply, u.Seq[Reply])
	}
}

// label writes the bits to change and their mask. The kernel XORs: bits outside the mask must be 0.
func (e *encoder) label(u Update) {
	var label, mask [labelLen]byte
	binary.LittleEndian.PutUint16(label[stateAt:], uint16(u.State&u.StateMask))
	binary.LittleEndian.PutUint16(mask[stateAt:], uint16(u.StateMask))
	for d, set := range u.SetFlight {
		if set {
			at := flightAt + flightLen*d
			binary.LittleEndian.PutUint16(label[at:], u.Flight[d].Back)
			binary.LittleEndian.PutUint16(label[at+2:], uint16(u.Flight[d].Base))
			binary.LittleEndian.PutUint16(label[at+4:], u.Flight[d].End)
			copy(mask[at:], "\xff\xff\xff\xff\xff\xff")
		}
	}
	e.bytes(ctaLabels, label[:])
	e.bytes(ctaLabelsMask, mask[:])
}

// liberal sets IP_CT_TCP_FLAG_BE_LIBERAL in both directions and leaves the state
// and the window scale as they are. The value is struct nf_ct_tcp_flags: flags,
// mask.
func (e *encoder) liberal() {
	info := e.nest(ctaProtoInfo)
	tcp := e.nest(ctaProtoInfoTCP)
	e.bytes(ctaTCPFlagsOrig, []byte{tcpBeLiberal, tcpBeLiberal})
	e.bytes(ctaTCPFlagsReply, []byte{tcpBeLiberal, tcpBeLiberal})
	e.end(tcp)
	e.end(info)
}

func (e *encoder) seqAdj(typ uint16, s SeqAdj) {
	at := e.nest(typ)
	e.u32(ctaSeqAdjPos, s.Pos)
	e.u32(ctaSeqAdjBefore, uint32(s.Before))
	e.u32(ctaSeqAdjAfter, uint32(s.After))
	e.end(at)
}

var errFamilies = errors.New("its addresses are not of one IP version")

// familyOf returns the address family of addresses that must agree in it.
func familyOf(first netip.Addr, others ...netip.Addr) (uint8, error) {
	for _, a := range others {
		if !first.IsValid() || a.BitLen() != first.BitLen() {
			return 0, errFamilies
		}
	}
	if first.Is4() {
		return unix.AF_INET, nil
	}
	return unix.AF_INET6, nil
}
