package chaos

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/build"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
	"github.com/ftpalg/ftpalg/test/pair"
)

var (
	lasts    = flag.Duration("for", 0, "how long each world is disturbed; 0: the worlds are left out")
	seed     = flag.Uint64("seed", 0, "of what happens, as an earlier run told it; 0: another one")
	apart    = flag.Bool("apart", false, "one thing at a time, the next when nobody notices it any more")
	only     = flag.String("only", "", "the `events` that there are, as kill,switch; empty: all")
	visitors = flag.Int("sessions", 44, "how many clients of the test's own there are at once")
	keep     = flag.String("logs", "", "`directory` for the logs of the gateways; empty: they are not kept")
)

const controlPort = 21

var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(build.Main(m, &program))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// side is a server, and the clients that come to it.
type side struct {
	name   string
	ipv6   bool
	inside bool // the clients are
	dial   string
	wire   ftptest.Wire // of the server
	server *ftptest.Server
}

func newSides() []*side {
	return []*side{
		{name: "SNAT IPv4", inside: true, dial: "203.0.113.66:21"},
		{name: "DNAT IPv4", dial: "203.0.113.1:21", wire: ftptest.Wire{Split: []int{2, 30}}},
		{name: "SNAT IPv6", ipv6: true, inside: true, dial: "[2001:db8:113::66]:21"},
		{name: "DNAT IPv6", ipv6: true, dial: "[2001:db8:113::1]:21", wire: ftptest.Wire{Chunk: 5}},
	}
}

func (s *side) modes() []ftptest.Mode {
	if s.ipv6 {
		return []ftptest.Mode{ftptest.EPRT, ftptest.EPSV}
	}
	return []ftptest.Mode{ftptest.PORT, ftptest.EPRT, ftptest.PASV, ftptest.EPSV}
}

func (s *side) client(w *world) *lab.Host {
	if s.inside {
		return w.Inside
	}
	return w.Outside
}

func (s *side) host(w *world) *lab.Host {
	if s.inside {
		return w.Outside
	}
	return w.Inside
}

// world is gateways, clients and servers.
type world struct {
	*pair.Pair
	t        testing.TB
	ctx      context.Context
	paired   bool
	gateways []*gateway
	cables   [2]sync.Mutex // of each gateway: held while one is out
	sides    []*side

	real, intruders [2]*lab.Host // outside, inside

	book    *book
	tally   *tally
	watches []*watch
	chaos   *chaos
	ended   chan struct{}
}

func (w *world) over() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// tally counts what came of all.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (y *tally) add(what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[what]++
}

func (y *tally) tell(t testing.TB) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(y.counts)) {
		t.Logf("%7d %s", y.counts[what], what)
	}
}

// failures are what failed, told once more when all else has been said: of a long output often only the end
// is kept.
type failures struct {
	testing.TB
	mu   sync.Mutex
	told []string
}

// retold returns t with its failures told once more behind the clean-ups that come from now on.
func retold(t testing.TB) *failures {
	f := &failures{TB: t}
	t.Cleanup(func() {
		for _, what := range f.told {
			t.Logf("failed: %.600s", what)
		}
	})
	return f
}

func (f *failures) Errorf(format string, args ...any) {
	f.TB.Helper()
	f.TB.Errorf(format, args...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, fmt.Sprintf(format, args...))
}

func newWorld(test *testing.T, paired bool) *world {
	test.Helper()
	t := retold(test)
	w := &world{Pair: pair.New(t), t: t, ctx: context.Background(), paired: paired, sides: newSides(),
		tally: &tally{counts: map[string]int{}}, book: newBook(), ended: make(chan struct{})}
	logs := *keep
	if logs == "" {
		logs = t.TempDir()
	}
	logs = filepath.Join(logs, t.Name())
	must(t, os.MkdirAll(logs, 0o755))
	if *keep != "" {
		w.capture(logs)
	}
	for i, g := range w.Gateways[:1+btoi(paired)] {
		if *keep != "" {
			record(t, g, paired, filepath.Join(logs, g.String()+".events"))
		}
		w.watches = append(w.watches, newWatch(t, w, g))
		w.gateways = append(w.gateways, newGateway(t, g, logs))
		if paired {
			g.Replicate(t, i == 1)
		}
	}
	w.populate()
	w.Activate(0)
	for _, s := range w.sides {
		s.server = &ftptest.Server{Network: atServer{s.host(w)}, Wire: s.wire, Timeout: 5 * time.Second,
			CheckAddress: true}
		s.server.Put("small", ftptest.Random(1000, 2))
		s.server.Put("big", ftptest.Random(1<<20, 1))
		must(t, s.server.Start(s.host(w).AddrPort(s.ipv6, controlPort)))
		t.Cleanup(func() { _ = s.server.Close() })
	}
	return w
}

// capture writes down what control connections look like on either side of the gateways, if tcpdump is there.
func (w *world) capture(dir string) {
	for _, h := range []*lab.Host{w.Inside, w.Outside} {
		c := h.Command(w.ctx, "tcpdump", "-i", "eth0", "-U", "-w", filepath.Join(dir, h.String()+".pcap"),
			"tcp", "port", "21")
		if err := c.Start(); err != nil {
			w.t.Logf("no capture: %v", err)
		}
	}
}

// populate adds those who come beside the test's own clients.
func (w *world) populate() {
	w.real[1] = w.Join("inreal", "inside", "10.0.13.67/24", "fd00:13::67/64")
	w.intruders[1] = w.Join("inother", "inside", "10.0.13.68/24", "fd00:13::68/64")
	w.real[0] = w.Join("outreal", "outside", "203.0.113.67/24", "2001:db8:113::67/64")
	w.intruders[0] = w.Join("outother", "outside", "203.0.113.68/24", "2001:db8:113::68/64")
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestOneGateway(t *testing.T) {
	t.Parallel()
	disturb(t, false)
}

func TestTwoGatewaysThatChangePlaces(t *testing.T) {
	t.Parallel()
	disturb(t, true)
}

// disturb lets chaos loose on a world, and judges what it has come through.
func disturb(t *testing.T, paired bool) {
	if *lasts == 0 {
		t.Skip("NOT RUN: say how long it may last, as -for 2m")
	}
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d -for %v", s, *lasts)
	w := newWorld(t, paired)
	w.chaos = &chaos{world: w, rng: rand.New(rand.NewPCG(s, 0))}
	var clients sync.WaitGroup
	for n := range *visitors {
		v := &visitor{w: w, n: n, side: w.sides[n%len(w.sides)], rng: rand.New(rand.NewPCG(s, uint64(n+1)))}
		clients.Go(v.run)
	}
	w.realClients(s, &clients)
	clients.Go(w.intrude)
	w.chaos.run(time.Now().Add(*lasts))
	close(w.ended)
	clients.Wait()
	w.calm()
	w.book.judge(w)
	for _, h := range w.watches {
		h.judge(w)
	}
	w.tally.tell(t)
}

// calm looks whether all is as it was before.
func (w *world) calm() {
	for n, s := range w.sides {
		for _, m := range s.modes() {
			v := &visitor{w: w, side: s, rng: rand.New(rand.NewPCG(1, 1))}
			v.calm(fmt.Sprintf("calm%d.%s", n, m), m)
		}
	}
	for _, h := range w.watches {
		h.wantNothingOpen()
	}
}

// realClients begins with those that are not the test's own.
func (w *world) realClients(s uint64, clients *sync.WaitGroup) {
	for n, side := range append(slices.Clone(w.sides), w.sides[:2]...) {
		p := &peer{w: w, n: n, side: side, rng: rand.New(rand.NewPCG(s, uint64(1000+n))), dir: w.t.TempDir()}
		p.program = "curl"
		if n >= len(w.sides) {
			p.program = "lftp"
		}
		clients.Go(p.run)
	}
}

func describe(a any) string { return fmt.Sprintf("%+v", a) }
