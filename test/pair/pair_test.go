package pair

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/lab"
)

// shipped is where the files are that are tested.
const shipped = "../../deploy/ha"

// virtual are the addresses that the active gateway has, by device.
var virtual = map[string][]string{
	"inside":  {"10.0.13.1/24", "fd00:13::1/64"},
	"outside": {"203.0.113.1/24", "2001:db8:113::1/64"},
}

// pair is two gateways between two hosts.
type pair struct {
	t               *testing.T
	dir             string
	inside, outside *lab.Host
	gateways        [2]*gateway
	active          int
}

// gateway is one of them.
type gateway struct {
	*lab.Host
	dir     string
	log     output
	program *lab.Cmd
}

// output is what programs write, from any goroutine.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// newPair makes the network and the gateways, of which none has the virtual addresses yet.
func newPair(t *testing.T) *pair {
	t.Helper()
	need(t, "conntrackd", "nft")
	l := lab.NewT(t)
	dir, err := os.MkdirTemp("/tmp", "pair-") // short: a socket's name has a limit
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &pair{t: t, dir: dir}
	wires, err := l.Host("wires")
	must(t, err)
	for dev := range virtual {
		must(t, wires.Bridge(dev, nil))
	}
	plug := func(h *lab.Host, dev, bridge, port string, addrs ...string) {
		t.Helper()
		must(t, l.Link(wires, port, nil, h, dev, addrs))
		must(t, wires.BridgePort(bridge, port))
	}
	p.inside, err = l.Host("in")
	must(t, err)
	plug(p.inside, "eth0", "inside", "in0", "10.0.13.66/24", "fd00:13::66/64")
	must(t, p.inside.DefaultRoute(netip.MustParseAddr("10.0.13.1"), netip.MustParseAddr("fd00:13::1")))
	p.outside, err = l.Host("out")
	must(t, err)
	plug(p.outside, "eth0", "outside", "out0", "203.0.113.66/24", "2001:db8:113::66/64")
	for i := range p.gateways {
		h, err := l.Host(fmt.Sprintf("g%d", i+1))
		must(t, err)
		g := &gateway{Host: h, dir: filepath.Join(dir, h.String())}
		must(t, os.Mkdir(g.dir, 0o755))
		p.gateways[i] = g
		plug(h, "inside", "inside", fmt.Sprintf("in%d", i+1),
			fmt.Sprintf("10.0.13.%d/24", i+2), fmt.Sprintf("fd00:13::%d/64", i+2))
		plug(h, "outside", "outside", fmt.Sprintf("out%d", i+1),
			fmt.Sprintf("203.0.113.%d/24", i+2), fmt.Sprintf("2001:db8:113::%d/64", i+2))
	}
	must(t, l.Link(p.gateways[0].Host, "sync0", []string{"10.255.0.1/24"},
		p.gateways[1].Host, "sync0", []string{"10.255.0.2/24"}))
	t.Cleanup(p.logs)
	for i, g := range p.gateways {
		g.set(t)
		g.start(t, i == 1)
	}
	return p
}

// logs shows what the gateways wrote, if the test failed.
func (p *pair) logs() {
	for _, g := range p.gateways {
		if g != nil && p.t.Failed() {
			p.t.Logf("the log of %s:\n%s", g, &g.log)
		}
	}
}

// set gives the gateway the settings and the rules.
func (g *gateway) set(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(read(t, "sysctl.conf")) {
		if name, value, ok := strings.Cut(line, "="); ok && line[0] != '#' {
			must(t, g.Sysctl(strings.TrimSpace(name), strings.TrimSpace(value)))
		}
	}
	g.run(t, "nft", "-f", filepath.Join(shipped, "nat.nft"))
}

// serve starts the program.
func (g *gateway) serve(t *testing.T, args ...string) {
	t.Helper()
	was := strings.Count(g.log.String(), "msg=ready")
	g.program = g.Command(context.Background(), program, append([]string{"run",
		"--metrics-address", "", "--socket-path", g.dir + "/sock"}, args...)...)
	g.program.Stdout, g.program.Stderr = &g.log, &g.log
	must(t, g.program.Start())
	ready := func() bool { return strings.Count(g.log.String(), "msg=ready") > was }
	eventually(t, "the program is ready", ready)
}

// start starts the program and then conntrackd: the table must be there before entries come.
func (g *gateway) start(t *testing.T, second bool) {
	t.Helper()
	g.serve(t)
	conf := strings.NewReplacer("/var/log", g.dir, "/var/lock", g.dir, "/var/run", g.dir).
		Replace(read(t, "conntrackd.conf"))
	if second {
		conf = strings.NewReplacer("_address 10.255.0.1\n\t\tIPv4_Destination_Address 10.255.0.2",
			"_address 10.255.0.2\n\t\tIPv4_Destination_Address 10.255.0.1").Replace(conf)
	}
	must(t, os.WriteFile(g.dir+"/conntrackd.conf", []byte(conf), 0o644))
	d := g.Command(context.Background(), "conntrackd", "-C", g.dir+"/conntrackd.conf")
	d.Stdout, d.Stderr = &g.log, &g.log
	must(t, d.Start())
	eventually(t, "conntrackd is there", func() bool {
		c, err := net.Dial("unix", g.dir+"/conntrackd.ctl")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shipped, name))
	must(t, err)
	return string(b)
}

func (g *gateway) run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := g.Command(context.Background(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v on %s: %v\n%s", name, args, g, err, out)
	}
	return string(out)
}

func (g *gateway) notify(t testing.TB, what string) {
	t.Helper()
	g.run(t, "env", "CONNTRACKD_CONF="+g.dir+"/conntrackd.conf", shipped+"/notify", what)
}

func (p *pair) standby() *gateway { return p.gateways[1-p.active] }

// activate gives a gateway the virtual addresses, which the other loses, as keepalived does.
func (p *pair) activate(i int) {
	p.t.Helper()
	p.move(p.gateways[1-i], (*netlink.Handle).AddrDel)
	p.move(p.gateways[i], (*netlink.Handle).AddrReplace)
	p.active = i
	for dev, h := range map[string]*lab.Host{"inside": p.inside, "outside": p.outside} {
		mac, err := p.gateways[i].Netlink().LinkByName(dev)
		must(p.t, err)
		eth, err := h.Netlink().LinkByName("eth0")
		must(p.t, err)
		for _, a := range virtual[dev] {
			must(p.t, h.Netlink().NeighSet(&netlink.Neigh{
				LinkIndex: eth.Attrs().Index, State: netlink.NUD_PERMANENT,
				IP: netip.MustParsePrefix(a).Addr().AsSlice(), HardwareAddr: mac.Attrs().HardwareAddr,
			}))
		}
	}
	p.standby().notify(p.t, "backup")
	p.gateways[i].notify(p.t, "primary")
}

func (p *pair) fail() { p.t.Helper(); p.activate(1 - p.active) }

func (p *pair) move(g *gateway, f func(*netlink.Handle, netlink.Link, *netlink.Addr) error) {
	p.t.Helper()
	for dev, addrs := range virtual {
		link, err := g.Netlink().LinkByName(dev)
		must(p.t, err)
		for _, a := range addrs {
			addr, err := netlink.ParseAddr(a)
			must(p.t, err)
			addr.Flags = unix.IFA_F_NODAD
			if err := f(g.Netlink(), link, addr); err != nil && err != unix.EADDRNOTAVAIL {
				p.t.Fatalf("moving %s of %s: %v", a, g, err)
			}
		}
	}
}

// conn asks the connection tracking of a gateway.
func (g *gateway) conn(t testing.TB, f func(*conntrack.Conn) error) {
	t.Helper()
	must(t, g.Do(func() error {
		c, err := conntrack.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		return f(c)
	}))
}

// flow returns what a gateway has of a control connection.
func (g *gateway) flow(t testing.TB, original conntrack.Tuple) (f conntrack.Flow) {
	t.Helper()
	g.conn(t, func(c *conntrack.Conn) error { f, _ = c.Flow(original); return nil })
	return f
}

// alike waits until the standby has of a control connection what the active gateway has.
func (p *pair) alike(original conntrack.Tuple) {
	p.t.Helper()
	var a, b conntrack.Flow
	defer func() {
		if p.t.Failed() {
			p.t.Logf("active %+v\nstandby %+v", a, b)
		}
	}()
	eventually(p.t, "the entry is replicated", func() bool {
		a, b = p.gateways[p.active].flow(p.t, original), p.standby().flow(p.t, original)
		return a.Helper != "" && a.Helper == b.Helper && a.Tuple == b.Tuple && a.State == b.State &&
			a.Seq == b.Seq && a.Flight == b.Flight
	})
}

// opened waits until the standby expects what the active gateway expects.
func (p *pair) opened(original conntrack.Tuple) {
	p.t.Helper()
	var a, b []conntrack.Expectation
	defer func() {
		if p.t.Failed() {
			p.t.Logf("active %+v\nstandby %+v", a, b)
		}
	}()
	list := func(g *gateway) (es []conntrack.Expectation) {
		g.conn(p.t, func(c *conntrack.Conn) error {
			es, _ = c.ExpectationsOf(original)
			return nil
		})
		return es
	}
	eventually(p.t, "the door is open on the standby", func() bool {
		a, b = list(p.gateways[p.active]), list(p.standby())
		return len(a) == 1 && len(b) == 1 && a[0].Dst == b[0].Dst && a[0].Src == b[0].Src &&
			a[0].Target == b[0].Target && a[0].Translate == b[0].Translate
	})
}
