package conntrack

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Filter chooses entries: those of TCP that have all bits of State, and the helper. Zero
// fields choose all.
type Filter struct {
	State  State
	Helper string
}

func (f *Filter) fits(e *Entry) bool {
	return e.State&f.State == f.State && (f.Helper == "" || e.Helper == f.Helper)
}

// Entries calls fn for each entry that the filter chooses, of IPv4 and IPv6 and of all
// zones. The entry is valid during the call; fn must not use c. What is made or removed
// meanwhile may be left out.
func (c *Conn) Entries(filter Filter, fn func(*Entry)) error {
	c.start(subsysConntrack|msgGet, unix.NLM_F_DUMP, unix.AF_UNSPEC)
	var e Entry
	err := c.dump(func(attrs []byte) {
		if !isTCP(attrs, ctaTupleOrig) {
			return
		}
		if c.entry(attrs, &e); filter.fits(&e) {
			fn(&e)
		}
	})
	if err != nil {
		return fmt.Errorf("list conntrack entries: %w", err)
	}
	return nil
}

// Expectations lists all expectations of the network namespace, of IPv4 and
// IPv6, also those of other programs. Timeout is what is left of it. The kernel tells no
// zone, of the master neither: see LocateExpectation.
func (c *Conn) Expectations() ([]Expectation, error) {
	c.start(subsysExpect|msgGet, unix.NLM_F_DUMP, unix.AF_UNSPEC)
	all, err := c.listExpectations()
	if err != nil {
		return nil, fmt.Errorf("list expectations: %w", err)
	}
	return all, nil
}

// ExpectationsOf lists the expectations of the control connection with this original
// tuple. The error is ErrNotFound if there is no such connection.
func (c *Conn) ExpectationsOf(orig Tuple) ([]Expectation, error) {
	family, err := familyOf(orig.Src.Addr(), orig.Dst.Addr())
	if err != nil {
		return nil, fmt.Errorf("list the expectations of %v: %w", orig, err)
	}
	e := c.start(subsysExpect|msgGet, unix.NLM_F_DUMP, family)
	e.tuple(expMaster, orig)
	if orig.Zone != 0 {
		e.u16(expZone, orig.Zone)
	}
	all, err := c.listExpectations()
	if errors.Is(err, unix.ENOENT) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("list the expectations of %v: %w", orig, err)
	}
	for i := range all {
		all[i].Master.Zone, all[i].Zone = orig.Zone, Zone{ID: orig.Zone}
	}
	return all, nil
}

func (c *Conn) listExpectations() ([]Expectation, error) {
	var all []Expectation
	var x ExpectEntry
	err := c.dump(func(attrs []byte) {
		c.expectation(attrs, &x)
		all = append(all, x.Expectation)
	})
	return all, err
}

// LocateExpectation sets e.Zone and that of e.Master of an expectation that was listed: the kernel
// does not tell them, so each of the zones is asked for e.ID. The default zone is asked first. The error is
// ErrNotFound if it is in none of them, or gone.
func (c *Conn) LocateExpectation(e *Expectation, zones []Zone) error {
	at := Expectation{Src: e.Src, Dst: e.Dst, ID: e.ID}
	_, err := c.findExpectation(&at)
	for i := 0; i < len(zones) && errors.Is(err, unix.ENOENT); i++ {
		at.Zone = zones[i]
		_, err = c.findExpectation(&at)
	}
	if errors.Is(err, unix.ENOENT) {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("look for the zone of the expectation from %v to %v: %w", e.Src, e.Dst, err)
	}
	e.Zone, e.Master.Zone = at.Zone, at.Zone.In(Original)
	return nil
}

// dump sends the request and calls fn with the attributes of each answer.
func (c *Conn) dump(fn func(attrs []byte)) error {
	if err := c.send(); err != nil {
		return err
	}
	for {
		attrs, done, err := c.next()
		if done || err != nil {
			return err
		}
		fn(attrs)
	}
}
