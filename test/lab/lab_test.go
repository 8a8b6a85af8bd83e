package lab_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/lab"
)

// short is for connections that the firewall swallows.
const short = 300 * time.Millisecond

func families(t *testing.T, f func(t *testing.T, ipv6 bool)) {
	t.Run("IPv4", func(t *testing.T) { f(t, false) })
	t.Run("IPv6", func(t *testing.T) { f(t, true) })
}

// talk connects and returns both ends' view of the client's address.
func talk(t *testing.T, from *lab.Host, dial netip.AddrPort, to *lab.Host, listen netip.AddrPort) (sent,
	seen netip.AddrPort) {
	t.Helper()
	l, err := to.Listen("tcp", listen.String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := from.Dial(ctx, netip.AddrPort{}, dial)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write([]byte("pong")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "pong" {
		t.Fatalf("read %q, %v", b, err)
	}
	return c.LocalAddr().(*net.TCPAddr).AddrPort(), s.RemoteAddr().(*net.TCPAddr).AddrPort()
}

func refused(t *testing.T, from *lab.Host, to netip.AddrPort) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), short)
	defer cancel()
	if c, err := from.Dial(ctx, netip.AddrPort{}, to); err == nil {
		c.Close()
		t.Errorf("%s reaches %s, which it should not", from, to)
	}
}

func TestFirewall(t *testing.T) {
	r, err := lab.NewT(t).Firewall()
	if err != nil {
		t.Fatal(err)
	}
	families(t, func(t *testing.T, ipv6 bool) {
		server := r.Server.AddrPort(ipv6, lab.ControlPort)
		if sent, seen := talk(t, r.Client, server, r.Server, server); sent != seen {
			t.Errorf("client is %s and seen as %s", sent, seen)
		}
		refused(t, r.Client, r.Server.AddrPort(ipv6, 22))
		refused(t, r.Client, r.Inside.AddrPort(ipv6, 22))
		refused(t, r.Server, r.Client.AddrPort(ipv6, 10120))
	})
}

func TestClientBehindNAT(t *testing.T) {
	r, err := lab.NewT(t).ClientBehindNAT()
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Inside.Host("client2", "10.0.13.223", "fd00:13::223")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Inside.Route(second); err != nil {
		t.Fatal(err)
	}
	families(t, func(t *testing.T, ipv6 bool) {
		server := r.Server.AddrPort(ipv6, lab.ControlPort)
		for _, client := range []*lab.Host{r.Client, second} {
			if _, seen := talk(t, client, server, r.Server, server); seen.Addr() != r.Outside.Addr(ipv6) {
				t.Errorf("%s is seen as %s", client, seen)
			}
		}
		refused(t, r.Server, r.Client.AddrPort(ipv6, 10120))
	})
}

func TestServerBehindNAT(t *testing.T) {
	r, err := lab.NewT(t).ServerBehindNAT()
	if err != nil {
		t.Fatal(err)
	}
	inside, err := r.Inside.Host("inside", "10.0.1.77", "fd00:1::77")
	if err != nil {
		t.Fatal(err)
	}
	r.Rules.Hairpin = []netip.Prefix{r.Inside.Prefix(false), r.Inside.Prefix(true)}
	if err := errors.Join(r.Inside.Route(inside), r.SetRules()); err != nil {
		t.Fatal(err)
	}
	families(t, func(t *testing.T, ipv6 bool) {
		dialled, server := r.Outside.AddrPort(ipv6, lab.ControlPort), r.Server.AddrPort(ipv6, lab.ControlPort)
		if sent, seen := talk(t, r.Client, dialled, r.Server, server); sent != seen {
			t.Errorf("client is %s and seen as %s", sent, seen)
		}
		talk(t, r.Gateway, dialled, r.Server, server)
		if _, seen := talk(t, inside, dialled, r.Server, server); seen.Addr() != r.Inside.Addr(ipv6) {
			t.Errorf("the client inside is seen as %s", seen)
		}
		refused(t, r.Client, r.Outside.AddrPort(ipv6, 22))
	})
}

func TestSNATToAddress(t *testing.T) {
	r, err := lab.NewT(t).ClientBehindNAT()
	if err != nil {
		t.Fatal(err)
	}
	r.Rules.Masquerade = nil
	families(t, func(t *testing.T, ipv6 bool) {
		cidr := map[bool]string{false: "203.0.113.9/24", true: "2001:db8:113::9/64"}[ipv6]
		second := netip.MustParsePrefix(cidr).Addr()
		r.Rules.SNAT = []lab.SNAT{{Out: r.Outside.Dev, To: second}}
		if err := errors.Join(r.Gateway.AddAddr(r.Outside.Dev, cidr), r.SetRules()); err != nil {
			t.Fatal(err)
		}
		server := r.Server.AddrPort(ipv6, lab.ControlPort)
		if _, seen := talk(t, r.Client, server, r.Server, server); seen.Addr() != second {
			t.Errorf("client is seen as %s, want %s", seen, second)
		}
	})
}

func TestKernelHelper(t *testing.T) {
	r, err := lab.NewT(t).ClientBehindNAT()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second replaces the first
		if err := r.Gateway.Do(func() error { return lab.KernelHelper(21) }); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCommandRunsOnHost(t *testing.T) {
	h, err := lab.NewT(t).Host("a")
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.Command(t.Context(), "readlink", "/proc/self/ns/net").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want string
	if err := h.Do(func() (err error) {
		want, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("the command runs in %s, want %s", got, want)
	}
}

func TestNoThreadStaysOnAHost(t *testing.T) {
	h, err := lab.NewT(t).Host("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Command(t.Context(), "true").Run(); err != nil {
		t.Fatal(err)
	}
	host, err := os.Stat(h.Netns())
	if err != nil {
		t.Fatal(err)
	}
	threads, _ := filepath.Glob("/proc/self/task/[0-9]*/ns/net")
	if len(threads) == 0 {
		t.Fatal("no thread is seen")
	}
	for _, path := range threads {
		if fi, err := os.Stat(path); err == nil && os.SameFile(fi, host) {
			t.Errorf("%s is the host's", path)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	l := lab.NewT(t)
	r, err := l.Firewall()
	if err != nil {
		t.Fatal(err)
	}
	// A daemon leaves the process group that it was started in.
	c := r.Server.Command(t.Context(), "sh", "-c",
		"setsid sh -c 'echo left; exec sleep 1000' & exec sleep 1000")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "left\n" {
		t.Fatalf("the daemon says %q, %v", line, err)
	}
	// Held open: the kernel gives the number of a namespace that is gone to the next one, anybody's.
	left, err := os.Open(r.Server.Netns())
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob("/run/netns/" + l.Name() + "*"); len(names) > 0 {
		t.Errorf("namespaces are left: %v", names)
	}
	pids, err := inNamespace(left)
	if err != nil {
		t.Fatal(err)
	}
	if len(pids) > 0 {
		t.Errorf("processes are left: %v", pids)
	}
	if _, err := l.Host("late"); err == nil {
		t.Error("a closed lab makes hosts")
	}
}

// inNamespace lists the processes in a network namespace, as paths in /proc.
func inNamespace(ns *os.File) (pids []string, err error) {
	want, err := ns.Stat()
	if err != nil {
		return nil, err
	}
	paths, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range paths {
		if got, err := os.Stat(path); err == nil && os.SameFile(got, want) {
			pids = append(pids, path)
		}
	}
	return pids, nil
}

func TestNewRemovesWhatAKilledProgramLeft(t *testing.T) {
	l := lab.NewT(t)
	// No process has a number above the kernel's limit of 4194304.
	stale := "/run/netns/ftpalg-99999999-abcdef-host"
	if _, err := l.Host("a"); err != nil { // makes the directory
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	lab.NewT(t)
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("%s: %v", stale, err)
	}
	if names, _ := filepath.Glob("/run/netns/" + l.Name() + "*"); len(names) != 1 {
		t.Errorf("a live lab's namespaces: %v", names)
	}
}

func TestTwoLabsAtOnce(t *testing.T) {
	for range 2 {
		if _, err := lab.NewT(t).Firewall(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestErrorsSayWhere(t *testing.T) {
	h, err := lab.NewT(t).Host("a")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		h.Sysctl("net.none.such", "1"),
		h.DefaultRoute(netip.MustParseAddr("10.9.9.9")),
		h.Bridge("br0", []string{"10.0.0.1"}),
	} {
		if err == nil || !strings.Contains(err.Error(), "host a") {
			t.Errorf("%v: does not name the host", err)
		}
	}
}
