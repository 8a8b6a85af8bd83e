package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is a network namespace.
type Host struct {
	lab  *Lab
	name string
	ns   netns.NsHandle
	nl   *netlink.Handle

	addr4, addr6 netip.Addr // the first of each family
}

// String returns the name that the host was made with.
func (h *Host) String() string { return h.name }

// Netns returns the path of the namespace.
func (h *Host) Netns() string { return filepath.Join(netnsDir, h.lab.name+h.name) }

// Netlink returns a handle for what the lab has no method for: MTU, netem,
// taking a link down.
func (h *Host) Netlink() *netlink.Handle { return h.nl }

// Addr returns the first address of the family that the host was given.
func (h *Host) Addr(ipv6 bool) netip.Addr {
	if ipv6 {
		return h.addr6
	}
	return h.addr4
}

// AddrPort returns [Host.Addr] with a port.
func (h *Host) AddrPort(ipv6 bool, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(h.Addr(ipv6), port)
}

// localPorts are those that the kernels of hosts choose from, for connections and for
// listeners that name none. Every port that a test names lies below, so that none is in
// use by chance.
const localPorts = "33000 60999"

func (h *Host) setUp() (err error) {
	if h.nl, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("opening rtnetlink: %w", err)
	}
	// Addresses are usable at once without duplicate address detection.
	for _, scope := range []string{"all", "default"} {
		if err := h.Sysctl("net.ipv6.conf."+scope+".accept_dad", "0"); err != nil {
			return err
		}
	}
	if err := h.Sysctl("net.ipv4.ip_local_port_range", localPorts); err != nil { // IPv6 as well
		return err
	}
	if err := h.Forwarding(false); err != nil { // where this machine is a router new namespaces are routers
		return err
	}
	return h.up("lo")
}

func (h *Host) close() error {
	errs := []error{h.killAll()}
	if h.nl != nil {
		h.nl.Close()
	}
	errs = append(errs, h.ns.Close(), netns.DeleteNamed(h.lab.name+h.name))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing host %s: %w", h.name, err)
	}
	return nil
}

// Do runs f with its thread inside the namespace: sockets that f makes, sysctls
// that it writes and processes that it starts belong to the host. This does not
// hold for goroutines that f starts. Of /proc/net only /proc/thread-self/net is
// the host's.
func (h *Host) Do(f func() error) (err error) {
	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("reading the network namespace of this thread: %w", err)
	}
	defer func() {
		defer origin.Close()
		if back := netns.Set(origin); back != nil {
			// The thread stays locked, so that it ends with its goroutine.
			err = errors.Join(err, fmt.Errorf("leaving namespace %s: %w", h.Netns(), back))
			return
		}
		runtime.UnlockOSThread()
	}()
	if err := netns.Set(h.ns); err != nil {
		return fmt.Errorf("entering namespace %s: %w", h.Netns(), err)
	}
	return f()
}

// Sysctl sets a kernel parameter of the namespace, for instance
// "net.ipv4.ip_forward". A device name with a dot needs the form
// "net/ipv4/conf/eth0.1/rp_filter".
func (h *Host) Sysctl(name, value string) error {
	if !strings.Contains(name, "/") {
		name = strings.ReplaceAll(name, ".", "/")
	}
	return h.Do(func() error {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
			return fmt.Errorf("setting sysctl %s to %s on host %s: %w", name, value, h.name, err)
		}
		return nil
	})
}

// Forwarding makes the host a router, or stops it from being one.
func (h *Host) Forwarding(on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	return errors.Join(
		h.Sysctl("net.ipv4.ip_forward", value),
		h.Sysctl("net.ipv6.conf.all.forwarding", value),
	)
}
