package conntrack

import "golang.org/x/sys/unix"

// The functions below write a request without sending it, so that it can travel in one
// datagram with others and with verdicts of a queue: nfnetlink does the messages of a
// datagram in their order, whatever subsystem they are for. Only a refusal is answered,
// with NLMSG_ERROR and the sequence number seq: see UpdateError and ExpectError. dst must
// have a length that is a multiple of 4. Addresses of two IP versions, of which the kernel
// would make nonsense, write nothing.

// AppendUpdate appends what Update sends, with the DefaultLayout.
func AppendUpdate(dst []byte, orig Tuple, u Update, seq uint32) []byte {
	return DefaultLayout.AppendUpdate(dst, orig, u, seq)
}

// AppendUpdate appends what Update sends.
func (l Layout) AppendUpdate(dst []byte, orig Tuple, u Update, seq uint32) []byte {
	family, err := familyOf(orig.Src.Addr(), orig.Dst.Addr())
	if err != nil || u.Empty() {
		return dst
	}
	e := encoder{b: dst}
	e.add(subsysConntrack|msgNew, unix.NLM_F_REQUEST, seq, family)
	e.key(orig)
	e.update(&u, l)
	return e.finish()
}

// AppendExpectTimeout appends what gives the expectation x.Timeout from now on. The kernel
// goes by Src, Dst and zone: x must not have been used.
func AppendExpectTimeout(dst []byte, x Expectation, seq uint32) []byte {
	family, err := x.family()
	if err != nil {
		return dst
	}
	e := encoder{b: dst}
	e.add(subsysExpect|msgNew, unix.NLM_F_REQUEST, seq, family)
	e.expectTimeout(&x)
	return e.finish()
}

// AppendWithdraw appends what withdraws the expectation with x.ID, without which nothing is
// written: the port may be another control connection's by now. ENOENT says that it was
// used or has expired.
func AppendWithdraw(dst []byte, x Expectation, seq uint32) []byte {
	family, err := familyOf(x.Dst.Addr(), x.Src)
	if err != nil || x.ID == 0 {
		return dst
	}
	e := encoder{b: dst}
	e.add(subsysExpect|msgDelete, unix.NLM_F_REQUEST, seq, family)
	e.expectKey(&x)
	return e.finish()
}
