package netnstest

import (
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// RequireRootEnv makes a test that needs root fail without it instead of being
// skipped, so that a test run cannot pass by testing nothing.
const RequireRootEnv = "FTPALG_REQUIRE_ROOT"

// NeedRoot skips the test unless it may make network namespaces.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	const why = "NOT TESTED: making network namespaces needs root; run the tests with sudo"
	if os.Getenv(RequireRootEnv) == "1" {
		t.Fatal(why + " (" + RequireRootEnv + "=1)")
	}
	t.Skip(why)
}

// localPorts are those that the kernel chooses from, for connections and for listeners
// that name none. Every port that a test names lies below.
const localPorts = "33000 60999"

// NS is a network namespace. It lives until the end of the test that made it.
type NS struct {
	t  testing.TB
	fd int
}

// New makes a network namespace with its loopback interface up.
func New(t testing.TB) *NS {
	t.Helper()
	NeedRoot(t)
	n := &NS{t: t, fd: -1}
	onThread(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("make a network namespace: %v", err)
			return
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Errorf("open the new network namespace: %v", err)
			return
		}
		n.fd = fd
	})
	if n.fd < 0 {
		t.FailNow()
	}
	t.Cleanup(func() { _ = unix.Close(n.fd) })
	n.Do(func() { linkUp(t, "lo") })
	n.Sysctl("ipv4/ip_local_port_range", localPorts) // IPv6 as well
	n.Sysctl("ipv4/ip_forward", "0")                 // new ones are routers where this machine is
	return n
}

// Do runs f on a thread of its own inside the namespace. Sockets that f opens
// stay in it; goroutines that f starts are outside.
func (n *NS) Do(f func()) {
	n.t.Helper()
	entered := false
	onThread(func() {
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			n.t.Errorf("enter the network namespace: %v", err)
			return
		}
		entered = true
		f()
	})
	if !entered || n.t.Failed() {
		n.t.FailNow()
	}
}

// onThread runs f on a thread that ends with it: the goroutine never unlocks
// it, so a changed namespace cannot leak into other goroutines.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// Sysctl writes a value under /proc/sys/net.
func (n *NS) Sysctl(name, value string) {
	n.t.Helper()
	n.Do(func() {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
			n.t.Errorf("set net/%s: %v", name, err)
		}
	})
}

// Listen listens on a TCP address of the namespace until the end of the test.
func (n *NS) Listen(addr string) net.Listener {
	n.t.Helper()
	var l net.Listener
	n.Do(func() {
		var err error
		if l, err = net.Listen("tcp", addr); err != nil {
			n.t.Errorf("listen: %v", err)
		}
	})
	n.t.Cleanup(func() { _ = l.Close() })
	return l
}

// Dial connects to a TCP address from the namespace, from the local address if
// it is not nil. The connection is closed at the end of the test.
func (n *NS) Dial(local *net.TCPAddr, addr string) (net.Conn, error) {
	n.t.Helper()
	d := net.Dialer{Timeout: patience}
	if local != nil {
		d.LocalAddr = local
	}
	var c net.Conn
	var err error
	n.Do(func() { c, err = d.Dial("tcp", addr) })
	if err == nil {
		n.t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}
