package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// What strangers send must not cost others: in each case a neighbour's session and transfer work within its
// patience, the program's memory stays below a bound, and what comes is counted.

// mostMemory is what the program may have had at most in any of these cases, in MiB. It has 14 with next to
// no traffic.
const mostMemory = 64

// flooded is a gateway with a neighbour who is logged in, and a stranger beside it.
type flooded struct {
	*lab.Routed
	*testing.T
	g         *gateway
	socket    string // to ask it by
	s         *ftptest.Server
	at        netip.AddrPort
	neighbour *ftptest.Client
	stranger  *lab.Host
}

func newFlooded(t *testing.T, kind func(*lab.Lab) (*lab.Routed, error), yaml string) *flooded {
	f := &flooded{Routed: routed(t, kind), T: t}
	f.at = f.Server.AddrPort(false, lab.ControlPort)
	f.stranger = neighbour(t, f.Inside, "stranger")
	f.s = serve(t, &ftptest.Server{}, f.Server, f.at)
	f.socket = filepath.Join(t.TempDir(), "s")
	f.g = withConfig(t, f.Gateway, yaml, metered, "--socket-path", f.socket)
	f.neighbour = login(t, f.Client, f.at)
	return f
}

// unharmed has the neighbour say something, which also waits until the gateway is through with what came
// before.
func (f *flooded) unharmed() {
	f.Helper()
	if r, err := f.neighbour.Cmd("NOOP"); err != nil || !r.OK() {
		f.Fatalf("the neighbour's NOOP: %v, %v", r, err)
	}
}

// transfers has the neighbour transfer a file in the session that it has and in a new one.
func (f *flooded) transfers() {
	f.Helper()
	get(f, f.neighbour, f.s, ftptest.PORT, "small")
	c := login(f, f.Client, f.at)
	get(f, c, f.s, ftptest.EPRT, "big")
	if _, err := c.Cmd("QUIT"); err != nil {
		f.Error(err)
	}
}

// bounded checks the most memory that the program ever had.
func (f *flooded) bounded() {
	f.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.g.cmd.Process.Pid))
	must(f, err)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "VmHWM:" {
			n, err := strconv.Atoi(fields[1])
			must(f, err)
			if f.Logf("the program had %d MiB at most", n/1024); n/1024 > mostMemory {
				f.Errorf("the program had %d MiB, want %d at most", n/1024, mostMemory)
			}
			return
		}
	}
	f.Fatal("the kernel does not tell how much memory the program had")
}

// until waits for a counter to be as it should be.
func (f *flooded) until(name string, ok func(n int) bool) {
	f.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		n := f.g.counter(f, name)
		if ok(n) {
			return
		}
		if time.Now().After(end) {
			f.Fatalf("%s is %d", name, n)
		}
	}
}

func atLeast(n int) func(int) bool { return func(is int) bool { return is >= n } }
func exactly(n int) func(int) bool { return func(is int) bool { return is == n } }

// silent is a network whose hosts answer nothing: it lies behind the stranger, who does not forward.
var silent = netip.MustParsePrefix("10.99.0.0/16")

// syns sends n SYNs, each from another port, and each 60,000 from another address of the silent network,
// and has the neighbour say something now and then.
func (f *flooded) syns(n int, to netip.AddrPort) {
	f.Helper()
	const first, ports = 1024, 60000
	must(f, f.Gateway.Route(silent, f.stranger.Addr(false)))
	wire, from := newRaw(f, f.stranger), silent.Addr()
	for i := range n {
		if i%ports == 0 {
			from = from.Next()
		}
		src := netip.AddrPortFrom(from, uint16(first+i%ports))
		wire.send(conntrack.Tuple{Src: src, Dst: to}, uint32(i), 0, rewrite.SYN, nil)
		if i%1000 == 999 {
			f.unharmed()
		}
	}
}

// The client's kernel throws away what answers the SYNs, without a reset.
func TestSYNsInTheNameOfAClientCostItNothing(t *testing.T) {
	f := newFlooded(t, (*lab.Lab).ClientBehindNAT, "")
	must(t, f.Client.SetRules(lab.Ruleset{Input: &lab.Policy{Accept: []lab.Accept{{Port: 30730}}}}))
	n := scaled(t, 1100)
	wire := newRaw(t, f.stranger)
	for i := range n {
		src := netip.AddrPortFrom(f.Client.Addr(false), uint16(10000+i))
		wire.send(conntrack.Tuple{Src: src, Dst: f.at}, uint32(i), 0, rewrite.SYN, nil)
		if i%100 == 99 {
			f.unharmed()
		}
	}
	f.until("handshakes_total", atLeast(n/2)) // a few may be lost
	f.neighbour.ActivePort = 30730
	get(t, f.neighbour, f.s, ftptest.PORT, "small")
	c := login(t, f.Client, f.at)
	c.ActivePort = 30730
	get(t, c, f.s, ftptest.EPRT, "big")
	f.until("control_sessions", exactly(2))
	f.bounded()
}

func TestHalfOpenConnectionsLeaveOthersUnharmed(t *testing.T) {
	f := newFlooded(t, (*lab.Lab).Firewall, "")
	n := scaled(t, 50000)
	f.syns(n, f.at)
	f.transfers()
	f.until("handshakes_total", atLeast(n/2))
	f.until("control_sessions", exactly(1))
	f.bounded()
}

// A session that was one too many may open ports when the others are gone.
func TestClientsThatVanishedAreForgotten(t *testing.T) {
	n := scaled(t, 1100)
	limit := n * 1024 / 1100
	f := newFlooded(t, (*lab.Lab).ClientBehindNAT,
		fmt.Sprintf("limits: {per_client: {sessions: %d}}", limit))
	var gone []*ftptest.Client
	for range n {
		gone = append(gone, login(t, f.stranger, f.at))
	}
	late := login(t, f.stranger, f.at)
	f.g.counts(t, refused("session_limit"), 1, func() {
		wantRefusal(t, late, "PORT 10,0,13,99,120,10", 500, 501)
	})
	f.transfers()
	clients := map[netip.AddrPort]bool{}
	for _, c := range gone {
		clients[c.Local()] = true
		vanish(t, c.Conn())
	}
	expire(t, f.Gateway, func(e *conntrack.Entry) bool { return clients[e.Tuple[conntrack.Original].Src] })
	f.until("control_sessions", exactly(2))
	f.until("control_sessions_vanished_total", atLeast(n/2)) // what is repeated to a client may be reset
	get(t, late, f.s, ftptest.PORT, "small")
	get(t, login(t, f.stranger, f.at), f.s, ftptest.PORT, "small")
	f.transfers()
	f.bounded()
}

// expire has connection tracking forget control connections.
func expire(t testing.TB, h *lab.Host, which func(*conntrack.Entry) bool) {
	t.Helper()
	must(t, tracking(h, func(c *conntrack.Conn) error {
		var all []conntrack.Tuple
		err := c.Entries(conntrack.Filter{State: conntrack.StateControl}, func(e *conntrack.Entry) {
			if which(e) {
				all = append(all, e.Tuple[conntrack.Original])
			}
		})
		for _, e := range all {
			if gone := c.Remove(e, 0); !errors.Is(gone, conntrack.ErrNotFound) {
				err = errors.Join(err, gone)
			}
		}
		return err
	}))
}

// Ten thousand of them are in a test of package alg.
func TestEndlessLinesLeaveOthersUnharmed(t *testing.T) {
	f := newFlooded(t, (*lab.Lab).ClientBehindNAT, "")
	n := scaled(t, 300)
	for _, start := range []string{"PORT 1", "STOR a"} {
		line := []byte(start + string(bytes.Repeat([]byte(" "), 32<<10)))
		for range n / 2 {
			must(t, login(t, f.stranger, f.at).Write(line))
		}
		f.unharmed()
	}
	f.transfers()
	f.until("control_sessions", exactly(1+n))
	f.bounded()
}

func TestSegmentsOutOfOrderLeaveOthersUnharmed(t *testing.T) {
	f := newFlooded(t, (*lab.Lab).ClientBehindNAT, "")
	n := scaled(t, 10000)
	const connections = 50
	wire := newRaw(t, f.stranger)
	type flow struct {
		conntrack.Tuple
		seq, ack uint32
	}
	var flows []flow
	for range connections {
		c := login(t, f.stranger, f.at)
		x := flow{Tuple: conntrack.Tuple{Src: c.Local(), Dst: f.at}}
		x.seq, x.ack = numbers(t, c.Conn())
		flows = append(flows, x)
	}
	data := bytes.Repeat([]byte("NOOP\r\n"), 20)
	for i := range n {
		x := &flows[i%connections]
		x.seq += uint32(len(data)) // the first never comes
		wire.send(x.Tuple, x.seq, x.ack, rewrite.ACK, data)
		if i%500 == 499 {
			f.unharmed()
		}
	}
	// 1024 may wait, and the rest is dropped. What another worker than the neighbour's has not read yet is
	// counted too.
	f.until("queue_waiting_packets", func(n int) bool { return 0 < n && n <= 1024 })
	if f.g.counter(t, `packets_untouched_total{reason="out_of_order"}`) < n/2 {
		t.Error("what came out of order is not counted")
	}
	f.transfers()
	f.bounded()
}

// fill fills the kernel's table of expectations. Half-open control connections are their masters.
func (f *flooded) fill() (clear func()) {
	const file = "/proc/sys/net/netfilter/nf_conntrack_expect_max"
	limit := number(f, f.Gateway, file)
	if limit > 20000 {
		f.Skipf("SKIPPED, NOT TESTED: %s is %d", file, limit)
	}
	f.syns(limit+limit/2, f.at) // some may be lost
	masters := make(map[conntrack.Tuple]bool)
	must(f, tracking(f.Gateway, func(c *conntrack.Conn) error {
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			// Those whose answer has not passed the gateway yet are found the next time.
			err := expectOfAll(c, masters)
			if errors.Is(err, conntrack.ErrTableFull) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return fmt.Errorf("the table of %d is not full with %d expectations", limit, len(masters))
	}))
	return func() {
		expire(f, f.Gateway, func(e *conntrack.Entry) bool {
			return silent.Contains(e.Tuple[conntrack.Original].Src.Addr())
		})
	}
}

// expectOfAll makes an expectation of each half-open control connection that has none yet.
func expectOfAll(c *conntrack.Conn, masters map[conntrack.Tuple]bool) error {
	var fresh []conntrack.Tuple
	err := c.Entries(conntrack.Filter{State: conntrack.StateControl}, func(e *conntrack.Entry) {
		if t := e.Tuple[conntrack.Original]; silent.Contains(t.Src.Addr()) && !masters[t] {
			fresh = append(fresh, t)
		}
	})
	if err != nil {
		return err
	}
	for _, m := range fresh {
		target := netip.AddrPortFrom(m.Src.Addr(), uint16(20000+len(masters)))
		masters[m] = true
		err := c.Expect(&conntrack.Expectation{Master: m, Src: m.Dst.Addr(), Dst: target, Target: target,
			Dir: conntrack.Reply, Timeout: time.Minute})
		if err != nil && !errors.Is(err, conntrack.ErrNotFound) {
			return err
		}
	}
	return nil
}

// When no port can be opened the client hears of it at once, and its session goes on.
func TestFullExpectationTable(t *testing.T) {
	f := newFlooded(t, (*lab.Lab).Firewall, "")
	clear := f.fill()
	f.g.counts(t, refused("table_full"), 2, func() {
		wantRefusal(t, f.neighbour, "PORT 10,0,13,222,120,10", 500, 501)
		wantRefusal(t, f.neighbour, "EPSV", 425)
	})
	f.g.kill()
	f.g.start() // that there is no room does not say that the kernel lacks something
	f.unharmed()
	clear()
	f.transfers()
	f.bounded()
}

// The kernel makes room for who comes by dropping connections in which nobody answered.
func TestFullConnectionTable(t *testing.T) {
	const file = "/proc/sys/net/netfilter/nf_conntrack_max"
	f := newFlooded(t, (*lab.Lab).Firewall, "")
	limit := number(t, f.Gateway, file) // counts in each network namespace by itself
	if limit > 300000 {
		t.Skipf("SKIPPED, NOT TESTED: %s is %d", file, limit)
	}
	f.Rules.Forward.Accept = append(f.Rules.Forward.Accept, lab.Accept{Port: 80})
	must(t, f.SetRules())
	f.syns(limit+limit/20, netip.AddrPortFrom(silent.Addr().Next(), 80))
	if n := number(t, f.Gateway, "/proc/sys/net/netfilter/nf_conntrack_count"); n < limit*9/10 {
		t.Fatalf("the table has %d entries, the test proves nothing", n)
	}
	f.transfers()
	const told = "raise net.netfilter.nf_conntrack_max"
	out, code := (&asked{f.g, f.Routed, f.socket}).ask("status")
	if code != 1 || !strings.Contains(out, told) {
		t.Errorf("status ends with %d, want %q in\n%s", code, told, out)
	}
	f.bounded()
}
