package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Remove deletes the entry with this original tuple and ID (CTA_ID; 0: any).
// It takes its expectations with it. The error is ErrNotFound if there is none.
func (c *Conn) Remove(orig Tuple, id uint32) error {
	family, err := familyOf(orig.Src.Addr(), orig.Dst.Addr())
	if err == nil {
		c.start(subsysConntrack|msgDelete, 0, family).entryKey(orig, id)
		err = c.do()
	}
	if errors.Is(err, unix.ENOENT) {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("remove conntrack entry %v: %w", orig, err)
	}
	return nil
}

// Vacate removes the entry that has t as the tuple of one of its directions if its connection has ended, so
// that a new connection with t gets one of its own. The kernel does so itself at a SYN
// (nf_conntrack_tcp_packet in net/netfilter/nf_conntrack_proto_tcp.c), but not where the entry came from
// another gateway and its flags do not tell who closed: there the new connection goes where the old one went.
//
// The error is ErrBusy, and holder the original tuple of the connection, if it has not ended.
func (c *Conn) Vacate(t Tuple) (holder Tuple, err error) {
	var e Entry
	err = c.Entry(t, &e)
	switch {
	case errors.Is(err, ErrNotFound):
		return Tuple{}, nil
	case err != nil:
		return Tuple{}, err
	case e.TCP.State != TCPTimeWait && e.TCP.State != TCPClosed:
		return e.Tuple[Original], fmt.Errorf("vacate %v: its state is %v: %w", t, e.TCP.State, ErrBusy)
	}
	if err = c.Remove(e.Tuple[Original], e.ID); errors.Is(err, ErrNotFound) {
		err = nil
	}
	return Tuple{}, err
}

func (e *encoder) entryKey(orig Tuple, id uint32) {
	e.key(orig)
	if id != 0 {
		e.u32(ctaID, id)
	}
}

// attempts is how often the new entry is made if the first attempt fails.
const attempts = 4

// Replace gives the connection of e a new entry with the helper and what u says, which the
// kernel refuses for one that is older than the rules: no helper can be attached to a
// confirmed entry, and it has no room for a label or offsets. The translation, the mark, the
// timeout, the rest of the label and what is known of TCP stay. Counters and the time of its
// beginning begin anew, a security mark and a timeout policy of its own are lost (ctnetlink
// sets neither), and the entry of a masqueraded connection no longer ends with its address.
//
// e must have been looked up just now; the error is ErrNotFound if the connection has
// another entry by then, and ErrBusy if an expectation waits on it, if it was expected
// itself, if it is not established, or if a flow table or SYNPROXY has it. Connections that it
// once expected go on, and so do packets that are under way with the old entry.
//
// One that comes between the old entry and the new makes an entry of its own, which is
// removed. If the kernel refuses the new entry all the same, or makes it otherwise, the old
// one is put back, with another ID. If that fails too, the connection has none, and its next
// packet makes one, by the firewall's rules.
func (c *Conn) Replace(e *Entry, helper string, u Update) (Flow, error) {
	made, err := c.replace(e, helper, &u)
	if err != nil {
		return Flow{}, fmt.Errorf("replace conntrack entry %v: %w", e.Tuple[Original], err)
	}
	return made, nil
}

func (c *Conn) replace(e *Entry, helper string, u *Update) (Flow, error) {
	if err := c.replaceable(e); err != nil {
		return Flow{}, err
	}
	made, deleted, created, err := c.swap(e, e.ID, helper, u)
	switch {
	case err != nil:
		return Flow{}, err
	case deleted != nil && created == nil: // the connection had ended: nobody needs what was made
		return Flow{}, errors.Join(UpdateError(deleted), c.Remove(e.Tuple[Original], made.ID))
	case deleted != nil:
		return Flow{}, UpdateError(deleted)
	case created != nil:
		made, created = c.insist(e, helper, u)
	}
	if created == nil && made.Tuple == e.Tuple && made.SNAT == e.SNAT && made.DNAT == e.DNAT &&
		made.Helper == helper {
		made.HasSeq = true // ctnetlink_create_conntrack always adds the extension
		return made, nil
	}
	if created == nil {
		created = fmt.Errorf("the kernel made it otherwise, with the tuples %v and the helper %q: %w",
			made.Tuple, made.Helper, ErrUnsupported)
	}
	if _, err := c.insist(e, e.Helper, &Update{}); err != nil {
		created = fmt.Errorf("%w; and the connection has no entry now: %w", created, err)
	}
	return Flow{}, created
}

// replaceable tells why e must stay as it is.
func (c *Conn) replaceable(e *Entry) error {
	switch {
	case e.Expected():
		return fmt.Errorf("it was expected by %v: %w", e.Master, ErrBusy)
	case e.TCP.State != TCPEstablished:
		return fmt.Errorf("its state is %v: %w", e.TCP.State, ErrBusy)
	case e.Status&StatusOffload != 0:
		return fmt.Errorf("a flow table has it: %w", ErrBusy)
	case e.Proxied:
		return fmt.Errorf("SYNPROXY has it: %w", ErrBusy)
	}
	waiting, err := c.ExpectationsOf(e.Tuple[Original])
	if err == nil && len(waiting) > 0 {
		err = fmt.Errorf("%d expectations wait on it: %w", len(waiting), ErrBusy)
	}
	return err
}

// insist makes an entry after the first attempt has failed, in place of what packets have made
// of the connection meanwhile.
func (c *Conn) insist(e *Entry, helper string, u *Update) (made Flow, err error) {
	for range attempts {
		if err = c.removeBackwards(e); err != nil {
			return made, err
		}
		var created error
		made, _, created, err = c.swap(e, 0, helper, u)
		if err != nil || created == nil {
			return made, err
		}
		err = created
	}
	return made, err
}

// removeBackwards removes the entry that an answer made, which is taken for the first packet of
// a connection in the other direction. One of another connection that has the tuple stays.
func (c *Conn) removeBackwards(e *Entry) error {
	reply := e.Tuple[Reply]
	// A zone of one direction is that of the other's packets in the entry that they make.
	for _, reply.Zone = range [...]uint16{e.Tuple[Reply].Zone, e.Tuple[Original].Zone} {
		f, err := c.Flow(reply)
		if err == nil && f.Tuple[Original] == reply {
			err = c.Remove(reply, f.ID)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// swap deletes the entry with the ID and makes it anew, in one datagram. It returns what the
// kernel then has, and with what it refused the one or the other.
func (c *Conn) swap(e *Entry, id uint32, helper string, u *Update) (made Flow, deleted, created, err error) {
	orig := e.Tuple[Original]
	reply := e.Tuple[Reply]
	family, err := familyOf(orig.Src.Addr(), orig.Dst.Addr(), reply.Src.Addr(), reply.Dst.Addr())
	if err != nil {
		return made, nil, nil, err
	}
	c.begin(subsysConntrack|msgDelete, 0, family).entryKey(orig, id)
	first := c.seq
	c.add(subsysConntrack|msgNew, unix.NLM_F_CREATE|unix.NLM_F_EXCL, family).entry(e, helper, u, c.layout)
	second := c.seq
	c.add(subsysConntrack|msgGet, 0, family).key(orig)
	if err := c.send(); err != nil {
		return made, nil, nil, err
	}
	for {
		seq, attrs, done, err := c.read()
		switch {
		case seq == 0:
			return made, nil, nil, err
		case seq == first:
			deleted = err
		case seq == second:
			created = err
		case seq == c.seq:
			if !done {
				c.flow(attrs, &made)
			}
			return made, deleted, created, nil
		}
	}
}

// entry writes what makes e anew. The reply tuple is the plain inverse: the kernel
// translates it itself (ctnetlink_setup_nat), and with the translated one it would make an
// entry that translates nothing.
func (e *encoder) entry(x *Entry, helper string, u *Update, l Layout) {
	orig := x.Tuple[Original]
	e.tupleIn(ctaTupleOrig, orig, x.Zone)
	e.tupleIn(ctaTupleReply, orig.Reverse(), x.Zone)
	e.zone(x.Zone)
	e.u32(ctaStatus, uint32(x.Status&(StatusSeenReply|StatusAssured)|StatusConfirmed))
	e.u32(ctaTimeout, seconds(max(x.Timeout, u.Timeout)))
	e.u32(ctaMark, x.Mark)
	e.protoInfo(&x.TCP)
	if helper != "" {
		at := e.nest(ctaHelp)
		e.str(ctaHelpName, helper)
		e.end(at)
	}
	if x.SNAT {
		e.nat(ctaNATSrc, x.Tuple[Reply].Dst)
	}
	if x.DNAT {
		e.nat(ctaNATDst, x.Tuple[Reply].Src)
	}
	label, mask := l.change(u)
	for i := range label {
		label[i] |= x.Label[i] &^ mask[i]
	}
	e.bytes(ctaLabels, label[:])
	for d, typ := range [2]uint16{ctaSeqAdjOrig, ctaSeqAdjReply} {
		if u.SetSeq[d] {
			e.seqAdj(typ, u.Seq[d])
		} else if x.HasSeq && x.Seq[d] != (SeqAdj{}) {
			e.seqAdj(typ, x.Seq[d])
		}
	}
}

// protoInfo writes the TCP state. Of the flags those stay that do not speak of numbers which
// the new entry has not seen (IP_CT_TCP_FLAG_MAXACK_SET would have it refuse resets), and
// window tracking is lenient, because it begins in the middle.
func (e *encoder) protoInfo(t *TCP) {
	const keep = tcpWindowScale | tcpSACK | tcpCloseInit
	info := e.nest(ctaProtoInfo)
	tcp := e.nest(ctaProtoInfoTCP)
	e.u8(ctaTCPState, uint8(t.State))
	e.u8(ctaTCPScaleOrig, t.WindowScale[Original])
	e.u8(ctaTCPScaleReply, t.WindowScale[Reply])
	for d, typ := range [2]uint16{ctaTCPFlagsOrig, ctaTCPFlagsReply} {
		e.bytes(typ, []byte{t.Flags[d]&keep | tcpBeLiberal, 0xff})
	}
	e.end(tcp)
	e.end(info)
}

// nat writes a translation to exactly one address and port.
func (e *encoder) nat(typ uint16, to netip.AddrPort) {
	at := e.nest(typ)
	e.addr(ctaNATv4MinIP, ctaNATv6MinIP, to.Addr())
	e.addr(ctaNATv4MaxIP, ctaNATv6MaxIP, to.Addr())
	ports := e.nest(ctaNATProto)
	e.u16(ctaProtoNATPortMin, to.Port())
	e.u16(ctaProtoNATPortMax, to.Port())
	e.end(ports)
	e.end(at)
}
