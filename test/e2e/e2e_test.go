// Package e2e tests the whole gateway: the program itself on a router made of a
// network namespace, with the kernel's own NAT and a forward policy of drop.
//
// The binary is built from this checkout, or named by FTPALG_BINARY where there
// is no compiler, as on the stock kernels that the tests also run on.
package e2e

import (
	"bufio"
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/build"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
	"golang.org/x/sys/unix"
)

// patience is how long a peer waits for what must come; impatience for what must not.
var patience = time.Minute * slowness()

const impatience = time.Second

// slowness is how many times as long things take on a machine that is slow: FTPALG_SLOWNESS=5.
func slowness() time.Duration {
	text := os.Getenv("FTPALG_SLOWNESS")
	if text == "" {
		return 1
	}
	times, err := strconv.Atoi(text)
	if err != nil || times < 1 {
		panic("FTPALG_SLOWNESS=" + text + ": want how many times as long things take")
	}
	return time.Duration(times)
}

var program = os.Getenv("FTPALG_BINARY")

func TestMain(m *testing.M) { os.Exit(build.Main(m, &program)) }

// gateway is the program under test on a host.
type gateway struct {
	t    testing.TB
	host *lab.Host
	args []string
	file string // its configuration, if withConfig made it
	cmd  *lab.Cmd
	ran  chan error

	mu    sync.Mutex
	log   strings.Builder
	wrote chan struct{} // closed at the next line of the log
}

// startGateway runs the program and waits until it is ready.
func startGateway(t testing.TB, h *lab.Host, args ...string) *gateway {
	t.Helper()
	g := &gateway{t: t, host: h, args: args, wrote: make(chan struct{})}
	g.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", g.logged())
		}
	})
	return g
}

// withConfig is startGateway with a configuration file.
func withConfig(t testing.TB, h *lab.Host, yaml string, args ...string) *gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ftpalg.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, h, append(args, "--config", file)...)
	g.file = file
	return g
}

func (g *gateway) start() {
	g.t.Helper()
	args := append([]string{"run", "--metrics-address", "", "--socket-path", ""}, g.args...)
	g.cmd = g.host.Command(context.Background(), program, args...)
	out, w := io.Pipe()
	g.cmd.Stdout, g.cmd.Stderr = w, w
	if err := g.cmd.Start(); err != nil {
		g.t.Fatalf("starting the gateway: %v", err)
	}
	ready := make(chan bool, 1)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			g.mu.Lock()
			g.log.WriteString(s.Text() + "\n")
			close(g.wrote)
			g.wrote = make(chan struct{})
			g.mu.Unlock()
			if strings.Contains(s.Text(), "msg=ready") || strings.Contains(s.Text(), `"msg":"ready"`) {
				ready <- true
			}
		}
	}()
	g.ran = make(chan error, 1)
	go func() { g.ran <- g.cmd.Wait(); w.Close() }()
	select {
	case <-ready:
	case err := <-g.ran:
		g.t.Fatalf("the gateway ended at once: %v\n%s", err, g.logged())
	case <-time.After(patience):
		g.t.Fatalf("the gateway is not ready\n%s", g.logged())
	}
}

func (g *gateway) logged() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.String()
}

// logs waits until the log is as it should be, and tells whether it became so.
func (g *gateway) logs(done func(log string) bool) bool {
	for tooLate := time.After(patience); ; {
		g.mu.Lock()
		log, wrote := g.log.String(), g.wrote
		g.mu.Unlock()
		if done(log) {
			return true
		}
		select {
		case <-wrote:
		case <-tooLate:
			return false
		}
	}
}

// stop ends the program as an operator does.
func (g *gateway) stop() {
	g.t.Helper()
	g.signal(unix.SIGTERM)
	select {
	case err := <-g.ran:
		if err != nil {
			g.t.Errorf("the gateway ended with %v\n%s", err, g.logged())
		}
	case <-time.After(patience):
		g.t.Errorf("the gateway does not end")
	}
}

// kill ends the program as no program should.
func (g *gateway) kill() {
	g.signal(unix.SIGKILL)
	<-g.ran
}

// reload has the program read its configuration again. It looks for signals between
// packets: nudges send it some, else it takes a little longer.
func (g *gateway) reload(nudges ...func()) {
	g.t.Helper()
	const done = "msg=\"configuration reloaded\""
	had := strings.Count(g.logged(), done)
	g.signal(unix.SIGHUP)
	for _, f := range nudges {
		f()
	}
	if !g.logs(func(log string) bool { return strings.Count(log, done) > had }) {
		g.t.Fatalf("the configuration is not reloaded:\n%s", g.logged())
	}
}

func (g *gateway) signal(s unix.Signal) { _ = g.cmd.Process.Signal(s) }

// expectations lists what is open on the gateway.
func (g *gateway) expectations() []conntrack.Expectation { return expectations(g.t, g.host) }

// tracking calls f with the connection tracking of a host.
func tracking(h *lab.Host, f func(*conntrack.Conn) error) error {
	return h.Do(func() error {
		c, err := conntrack.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		return f(c)
	})
}

func expectations(t testing.TB, h *lab.Host) (es []conntrack.Expectation) {
	t.Helper()
	err := tracking(h, func(c *conntrack.Conn) (err error) {
		es, err = c.Expectations()
		return err
	})
	if err != nil {
		t.Fatalf("listing expectations: %v", err)
	}
	return es
}

// wantNothingOpen checks that nobody may connect.
func (g *gateway) wantNothingOpen() {
	g.t.Helper()
	if es := g.expectations(); len(es) > 0 {
		g.t.Errorf("open is %+v, want nothing", es)
	}
}

// routed makes one of the lab's standard networks.
func routed(t testing.TB, kind func(*lab.Lab) (*lab.Routed, error)) *lab.Routed {
	t.Helper()
	r, err := kind(lab.NewT(t))
	must(t, err)
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve starts a server with a file "big" on a host.
func serve(t testing.TB, s *ftptest.Server, h *lab.Host, at netip.AddrPort) *ftptest.Server {
	t.Helper()
	s.Network, s.Timeout = h, patience
	s.Put("big", ftptest.Random(1<<20, 1))
	s.Put("small", ftptest.Random(1000, 2))
	must(t, s.Start(at))
	t.Cleanup(func() { s.Close() })
	return s
}

// login connects a client.
func login(t testing.TB, h *lab.Host, to netip.AddrPort) *ftptest.Client {
	t.Helper()
	c, err := ftptest.Dial(context.Background(), h, to)
	must(t, err)
	c.Timeout = patience
	t.Cleanup(func() { c.Close() })
	must(t, c.Login("u", "p"))
	return c
}

// get retrieves a file and checks that it came whole.
func get(t testing.TB, c *ftptest.Client, s *ftptest.Server, m ftptest.Mode, name string) ftptest.Transfer {
	t.Helper()
	tr, err := c.Get(m, name)
	if err != nil {
		t.Errorf("%s %s: %v (%s, answered by %s)", m, name, err, tr.Sent, tr.Reply)
		return tr
	}
	if want, _ := s.File(name); string(want) != string(tr.Data) {
		t.Errorf("%s %s: %d bytes came, other than the %d sent", m, name, len(tr.Data), len(want))
	}
	return tr
}

// wantFailure checks that a transfer does not work without the gateway.
func wantFailure(t testing.TB, c *ftptest.Client, m ftptest.Mode) {
	t.Helper()
	c.Timeout = impatience
	if tr, err := c.Get(m, "small"); err == nil {
		t.Errorf("%s works without the gateway (%s, answered by %s): the test proves nothing", m, tr.Sent,
			tr.Reply)
	}
}

var families = []struct {
	name string
	ipv6 bool
}{{"IPv4", false}, {"IPv6", true}}

// modes returns the modes of an address family that pass active or passive connections.
func modes(ipv6, active bool) []ftptest.Mode {
	switch {
	case active && ipv6:
		return []ftptest.Mode{ftptest.EPRT}
	case active:
		return []ftptest.Mode{ftptest.PORT, ftptest.EPRT}
	case ipv6:
		return []ftptest.Mode{ftptest.EPSV}
	}
	return []ftptest.Mode{ftptest.PASV, ftptest.EPSV}
}
