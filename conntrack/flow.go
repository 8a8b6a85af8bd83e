package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Flow looks up the entry that has t as the tuple of one of its directions. The error is
// ErrNotFound if there is none; the
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
	var f Flow
	err := c.lookUp(t)
	for done := false; err == nil && !done; {
		var attrs []byte
		if attrs, done, err = c.next(); attrs != nil {
			c.flow(attrs, &f)
			return f, nil
		}
	}
	return f, lookupError(t, err)
}

// Entry looks up as Flow does and fills e with all that the kernel tells.
func (c *Conn) Entry(t Tuple, e *Entry) error {
	err := c.lookUp(t)
	for done := false; err == nil && !done; {
		var attrs []byte
		if attrs, done, err = c.next(); attrs != nil {
			c.entry(attrs, e)
			return nil
		}
	}
	return lookupError(t, err)
}

func (c *Conn) lookUp(t Tuple) error {
	family, err := familyOf(t.Src.Addr(), t.Dst.Addr())
	if err != nil {
		return err
	}
	c.begin(subsysConntrack|msgGet, 0, family).key(t)
	return c.send()
}

func lookupError(t Tuple, err error) error {
	if errors.Is(err, unix.ENOENT) {
		err = ErrNotFound
	}
	return fmt.Errorf("look up conntrack entry %v: %w", t, err)
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
