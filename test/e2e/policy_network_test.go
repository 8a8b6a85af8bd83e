package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/lab"
	"golang.org/x/sys/unix"
)

// soon is how long an attempt to connect waits that the gateway must not let through. What
// is dropped is sent again only after a second.
const soon = 150 * time.Millisecond

// guarded is a network in which everybody knows a way to everybody and listens on
// the ports in question: only the gateway can be why a connection fails.
type guarded struct {
	*lab.Routed
	g *gateway
	// The neighbours are hosts on the segments of the client and the server.
	clients, servers                 *lab.Segment
	clientNeighbour, serverNeighbour *lab.Host
	dialled                          [2]netip.Addr // by clients, for IPv4 and IPv6
	control                          map[uint16]net.Listener
	// restart, if any, is said before the program is killed and started anew, and then
	// nobody says anything for the pause.
	restart []string
	pause   time.Duration
}

// controlPorts may pass the firewall; only the first is FTP's.
var controlPorts = []uint16{21, 80, 587}

type kind struct {
	name            string
	make            func(*lab.Lab) (*lab.Routed, error)
	active, passive bool // whose ports are guarded: the client's, the server's
}

var kinds = []kind{
	{"firewall", (*lab.Lab).Firewall, true, true},
	{"masquerade", (*lab.Lab).ClientBehindNAT, true, false},
	{"forwarded port", (*lab.Lab).ServerBehindNAT, false, true},
}

// newGuarded makes the network and starts the gateway with a configuration.
func newGuarded(t testing.TB, k kind, yaml string, args ...string) *guarded {
	t.Helper()
	n := &guarded{Routed: routed(t, k.make), control: map[uint16]net.Listener{}}
	n.clients, n.servers = n.Inside, n.Outside
	outsider := n.Server
	if !k.active {
		n.clients, n.servers, outsider = n.Outside, n.Inside, n.Client
	}
	if k.active != k.passive { // behind NAT the outside knows no way to the inside
		must(t, n.Outside.Route(outsider))
	}
	n.clientNeighbour = neighbour(t, n.clients, "client-neighbour")
	n.serverNeighbour = neighbour(t, n.servers, "server-neighbour")
	n.Rules.Forward = &lab.Policy{}
	for _, port := range controlPorts {
		n.Rules.Forward.Accept = append(n.Rules.Forward.Accept, lab.Accept{Port: port})
		l, err := n.Server.Listen("tcp", anyAddress(port))
		must(t, err)
		t.Cleanup(func() { l.Close() })
		n.control[port] = l
	}
	must(t, n.SetRules())
	for i, f := range families {
		n.dialled[i] = n.Server.Addr(f.ipv6)
		if !k.active {
			n.dialled[i] = n.Outside.Addr(f.ipv6)
		}
	}
	n.g = withConfig(t, n.Gateway, yaml, args...)
	return n
}

func neighbour(t testing.TB, s *lab.Segment, name string) *lab.Host {
	t.Helper()
	h, err := s.Host(name, neighbourAddr(s, false).String(), neighbourAddr(s, true).String())
	must(t, err)
	must(t, s.Route(h))
	return h
}

// neighbourAddr is the address in the segment that ends in 99, or ::63.
func neighbourAddr(s *lab.Segment, ipv6 bool) netip.Addr {
	b := s.Addr(ipv6).AsSlice()
	b[len(b)-1] = 99
	a, _ := netip.AddrFromSlice(b)
	return a
}

func anyAddress(port uint16) string {
	return netip.AddrPortFrom(netip.IPv6Unspecified(), port).String()
}

func index(ipv6 bool) int {
	if ipv6 {
		return 1
	}
	return 0
}

// listen has all hosts answer on a port with their name.
func (n *guarded) listen(t testing.TB, port uint16) {
	t.Helper()
	for _, h := range []*lab.Host{n.Client, n.Server, n.Gateway, n.clientNeighbour, n.serverNeighbour} {
		l, err := h.Listen("tcp", anyAddress(port))
		must(t, err)
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return // closed
				}
				_, _ = io.WriteString(c, h.String()) // the other side tells whether it came
				c.Close()
			}
		}()
	}
}

// reach connects and returns the name of the host that answers, or "".
func reach(from *lab.Host, to netip.AddrPort, wait time.Duration) string {
	return reachBy(from, netip.AddrPort{}, to, wait)
}

// reachBy is reach from a port of one's choice.
func reachBy(from *lab.Host, local, to netip.AddrPort, wait time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	c, err := from.Dial(ctx, local, to)
	if err != nil {
		return ""
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return "an unknown host"
	}
	name, err := io.ReadAll(c)
	if err != nil || len(name) == 0 {
		return "an unknown host"
	}
	return string(name)
}

// source is a port that no connection was made from: ports outside change, and the kernel
// drops what would come to the same port of a host from the same one as an earlier connection.
var source atomic.Uint32

// reachAnew is reach, patiently, from a port that was not used before. None that is
// listened on is among those.
func reachAnew(from *lab.Host, to netip.AddrPort) string {
	const first, ports = 10240, 19000
	local := from.AddrPort(to.Addr().Is6(), uint16(first+source.Add(1)%ports))
	return reachBy(from, local, to, patience)
}

// wantClosed checks that a host reaches nobody on a port of the other side: not the
// guarded host, not its neighbour, and not through any address of the gateway.
func (n *guarded) wantClosed(t testing.TB, from *lab.Host, ipv6 bool, port uint16) {
	t.Helper()
	peer, beside := n.Client, n.clientNeighbour
	if from == n.Client || from == n.clientNeighbour {
		peer, beside = n.Server, n.serverNeighbour
	}
	reached := make(chan string)
	targets := []netip.Addr{peer.Addr(ipv6), beside.Addr(ipv6), n.Inside.Addr(ipv6), n.Outside.Addr(ipv6)}
	for _, a := range targets {
		go func() {
			to := netip.AddrPortFrom(a, port)
			who := reach(from, to, soon)
			if who != "" {
				who += " at " + to.String()
			}
			reached <- who
		}()
	}
	for range targets {
		if who := <-reached; who != "" {
			t.Errorf("%s reaches %s", from, who)
		}
	}
}

// dialogue is a control connection of which a test plays both sides.
type dialogue struct {
	testing.TB
	client, server *net.TCPConn
}

func (n *guarded) connect(t testing.TB, from *lab.Host, ipv6 bool, port uint16) *dialogue {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := from.Dial(ctx, netip.AddrPort{}, netip.AddrPortFrom(n.dialled[index(ipv6)], port))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	s, err := n.control[port].Accept()
	must(t, err)
	t.Cleanup(func() { s.Close() })
	d := &dialogue{t, c.(*net.TCPConn), s.(*net.TCPConn)}
	must(t, d.client.SetDeadline(time.Now().Add(patience)))
	must(t, d.server.SetDeadline(time.Now().Add(patience)))
	return d
}

// play says lines, each of which begins with who says them, and returns what the
// other side received of the last. "c>" and "s>" are text of the client and the server,
// "c!FIN" is the end of what one says, and "c!RST" a reset.
func (d *dialogue) play(segments ...string) (received string) {
	d.Helper()
	for _, seg := range segments {
		from, to := d.client, d.server
		if seg[0] == 's' {
			from, to = to, from
		}
		switch what := seg[1:]; what {
		case "!FIN":
			must(d, from.CloseWrite())
			_, err := io.ReadAll(to)
			must(d, err)
		case "!RST":
			must(d, from.SetLinger(0))
			must(d, from.Close())
			if _, err := io.ReadAll(to); err == nil {
				d.Errorf("a reset arrived as the end of the text")
			}
		default:
			_, err := io.WriteString(from, what[1:])
			must(d, err)
			received = d.receive(from, to, what[1:])
		}
	}
	return received
}

// receive reads what was said; only whole lines may have another length here. Of a piece of a line a part
// may come later, with its end; it is acknowledged all the same.
func (d *dialogue) receive(from, to *net.TCPConn, said string) string {
	d.Helper()
	var got []byte
	buf := make([]byte, 1<<16)
	lines := strings.Count(said, "\n")
	if !strings.HasSuffix(said, "\n") {
		d.awaitAcknowledgement(from)
		buf = buf[:d.queued(to, unix.SIOCINQ)]
		_, err := io.ReadFull(to, buf)
		must(d, err)
		return string(buf)
	}
	for bytes.Count(got, []byte("\n")) < lines {
		k, err := to.Read(buf)
		if err != nil {
			d.Fatalf("of %.80q came %.80q: %v", said, got, err)
		}
		got = append(got, buf[:k]...)
	}
	return string(got)
}

// original is the tuple by which the kernel knows the control connection.
func (d *dialogue) original() conntrack.Tuple {
	return conntrack.Tuple{
		Src: d.client.LocalAddr().(*net.TCPAddr).AddrPort(),
		Dst: d.client.RemoteAddr().(*net.TCPAddr).AddrPort(),
	}
}

// state is what the kernel keeps of a control connection.
func (g *gateway) state(t conntrack.Tuple) conntrack.State {
	g.t.Helper()
	var f conntrack.Flow
	must(g.t, tracking(g.host, func(c *conntrack.Conn) (err error) {
		f, err = c.Flow(t)
		return err
	}))
	return f.State
}

// wantState waits until the bits in mask have these values.
func (g *gateway) wantState(t testing.TB, flow conntrack.Tuple, mask, want conntrack.State) {
	t.Helper()
	for deadline := time.Now().Add(patience); g.state(flow)&mask != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("the kernel keeps the state %b, want %b in %b", g.state(flow), want, mask)
			return
		}
	}
}

// frozen does something while the program answers nothing.
func (g *gateway) frozen(f func()) {
	g.t.Helper()
	g.signal(unix.SIGSTOP)
	defer g.signal(unix.SIGCONT)
	// This returns when all threads have stopped; it does not wait for the end.
	must(g.t, unix.Waitid(unix.P_PID, g.cmd.Process.Pid, nil, unix.WSTOPPED, nil))
	f()
}

// threads names the status files of the program's threads.
func (g *gateway) threads() []string {
	g.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", g.cmd.Process.Pid))
	must(g.t, err)
	if len(files) == 0 {
		g.t.Fatal("the gateway has no threads")
	}
	return files
}

// wantRefusals waits until the log gives these reasons behind the first skip.
func (g *gateway) wantRefusals(t testing.TB, skip int, want ...string) {
	t.Helper()
	g.logs(func(log string) bool { return len(refusals(log)) >= skip+len(want) })
	if got := g.refusals()[skip:]; !slices.Equal(got, want) {
		t.Errorf("the log gives the reasons %q, want %q", got, want)
	}
}
