package pair

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/lab"
)

// shipped is where the files are that are tested.
var shipped = deployed()

// deployed is beside the room of the tests, which may be any.
func deployed() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../../deploy/ha")
}

// virtual are the addresses that the active gateway has, by device.
var virtual = map[string][]string{
	"inside":  {"10.0.13.1/24", "fd00:13::1/64"},
	"outside": {"203.0.113.1/24", "2001:db8:113::1/64"},
}

// Pair is two gateways between two hosts.
type Pair struct {
	Inside, Outside *lab.Host
	Wires           *lab.Host // the two networks, each a bridge
	Gateways        [2]*Gateway
	Active          int // which of them has the virtual addresses

	t    testing.TB
	lab  *lab.Lab
	dir  string
	ends []end
}

// end is a host that is no gateway, and the network that it is in.
type end struct {
	*lab.Host
	dev string
}

// Gateway is one of them.
type Gateway struct {
	*lab.Host
	Dir     string   // for what its programs write, and their sockets
	Log     Output   // of its programs
	Program *lab.Cmd // ftpalg, if a test runs it here
	carrier *lab.Cmd // conntrackd
}

// New makes the network and the gateways, with their settings and rules. No program runs yet, and none of
// them has the virtual addresses.
func New(t testing.TB) *Pair {
	t.Helper()
	need(t, "conntrackd", "nft")
	p := &Pair{t: t, lab: lab.NewT(t)}
	var err error
	p.dir, err = os.MkdirTemp("/tmp", "pair-") // short: a socket's name has a limit
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(p.dir) })
	p.Wires, err = p.lab.Host("wires")
	must(t, err)
	for dev := range virtual {
		must(t, p.Wires.Bridge(dev, nil))
	}
	p.Inside = p.Join("in", "inside", "10.0.13.66/24", "fd00:13::66/64")
	p.Outside = p.Join("out", "outside", "203.0.113.66/24", "2001:db8:113::66/64")
	for i := range p.Gateways {
		h, err := p.lab.Host(fmt.Sprintf("g%d", i+1))
		must(t, err)
		g := &Gateway{Host: h, Dir: filepath.Join(p.dir, h.String())}
		must(t, os.Mkdir(g.Dir, 0o755))
		p.Gateways[i] = g
		p.plug(h, "inside", "inside", fmt.Sprintf("in%d", i+1),
			fmt.Sprintf("10.0.13.%d/24", i+2), fmt.Sprintf("fd00:13::%d/64", i+2))
		p.plug(h, "outside", "outside", fmt.Sprintf("out%d", i+1),
			fmt.Sprintf("203.0.113.%d/24", i+2), fmt.Sprintf("2001:db8:113::%d/64", i+2))
	}
	must(t, p.lab.Link(p.Gateways[0].Host, "sync0", []string{"10.255.0.1/24"},
		p.Gateways[1].Host, "sync0", []string{"10.255.0.2/24"}))
	t.Cleanup(p.logs)
	for _, g := range p.Gateways {
		g.set(t)
	}
	return p
}

// Join adds a host to the network behind a device of the gateways. One inside sends to them what is for
// elsewhere.
func (p *Pair) Join(name, dev string, addrs ...string) *lab.Host {
	p.t.Helper()
	h, err := p.lab.Host(name)
	must(p.t, err)
	p.plug(h, "eth0", dev, "to-"+name, addrs...)
	if dev == "inside" {
		must(p.t, h.DefaultRoute(netip.MustParseAddr("10.0.13.1"), netip.MustParseAddr("fd00:13::1")))
	}
	p.ends = append(p.ends, end{h, dev})
	return h
}

// plug puts a device of a host into a network.
func (p *Pair) plug(h *lab.Host, dev, network, port string, addrs ...string) {
	p.t.Helper()
	must(p.t, p.lab.Link(p.Wires, port, nil, h, dev, addrs))
	must(p.t, p.Wires.BridgePort(network, port))
}

// logs shows what the gateways wrote, if the test failed.
func (p *Pair) logs() {
	for _, g := range p.Gateways {
		if g != nil && p.t.Failed() {
			p.t.Logf("the log of %s:\n%s", g, &g.Log)
		}
	}
}

// set gives the gateway the settings and the rules.
func (g *Gateway) set(t testing.TB) {
	t.Helper()
	for line := range strings.Lines(read(t, "sysctl.conf")) {
		if name, value, ok := strings.Cut(line, "="); ok && line[0] != '#' {
			must(t, g.Sysctl(strings.TrimSpace(name), strings.TrimSpace(value)))
		}
	}
	g.Run(t, "nft", "-f", filepath.Join(shipped, "nat.nft"))
}

// Replicate starts conntrackd, after the program: its table must be there before entries come.
func (g *Gateway) Replicate(t testing.TB, second bool) {
	t.Helper()
	conf := strings.NewReplacer("/var/log", g.Dir, "/var/lock", g.Dir, "/var/run", g.Dir).
		Replace(read(t, "conntrackd.conf"))
	if second {
		conf = strings.NewReplacer("_address 10.255.0.1\n\t\tIPv4_Destination_Address 10.255.0.2",
			"_address 10.255.0.2\n\t\tIPv4_Destination_Address 10.255.0.1").Replace(conf)
	}
	must(t, os.WriteFile(g.Dir+"/conntrackd.conf", []byte(conf), 0o644))
	d := g.Command(context.Background(), "conntrackd", "-C", g.Dir+"/conntrackd.conf")
	d.Stdout, d.Stderr = &g.Log, &g.Log
	must(t, d.Start())
	g.carrier = d
	eventually(t, "conntrackd is there", func() bool {
		c, err := net.Dial("unix", g.Dir+"/conntrackd.ctl")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shipped, name))
	must(t, err)
	return string(b)
}

// Run runs a program on the gateway, and returns what it wrote.
func (g *Gateway) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := g.Command(context.Background(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v on %s: %v\n%s", name, args, g, err, out)
	}
	return string(out)
}

// Listen listens to what happens to the connections of the gateway, until the test ends.
func (g *Gateway) Listen(t testing.TB, kinds conntrack.Kind, buffer int) (l *conntrack.Listener) {
	t.Helper()
	must(t, g.Do(func() (err error) {
		l, err = conntrack.Listen(kinds, buffer, conntrack.DefaultLayout)
		return err
	}))
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func (g *Gateway) notify(t testing.TB, what string) {
	t.Helper()
	g.Run(t, "env", "CONNTRACKD_CONF="+g.Dir+"/conntrackd.conf", shipped+"/notify", what)
}

// Standby is the gateway that is not active.
func (p *Pair) Standby() *Gateway { return p.Gateways[1-p.Active] }

// Activate gives a gateway the virtual addresses, which the other loses, as keepalived does.
func (p *Pair) Activate(i int) {
	p.t.Helper()
	p.move(p.Gateways[1-i], (*netlink.Handle).AddrDel)
	p.move(p.Gateways[i], (*netlink.Handle).AddrReplace)
	p.Active = i
	p.Lead(i)
	p.Standby().notify(p.t, "backup")
	p.Gateways[i].notify(p.t, "primary")
}

// Lead has the hosts send to a gateway what is for the virtual addresses, whoever has them.
func (p *Pair) Lead(i int) {
	p.t.Helper()
	for _, h := range p.ends {
		mac, err := p.Gateways[i].Netlink().LinkByName(h.dev)
		must(p.t, err)
		eth, err := h.Netlink().LinkByName("eth0")
		must(p.t, err)
		for _, a := range virtual[h.dev] {
			must(p.t, h.Netlink().NeighSet(&netlink.Neigh{
				LinkIndex: eth.Attrs().Index, State: netlink.NUD_PERMANENT,
				IP: netip.MustParsePrefix(a).Addr().AsSlice(), HardwareAddr: mac.Attrs().HardwareAddr,
			}))
		}
	}
}

func (p *Pair) move(g *Gateway, f func(*netlink.Handle, netlink.Link, *netlink.Addr) error) {
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

// Plug puts the cable of a gateway's device in, or pulls it out.
func (p *Pair) Plug(i int, dev string, in bool) {
	p.t.Helper()
	port, err := p.Wires.Netlink().LinkByName(fmt.Sprintf("%s%d", strings.TrimSuffix(dev, "side"), i+1))
	must(p.t, err)
	set := p.Wires.Netlink().LinkSetDown
	if in {
		set = p.Wires.Netlink().LinkSetUp
	}
	must(p.t, set(port))
}

// Rules is the file with the rules of an operator, as a reload of the firewall has it.
func (p *Pair) Rules() string { return filepath.Join(shipped, "nat.nft") }
