package conntrack

import (
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// Expectation lets one data connection through: from any port of Src to Dst.
type Expectation struct {
	Master Tuple          // original tuple of the control connection
	Zone   Zone           // of the control connection
	Src    netip.Addr     // who may connect
	Dst    netip.AddrPort // where it will connect to, as seen before translation

	// Target is where the connection is to end. It is used if Translate is
	// true: then the kernel also gives the connection the source address that
	// the control connection has on that side ("nat-follow-master").
	Translate bool
	// Dir is the direction of the data connection as seen from the control connection: Reply
	// if the server connects (PORT), Original if the client does (PASV).
	Dir    Dir
	Target netip.AddrPort

	Timeout time.Duration // rounded to seconds

	// ID is CTA_EXPECT_ID, which tells an expectation from the next one for the same Src and
	// Dst; 0 if it is not known.
	ID uint32

	// Told says that the kernel makes events of what becomes of it; Expect sets it.
	Told bool
}

// ExpectEntry is all that the kernel tells of an expectation, but for its zone.
type ExpectEntry struct {
	Expectation
	Tuple, Mask Tuple // what is expected, and which bits of it count
	Flags       uint32
	Class       uint32
	Helper      string // that will be attached to the expected connection
	Fn          string // what the kernel does with it: "nat-follow-master"
}

// Flags of an expectation (include/uapi/linux/netfilter/nf_conntrack_common.h).
const (
	ExpectPermanent = 1 << 0 // NF_CT_EXPECT_PERMANENT: not used up by a connection
	ExpectInactive  = 1 << 1 // NF_CT_EXPECT_INACTIVE
	ExpectUserspace = 1 << 2 // NF_CT_EXPECT_USERSPACE
)

// followMaster is the kernel function that gives an expected connection the
// addresses of the control connection (nf_nat_follow_master in
// net/netfilter/nf_nat_helper.c).
const followMaster = "nat-follow-master"

// expectation writes what makes x. Its master is found in the zone of the original
// direction; in all other messages the zone's number counts alone (nf_ct_zone_equal_any).
func (e *encoder) expectation(x *Expectation) {
	e.tuple(expMaster, x.Master)
	e.tuple(expTuple, x.tuple())
	e.tupleOf(expMask, maskFor(x.Src), 0xff)
	e.u32(expTimeout, seconds(x.Timeout))
	if x.Master.Zone != 0 {
		e.u16(expZone, x.Master.Zone)
	}
	if !x.Translate {
		return
	}
	nat := e.nest(expNAT)
	e.u32(expNATDir, uint32(x.Dir))
	e.tuple(expNATTuple, Tuple{Src: x.Target, Dst: netip.AddrPortFrom(zeroLike(x.Target.Addr()), 0)})
	e.end(nat)
	e.str(expFn, followMaster)
}

// expectKey writes by what the kernel finds x.
func (e *encoder) expectKey(x *Expectation) {
	e.tuple(expTuple, x.tuple())
	if x.Zone.ID != 0 {
		e.u16(expZone, x.Zone.ID)
	}
	if x.ID != 0 {
		e.u32(expID, x.ID)
	}
}

// expectTimeout writes what sets the timeout of x. The kernel wants the master and the mask
// in every message that is not a question (ctnetlink_new_expect).
func (e *encoder) expectTimeout(x *Expectation) {
	e.tuple(expMaster, x.Master)
	e.tupleOf(expMask, maskFor(x.Src), 0xff)
	e.u32(expTimeout, seconds(x.Timeout))
	e.expectKey(x)
}

func (x *Expectation) family() (uint8, error) {
	if x.Translate {
		return familyOf(x.Dst.Addr(), x.Src, x.Master.Src.Addr(), x.Master.Dst.Addr(), x.Target.Addr())
	}
	return familyOf(x.Dst.Addr(), x.Src, x.Master.Src.Addr(), x.Master.Dst.Addr())
}

// tuple is the expected tuple: any source port, which the mask tells.
func (x *Expectation) tuple() Tuple {
	return Tuple{Src: netip.AddrPortFrom(x.Src, 0), Dst: x.Dst}
}

// maskFor compares the source address and all of the destination.
func maskFor(a netip.Addr) Tuple {
	ones := netip.AddrFrom4([4]byte{0xff, 0xff, 0xff, 0xff})
	if !a.Is4() {
		var b [16]byte
		for i := range b {
			b[i] = 0xff
		}
		ones = netip.AddrFrom16(b)
	}
	return Tuple{Src: netip.AddrPortFrom(ones, 0), Dst: netip.AddrPortFrom(ones, 0xffff)}
}

func zeroLike(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// seconds rounds to whole seconds, at least one: 0 would expire at once.
func seconds(d time.Duration) uint32 {
	return uint32(max(1, d.Round(time.Second)/time.Second))
}

// expectation fills x from the attributes of an IPCTNL_MSG_EXP_NEW or _DELETE message.
func (d *decoder) expectation(b []byte, x *ExpectEntry) {
	*x = ExpectEntry{}
	for typ, v, rest, ok := nlread.NextAttr(b); ok; typ, v, rest, ok = nlread.NextAttr(rest) {
		switch typ {
		case expMaster:
			x.Master = parseTuple(v)
		case expTuple:
			x.Tuple = parseTuple(v)
			x.Src, x.Dst = x.Tuple.Src.Addr(), x.Tuple.Dst
		case expMask:
			x.Mask = parseTuple(v)
		case expTimeout:
			x.Timeout = time.Duration(nlread.U32(v)) * time.Second
		case expID:
			x.ID = nlread.U32(v)
		case expHelper:
			x.Helper = d.name(v)
		case expFlags:
			x.Flags = nlread.U32(v)
		case expClass:
			x.Class = nlread.U32(v)
		case expNAT:
			x.Translate = true
			x.Dir = Dir(nlread.U32(nlread.Attr(v, expNATDir)) & 1)
			x.Target = parseTuple(nlread.Attr(v, expNATTuple)).Src
		case expFn:
			x.Fn = d.name(v)
		}
	}
}

// isTCP tells whether the tuple in an attribute of that type is one of TCP.
func isTCP(b []byte, tuple uint16) bool {
	p := nlread.Attr(nlread.Attr(nlread.Attr(b, tuple), ctaTupleProto), ctaProtoNum)
	return len(p) == 1 && p[0] == unix.IPPROTO_TCP
}
