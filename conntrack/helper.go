package conntrack

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel takes an expectation only for a connection that has a helper. Its
// own "ftp" helper would parse, open and drop on its own account, so a carrier is
// attached that does nothing with the packets: HelperCarrier, or HelperOwn where the
// kernel lacks it.
const (
	// HelperOwn is registered with RegisterHelper (CONFIG_NF_CT_NETLINK_HELPER).
	HelperOwn = "ftpalg"
	// HelperCarrier is the kernel's helper for network scanners (nf_conntrack_sane),
	// which looks at 8-byte binary requests and at nothing else. It allows one
	// waiting data connection at a time.
	HelperCarrier = "sane"
)

const maxHelperName = 15 // NF_CT_HELPER_NAME_LEN without the NUL

var helperFamilies = [2]uint16{unix.AF_INET, unix.AF_INET6}

// RegisterHelper registers a user-space helper for TCP over IPv4 and IPv6, or
// gives the one of that name these limits: how many expectations each
// connection may have waiting (1 to 255) and how long an expectation lasts if
// nobody sets its timeout. Its status is "disabled", so the kernel never queues
// a packet for it (nfnl_userspace_cthelper in net/netfilter/nfnetlink_cthelper.c).
//
// The registry is one for all network namespaces and the entry outlives the
// program, as it must: removing it would take the helper off all connections.
// The error is ErrUnsupported if the kernel has no such registry or the
// program is not privileged in the initial user namespace.
func (c *Conn) RegisterHelper(name string, maxExpected int, timeout time.Duration) error {
	if name == "" || len(name) > maxHelperName {
		return fmt.Errorf("register conntrack helper %q: the name must have 1 to %d characters", name,
			maxHelperName)
	}
	if maxExpected < 1 || maxExpected > 255 {
		return fmt.Errorf("register conntrack helper %q: %d expectations a connection are not in 1 to 255",
			name, maxExpected)
	}
	for _, family := range helperFamilies {
		c.start(subsysHelper|msgNew, unix.NLM_F_CREATE, unix.AF_UNSPEC).helper(name, family, maxExpected,
			timeout)
		if err := c.do(); err != nil {
			return fmt.Errorf("register conntrack helper %q: %w", name, registryError(err))
		}
	}
	return nil
}

func (e *encoder) helper(name string, family uint16, maxExpected int, timeout time.Duration) {
	e.str(cthName, name)
	t := e.nest(cthTuple)
	e.u16(cthTupleL3, family)
	e.u8(cthTupleL4, unix.IPPROTO_TCP)
	e.end(t)
	set := e.nest(cthPolicy)
	e.u32(cthPolicySetNum, 1)
	policy := e.nest(cthPolicySet1)
	e.str(cthPolicyName, name)
	e.u32(cthPolicyMax, uint32(maxExpected))
	e.u32(cthPolicyTimeout, seconds(timeout))
	e.end(policy)
	e.end(set)
	e.u32(cthPrivDataLen, 0)
	e.u32(cthStatus, cthStatusDisabled)
}

// UnregisterHelper removes the helper from the registry and from every
// connection in every network namespace, whose expectations end with it. While
// nftables rules refer to it, it is an error (EBUSY) up to kernel 6.18, but not
// from 7.2 on. It is none if there is no such helper.
func (c *Conn) UnregisterHelper(name string) error {
	c.start(subsysHelper|msgDelete, 0, unix.AF_UNSPEC).str(cthName, name)
	switch err := c.do(); {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("unregister conntrack helper %q: nftables rules still use it: %w", name, err)
	case err != nil && !errors.Is(err, unix.ENOENT):
		return fmt.Errorf("unregister conntrack helper %q: %w", name, registryError(err))
	}
	return nil
}

// CanRegisterHelper tells whether RegisterHelper would work, without changing
// anything: nil or an error that is ErrUnsupported.
func (c *Conn) CanRegisterHelper() error {
	c.start(subsysHelper|msgGet, 0, unix.AF_UNSPEC).str(cthName, HelperOwn)
	if err := c.do(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("ask for the registry of conntrack helpers: %w", registryError(err))
	}
	return nil
}

// registryError explains what nfnetlink_cthelper refuses.
func registryError(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: it needs CAP_NET_ADMIN in the initial user namespace (%w)", ErrUnsupported,
			err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("a helper that is built into the kernel has this name: %w", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: no nfnetlink_cthelper module (CONFIG_NF_CT_NETLINK_HELPER) (%w)",
			ErrUnsupported, err)
	}
	return err
}
