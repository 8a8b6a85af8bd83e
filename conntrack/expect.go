package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// followMaster is the kernel function that gives an expected connection the
// addresses of the control connection (nf_nat_follow_master in
// net/netfilter/nf_nat_helper.c).
const followMaster = "nat-follow-master"

// Expect makes the kernel let the connection e through, once. The helper of the
// control connection decides how many may wait at a time; if there are more, the
// kernel drops the oldest and says nothing.
//
// With e.Translate the data connection ends at e.Target.Port() of the control
// connection's own client (Dir Reply) or server (Dir Original): the kernel keeps
// e.Target.Addr() for display only.
//
// An expectation of the same control connection for the same Src and Dst is
// replaced. Errors: ErrPortTaken if another control connection has one,
// ErrNotFound if the control connection is gone, ErrNoHelper if it has no
// helper, ErrTableFull at the limit net.netfilter.nf_conntrack_expect_max.
func (c *Conn) Expect(e Expectation) error {
	err := c.expect(e)
	if errors.Is(err, unix.EEXIST) && c.Withdraw(e) == nil {
		err = c.expect(e)
	}
	if err != nil {
		return fmt.Errorf("expect a connection from %v to %v for the control connection %v: %w", e.Src, e.Dst, e.Master, expectError(err))
	}
	return nil
}

func (c *Conn) expect(e Expectation) error {
	if err := c.sendExpectation(e, unix.NLM_F_CREATE|unix.NLM_F_EXCL); err != nil {
		return err
	}
	// On creation the kernel takes the timeout of the helper and ignores ours.
	err := c.sendExpectation(e, 0)
	switch {
	case errors.Is(err, unix.ENOENT): // used already
		return nil
	case err != nil:
		_ = c.Withdraw(e) // rather none than one that stays open for minutes
		return fmt.Errorf("set its timeout: %w", err)
	}
	return nil
}

func (c *Conn) sendExpectation(e Expectation, flags uint16) error {
	family, err := e.family()
	if err != nil {
		return err
	}
	c.start(subsysExpect|msgNew, flags, family).expectation(e)
	return c.do()
}

func (e *encoder) expectation(x Expectation) {
	e.tuple(expMaster, x.Master)
	e.tuple(expTuple, x.tuple())
	e.tupleOf(expMask, maskFor(x.Src), 0xff)
	e.u32(expTimeout, seconds(x.Timeout))
	if !x.Translate {
		return
	}
	nat := e.nest(expNAT)
	e.u32(expNATDir, uint32(x.Dir))
	e.tuple(expNATTuple, Tuple{Src: x.Target, Dst: netip.AddrPortFrom(zeroLike(x.Target.Addr()), 0)})
	e.end(nat)
	e.str(expFn, followMaster)
}

func (x Expectation) family() (uint8, error) {
	if x.Translate {
		return familyOf(x.Dst.Addr(), x.Src, x.Master.Src.Addr(), x.Master.Dst.Addr(), x.Target.Addr())
	}
	return familyOf(x.Dst.Addr(), x.Src, x.Master.Src.Addr(), x.Master.Dst.Addr())
}

// tuple is the expected tuple: any source port, which the mask tells.
func (x Expectation) tuple() Tuple {
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

func expectError(err error) error {
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return ErrPortTaken
	case errors.Is(err, unix.ENOENT):
		return ErrNotFound
	case errors.Is(err, unix.EOPNOTSUPP):
		return ErrNoHelper
	case errors.Is(err, unix.EMFILE):
		return ErrTableFull
	}
	return err
}

// Withdraw takes back the expectation that e.Master has for e.Src and e.Dst. It
// is no error if there is none any more, because it was used, expired or belongs
// to another control connection.
func (c *Conn) Withdraw(e Expectation) error {
	found, id, err := c.findExpectation(e)
	if err == nil && found.Master == e.Master {
		err = c.deleteExpectation(e, id)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("withdraw the expectation from %v to %v: %w", e.Src, e.Dst, err)
	}
	return nil
}

// findExpectation returns the expectation with the tuple of e, of whatever
// control connection, and its CTA_EXPECT_ID.
func (c *Conn) findExpectation(e Expectation) (found Expectation, id uint32, err error) {
	family, err := familyOf(e.Dst.Addr(), e.Src)
	if err != nil {
		return Expectation{}, 0, err
	}
	c.start(subsysExpect|msgGet, 0, family).tuple(expTuple, e.tuple())
	if err := c.send(); err != nil {
		return Expectation{}, 0, err
	}
	for {
		attrs, done, err := c.next()
		if err != nil || done {
			return found, id, err
		}
		found, id = parseExpectation(attrs)
	}
}

func (c *Conn) deleteExpectation(e Expectation, id uint32) error {
	family, err := familyOf(e.Dst.Addr(), e.Src)
	if err != nil {
		return err
	}
	m := c.start(subsysExpect|msgDelete, 0, family)
	m.tuple(expTuple, e.tuple())
	m.u32(expID, id)
	return c.do()
}

// Expectations lists all expectations of the network namespace, of IPv4 and
// IPv6, also those of other programs. Timeout is what is left of it.
func (c *Conn) Expectations() ([]Expectation, error) {
	c.start(subsysExpect|msgGet, unix.NLM_F_DUMP, unix.AF_UNSPEC)
	if err := c.send(); err != nil {
		return nil, fmt.Errorf("list expectations: %w", err)
	}
	var all []Expectation
	for {
		attrs, done, err := c.next()
		if err != nil {
			return nil, fmt.Errorf("list expectations: %w", err)
		}
		if done {
			return all, nil
		}
		e, _ := parseExpectation(attrs)
		all = append(all, e)
	}
}

// parseExpectation reads the attributes of an IPCTNL_MSG_EXP_NEW message.
func parseExpectation(b []byte) (e Expectation, id uint32) {
	for {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return e, id
		}
		b = rest
		switch typ {
		case expMaster:
			e.Master = parseTuple(v)
		case expTuple:
			t := parseTuple(v)
			e.Src, e.Dst = t.Src.Addr(), t.Dst
		case expTimeout:
			e.Timeout = time.Duration(be32(v)) * time.Second
		case expID:
			id = be32(v)
		case expNAT:
			e.Translate = true
			e.Dir = Dir(be32(attr(v, expNATDir)) & 1)
			e.Target = parseTuple(attr(v, expNATTuple)).Src
		}
	}
}
