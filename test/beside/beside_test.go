package beside

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/build"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// patience is how long what must come may take; impatience, how long what must not come is waited for.
const (
	patience   = time.Minute
	impatience = time.Second
)

var program string

func TestMain(m *testing.M) { os.Exit(build.Main(m, &program)) }

func TestTransfersWorkBesideAndAfterAReload(t *testing.T) {
	for _, who := range neighbours {
		t.Run(who.name, func(t *testing.T) {
			n := newNetwork(t, who.at)
			r := enter(t, n.router)
			who.begin(r)
			n.withoutGateway(who.helps)
			g := startGateway(t, n.router)
			out, in := n.login(n.inside, n.away), n.login(n.outside, n.published)
			n.transfers(out, in)
			who.reload(r)
			if who.flushes {
				g.await("the rules were damaged and are repaired")
			}
			n.transfers(out, in)
			n.transfers(n.login(n.inside, n.away), n.login(n.outside, n.published))
			n.wantClosed(30000)
			if who.also != nil {
				who.also(n)
			}
			g.stop()
			if got := strings.Count(g.logged(), `msg="data channel"`); got != 3*5 {
				t.Errorf("the gateway opened %d of %d data channels", got, 3*5)
			}
		})
	}
}

func wantBanned(n *network) {
	n.t.Helper()
	banned, err := n.wan.Host("banned", "203.0.113.77", "2001:db8:113::77")
	must(n.t, err)
	if err := n.dial(banned, n.published); err == nil {
		n.t.Error("who is banned connects")
	}
}

// network is a router between a host inside and one outside, which are a client and a server each. Port 21 of
// the router is forwarded to the host inside.
type network struct {
	t                       testing.TB
	router, inside, outside *lab.Host
	wan                     *lab.Segment
	published, away         netip.AddrPort
	data                    []byte
}

// place is where the host inside is, and what the world takes it for.
type place struct{ dev, router, host, published string }

var (
	gatewayHost = place{dev: "inside", router: "10.0.13.1/24", host: "10.0.13.222", published: "203.0.113.1"}
	dockerHost  = place{dev: "docker0", router: "172.17.0.1/16", host: "172.17.0.2", published: "203.0.113.1"}
)

func newNetwork(t testing.TB, at place) *network {
	t.Helper()
	n := &network{t: t, data: ftptest.Random(300_000, 7)}
	var err error
	n.router, err = lab.NewT(t).Host("router")
	must(t, err)
	lan, err := n.router.Segment(at.dev, at.router, "fd00:13::1/64")
	must(t, err)
	n.inside, err = lan.Host("inside", at.host, "fd00:13::222")
	must(t, err)
	must(t, lan.Route(n.inside))
	n.wan, err = n.router.Segment("outside", "203.0.113.1/24", "2001:db8:113::1/64")
	must(t, err)
	n.outside, err = n.wan.Host("outside", "203.0.113.66", "2001:db8:113::66")
	must(t, err)
	must(t, n.router.Forwarding(true))
	published := netip.MustParseAddr(at.published)
	if published != n.wan.Addr(false) { // nobody has it; somebody says that it is here
		must(t, n.outside.Route(netip.PrefixFrom(published, 32), n.wan.Addr(false)))
	}
	n.published, n.away = netip.AddrPortFrom(published, 21), n.outside.AddrPort(false, 21)
	for _, h := range []*lab.Host{n.inside, n.outside} {
		s := &ftptest.Server{Network: h, CheckAddress: true, Timeout: patience}
		s.Put("file", n.data)
		must(t, s.Start(h.AddrPort(false, 21)))
		t.Cleanup(func() { s.Close() })
	}
	return n
}

func (n *network) login(from *lab.Host, to netip.AddrPort) *ftptest.Client {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n.t.Cleanup(cancel)
	c, err := ftptest.Dial(ctx, from, to)
	must(n.t, err)
	c.Timeout = patience
	n.t.Cleanup(func() { c.Close() })
	must(n.t, c.Login("u", "p"))
	return c
}

// withoutGateway checks that what is tested does not work by itself; with the kernel's helper, what that
// does not see.
func (n *network) withoutGateway(helped bool) {
	n.t.Helper()
	n.wantFailure(n.login(n.outside, n.published), ftptest.EPSV)
	if !helped {
		n.wantFailure(n.login(n.inside, n.away), ftptest.PORT)
	}
}

func (n *network) wantFailure(c *ftptest.Client, m ftptest.Mode) {
	n.t.Helper()
	c.Timeout = impatience
	if _, err := c.Get(m, "file"); err == nil {
		n.t.Errorf("%s to %s works without the gateway: the test proves nothing", m, c.Remote())
	}
}

// transfers has both sessions work in each mode, also in those that the router is in the way of.
func (n *network) transfers(out, in *ftptest.Client) {
	n.t.Helper()
	for _, x := range []struct {
		c    *ftptest.Client
		mode ftptest.Mode
	}{{out, ftptest.PORT}, {out, ftptest.PASV}, {in, ftptest.PASV}, {in, ftptest.EPSV}, {in, ftptest.PORT}} {
		got, err := x.c.Get(x.mode, "file")
		if err != nil {
			n.t.Errorf("%s to %s: %v (answered by %s)", x.mode, x.c.Remote(), err, got.Reply)
		} else if !bytes.Equal(got.Data, n.data) {
			n.t.Errorf("%s to %s: other data came", x.mode, x.c.Remote())
		}
	}
}

func (n *network) wantClosed(port uint16) {
	n.t.Helper()
	if err := n.dial(n.outside, netip.AddrPortFrom(n.published.Addr(), port)); err == nil {
		n.t.Errorf("port %d is open", port)
	}
}

// dial tries to connect once.
func (n *network) dial(from *lab.Host, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(context.Background(), impatience)
	defer cancel()
	c, err := from.Dial(ctx, netip.AddrPort{}, to)
	if err == nil {
		c.Close()
	}
	return err
}

// gateway is the program under test.
type gateway struct {
	t   testing.TB
	cmd *lab.Cmd

	mu  sync.Mutex
	log bytes.Buffer
}

func startGateway(t testing.TB, h *lab.Host) *gateway {
	t.Helper()
	g := &gateway{t: t}
	g.cmd = h.Command(context.Background(), program, "run", "--metrics-address", "", "--socket-path", "")
	g.cmd.Stdout, g.cmd.Stderr = g, g
	must(t, g.cmd.Start())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", g.logged())
		}
	})
	g.await("msg=ready")
	return g
}

// Write takes what the program says.
func (g *gateway) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.Write(b)
}

func (g *gateway) logged() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.String()
}

func (g *gateway) await(what string) {
	g.t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(g.logged(), what); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("the gateway does not say %q", what)
		}
	}
}

func (g *gateway) stop() {
	g.t.Helper()
	must(g.t, g.cmd.Process.Signal(unix.SIGTERM))
	must(g.t, g.cmd.Wait())
}

// document is what the page says in the fence "sh name".
func document(t testing.TB, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text(t, "../../deploy/docs/beside.md"), "\n```sh "+name+"\n")
	if !ok {
		t.Fatalf("no commands of %s in beside.md", name)
	}
	commands, _, _ := strings.Cut(rest, "```\n")
	return commands
}

func text(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	return string(b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
