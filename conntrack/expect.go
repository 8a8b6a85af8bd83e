package conntrack

import (
	"errors"
	"fmt"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

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
//
// It sets e.ID, with which Withdraw need not ask first, to 0 if the connection has come already; and e.Told.
func (c *Conn) Expect(e *Expectation) error {
	long, err := c.Create(e)
	if err == nil && long {
		if err = c.setTimeout(e); err != nil {
			err = fmt.Errorf("expect a connection from %v to %v: %w", e.Src, e.Dst, err)
		}
	}
	return err
}

// creations is how often an expectation is tried to be made while one of its own, or who has its port, goes:
// as with an entry that another program replaces again and again.
const creations = 4

// Create is Expect but for the timeout: timeout tells that the kernel gave the expectation another, so
// that AppendExpectTimeout must follow.
//
// On creation the kernel takes the timeout of the helper and ignores ours, so a second message sets it where
// they differ. It is not in the first datagram, because it would hit an expectation that somebody else has
// for the port: the kernel goes by the tuple alone. Its answer need not be waited for: all that can be is
// that the connection came meanwhile.
func (c *Conn) Create(e *Expectation) (timeout bool, err error) {
	var made Expectation
	for range creations {
		made, err = c.makeExpectation(e, made.ID)
		if !errors.Is(err, unix.EEXIST) || made.ID != 0 && made.Master != e.Master {
			break
		} // else it is our own, or who had the port has left it meanwhile
	}
	if err != nil {
		err = ExpectError(err)
		if made.ID != 0 {
			err = fmt.Errorf("%w, for the control connection %v", err, made.Master)
		}
		return false, fmt.Errorf("expect a connection from %v to %v for the control connection %v: %w",
			e.Src, e.Dst, e.Master, err)
	}
	e.ID, e.Told = made.ID, made.Told
	want := time.Duration(seconds(e.Timeout)) * time.Second
	other := made.Timeout != want && made.Timeout != want-time.Second // it tells whole seconds
	return made.ID != 0 && other, nil
}

// makeExpectation makes e and returns what the kernel then has for its tuple, which is
// somebody else's if the error is EEXIST, and has no ID if there is none any more. If old
// is not 0, the expectation with this ID is withdrawn before.
//
// The kernel is asked for its event of the new one, which has the ID in it (NLM_F_ECHO;
// nf_ct_expect_event_report in net/netfilter/nf_conntrack_ecache.c). Only where it makes none it is asked
// once more.
func (c *Conn) makeExpectation(e *Expectation, old uint32) (Expectation, error) {
	const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL | unix.NLM_F_ECHO
	family, err := e.family()
	if err != nil {
		return Expectation{}, err
	}
	if old != 0 {
		was := *e
		was.ID = old
		c.begin(subsysExpect|msgDelete, 0, family).expectKey(&was)
		c.add(subsysExpect|msgNew, create, family).expectation(e)
	} else {
		c.begin(subsysExpect|msgNew, create, family).expectation(e)
	}
	if err := c.send(); err != nil {
		return Expectation{}, err
	}
	made, answered, err := c.echo(e)
	if answered && !errors.Is(err, unix.EEXIST) {
		return made, err
	}
	return c.holder(e, err)
}

// echo reads what the kernel said to the last request but for a successful one whose event it did not make:
// what it made, or why not.
func (c *Conn) echo(e *Expectation) (made Expectation, answered bool, err error) {
	for {
		m, err := c.said()
		switch {
		case errors.Is(err, unix.EAGAIN):
			return Expectation{}, false, nil
		case err != nil:
			return Expectation{}, true, err
		case m.Type == unix.NLMSG_ERROR && m.Seq == c.seq:
			return Expectation{}, true, nlread.Errno(m.Body)
		case m.Type == subsysExpect|msgNew && m.Seq == 0 && len(m.Body) >= genmsgLen:
			var x ExpectEntry
			c.expectation(m.Body[genmsgLen:], &x)
			x.Zone, x.Master.Zone, x.Told = e.Zone, e.Master.Zone, true
			return x.Expectation, true, nil
		} // else that what was to be replaced is gone
	}
}

// holder returns what the kernel has for the tuple of e, and the error that making e had. Without one it is
// e, or nothing if e and its place are used.
func (c *Conn) holder(e *Expectation, refused error) (Expectation, error) {
	has, err := c.findExpectation(&Expectation{Src: e.Src, Dst: e.Dst, Zone: e.Zone})
	switch {
	case refused == nil && err != nil && !errors.Is(err, unix.ENOENT):
		return Expectation{}, err
	case err != nil, refused == nil && has.Master != e.Master:
		return Expectation{}, refused
	}
	return has, refused
}

// setTimeout gives e its timeout from now on.
func (c *Conn) setTimeout(e *Expectation) error {
	family, err := e.family()
	if err != nil {
		return err
	}
	c.begin(subsysExpect|msgNew, 0, family).expectTimeout(e)
	if err := c.send(); err != nil {
		_ = c.Withdraw(*e) // rather none than one that stays open for minutes
		return fmt.Errorf("set its timeout: %w", err)
	}
	return nil
}

// ExpectError says what the kernel's errno for an expectation means.
func ExpectError(err error) error {
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
// to another control connection. Without e.ID the kernel is asked for it before.
func (c *Conn) Withdraw(e Expectation) error {
	err := c.withdraw(e)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("withdraw the expectation from %v to %v: %w", e.Src, e.Dst, err)
	}
	return nil
}

func (c *Conn) withdraw(e Expectation) error {
	family, err := familyOf(e.Dst.Addr(), e.Src)
	if err != nil {
		return err
	}
	if e.ID == 0 {
		found, err := c.findExpectation(&e)
		if err != nil || found.Master != e.Master {
			return err
		}
		e.ID = found.ID
	}
	c.start(subsysExpect|msgDelete, 0, family).expectKey(&e)
	return c.do()
}

// findExpectation returns the expectation with the tuple, zone and, if it is known, ID of
// e, of whatever control connection.
func (c *Conn) findExpectation(e *Expectation) (Expectation, error) {
	family, err := familyOf(e.Dst.Addr(), e.Src)
	if err != nil {
		return Expectation{}, err
	}
	c.begin(subsysExpect|msgGet, 0, family).expectKey(e)
	if err := c.send(); err != nil {
		return Expectation{}, err
	}
	attrs, _, err := c.next()
	if err != nil {
		return Expectation{}, err
	}
	var x ExpectEntry
	c.expectation(attrs, &x)
	x.Zone, x.Master.Zone = e.Zone, e.Zone.In(Original)
	return x.Expectation, nil
}
