package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// badNetwork is what each of the four ways between a peer and the gateway does: of the
// packets 5 % are lost and 5 % overtake those before them; the others take 5 ms, give or
// take 2 ms, and so overtake each other as well.
var badNetwork = netlink.NetemQdiscAttrs{Latency: 5000, Jitter: 2000, Loss: 5, ReorderProb: 5}

const (
	// lossyPatience is how long a peer waits in the bad network, where several
	// handshakes in a row may be lost.
	lossyPatience = 2 * time.Minute
	// sessionsAtOnce is how many clients transfer files at the same time, in each
	// network: a transfer mostly waits for a retransmission.
	sessionsAtOnce = 20
	transfers      = 1000
)

// transferCount is how many transfers are made in all.
func transferCount(t testing.TB) int {
	t.Helper()
	text := os.Getenv("FTPALG_TRANSFERS")
	if text == "" {
		return transfers
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("FTPALG_TRANSFERS=%s: want a number of transfers", text)
	}
	return n
}

// path is a device that packets leave through, with its discipline.
type path struct {
	host *lab.Host
	link netlink.Link
}

// worsen makes both ways between each peer and the gateway bad. A kernel without netem
// skips the test, or fails it if FTPALG_REQUIRE_NETEM=1.
func worsen(t testing.TB, r *lab.Routed) (paths []path) {
	t.Helper()
	for _, d := range []struct {
		host *lab.Host
		dev  string
	}{{r.Client, "eth0"}, {r.Server, "eth0"}, {r.Gateway, r.Inside.Dev + "1"},
		{r.Gateway, r.Outside.Dev + "1"}} {
		link, err := d.host.Netlink().LinkByName(d.dev)
		must(t, err)
		attrs := netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT,
			Handle: netlink.MakeHandle(1, 0)}
		err = d.host.Netlink().QdiscReplace(netlink.NewNetem(attrs, badNetwork))
		switch {
		case errors.Is(err, unix.ENOENT) && os.Getenv("FTPALG_REQUIRE_NETEM") != "1":
			t.Skipf("SKIPPED, NOT TESTED: the kernel has no netem (FTPALG_REQUIRE_NETEM=1 makes this a "+
				"failure): %v", err)
		case err != nil:
			t.Fatalf("netem on %s of host %s: %v", d.dev, d.host, err)
		}
		paths = append(paths, path{d.host, link})
	}
	return paths
}

// wantLosses checks that packets were lost on each path.
func wantLosses(t testing.TB, paths []path) {
	t.Helper()
	for _, p := range paths {
		disciplines, err := p.host.Netlink().QdiscList(p.link)
		must(t, err)
		i := slices.IndexFunc(disciplines, func(q netlink.Qdisc) bool { return q.Type() == "netem" })
		if i < 0 {
			t.Errorf("%s of host %s has lost its netem", p.link.Attrs().Name, p.host)
			continue
		}
		s := disciplines[i].Attrs().Statistics
		t.Logf("%s of host %s lost %d packets, %d passed", p.link.Attrs().Name, p.host, s.Queue.Drops,
			s.Basic.Packets)
		if s.Queue.Drops == 0 {
			t.Errorf("no packet was lost on %s of host %s, the test proves nothing", p.link.Attrs().Name,
				p.host)
		}
	}
}

// lossyClient is one of the sessions in a bad network.
type lossyClient struct {
	from   *lab.Host
	at     netip.AddrPort
	server *ftptest.Server
	modes  []ftptest.Mode
	name   string // distinguishes its files from those of others
	number uint64
}

// connect logs in. Not even the greeting need arrive in time.
func (l lossyClient) connect(ctx context.Context) (c *ftptest.Client, err error) {
	for range 5 {
		if c, err = ftptest.Dial(ctx, l.from, l.at); err == nil {
			c.Timeout = lossyPatience
			return c, c.Login("u", "p")
		}
	}
	return nil, err
}

// transfer makes n transfers in one session, in turn from and to the server, and returns
// how long the slowest took.
func (l lossyClient) transfer(n int) (slowest time.Duration, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := l.connect(ctx)
	if err != nil {
		return 0, err
	}
	for i := range n {
		begin := time.Now()
		mode := l.modes[i%len(l.modes)]
		name := fmt.Sprintf("%s-%d", l.name, i)
		data := ftptest.Random(1+i*997%20000, l.number<<32|uint64(i))
		var tr ftptest.Transfer
		var got []byte
		if i/len(l.modes)%2 == 0 {
			l.server.Put(name, data)
			tr, err = c.Get(mode, name)
			got = tr.Data
		} else {
			tr, err = c.Put(mode, name, data)
			got, _ = l.server.File(name)
		}
		took := time.Since(begin)
		slowest = max(slowest, took)
		switch {
		case err != nil:
			return slowest, fmt.Errorf("transfer %d after %s (%s from %s, answered by %s): %w", i, took,
				tr.Sent, c.Local(), tr.Reply, err)
		case string(got) != string(data):
			return slowest, fmt.Errorf("transfer %d (%s from %s, answered by %s): %d bytes came, other "+
				"than the %d sent", i, tr.Sent, c.Local(), tr.Reply, len(got), len(data))
		case mode == ftptest.PASV && tr.Endpoint.Addr() != l.at.Addr():
			return slowest, fmt.Errorf("transfer %d: %s was told %s, want the dialled %s", i, c.Local(),
				tr.Reply, l.at.Addr())
		}
	}
	if r, err := c.Cmd("QUIT"); err != nil || r.Code != 221 {
		return slowest, fmt.Errorf("QUIT from %s is answered by %s: %w", c.Local(), r, err)
	}
	return slowest, nil
}

// Every PORT and 227 changes its length on the way, so that one wrong offset costs the
// session.
func TestThousandTransfersThroughLossDelayAndReordering(t *testing.T) {
	all := transferCount(t)
	for _, k := range []struct {
		name      string
		network   func(testing.TB) *lab.Routed
		active    bool
		transfers int
	}{
		{"client behind SNAT", natted, true, all - all/2},
		{"server behind DNAT",
			func(t testing.TB) *lab.Routed { return routed(t, (*lab.Lab).ServerBehindNAT) }, false, all / 2},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel() // the two networks have nothing in common
			r := k.network(t)
			paths := worsen(t, r)
			s := &ftptest.Server{Network: r.Server, Timeout: lossyPatience, CheckAddress: true}
			must(t, s.Start(r.Server.AddrPort(false, 21)))
			t.Cleanup(func() { s.Close() })
			at := r.Outside.AddrPort(false, 21)
			if k.active {
				at = r.Server.AddrPort(false, 21)
			}
			g := startGateway(t, r.Gateway)
			begin := time.Now()
			var slowest [sessionsAtOnce]time.Duration
			var running sync.WaitGroup
			for i := range sessionsAtOnce {
				n := (k.transfers + i) / sessionsAtOnce // k.transfers in all
				client := lossyClient{r.Client, at, s, modes(false, k.active), fmt.Sprint("session", i),
					uint64(i)}
				running.Go(func() {
					var err error
					if slowest[i], err = client.transfer(n); err != nil {
						t.Errorf("session %d: %v", i, err)
					}
				})
			}
			running.Wait()
			t.Logf("%d transfers took %s, the slowest of them %s", k.transfers, time.Since(begin),
				slices.Max(slowest[:]))
			wantLosses(t, paths)
			wantRewritten(t, s, k.active, longOutside)
			g.wantNothingOpen()
		})
	}
}

// wantRewritten checks that the server received every PORT and EPRT with the outside address.
func wantRewritten(t testing.TB, s *ftptest.Server, active bool, outside string) {
	t.Helper()
	n := 0
	for _, x := range s.Sessions() {
		for _, line := range x.Commands {
			if verb, arg, _ := strings.Cut(line, " "); verb == string(ftptest.PORT) ||
				verb == string(ftptest.EPRT) {
				n++
				if !strings.Contains(strings.ReplaceAll(arg, ",", "."), outside) {
					t.Errorf("the server received %q, want %s in it", line, outside)
				}
			}
		}
	}
	if active && n == 0 {
		t.Error("the server received no PORT")
	}
}
