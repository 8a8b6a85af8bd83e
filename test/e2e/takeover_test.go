package e2e

import (
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// handOversEnv is how many hand-overs there are in place of 10.
const handOversEnv = "FTPALG_HANDOVERS"

// load is clients that go on without end until stop.
type load struct {
	t     *testing.T
	done  chan struct{}
	wg    sync.WaitGroup
	round []chan struct{} // of each client: gets something after each round

	mu      sync.Mutex
	rounds  int
	slowest time.Duration // of a NOOP or a whole transfer
}

func newLoad(t *testing.T) *load { return &load{t: t, done: make(chan struct{})} }

// run has a client that is logged in send NOOP and transfer a file, again and again.
func (l *load) run(c *ftptest.Client, s *ftptest.Server, m ftptest.Mode) {
	round := make(chan struct{})
	l.round = append(l.round, round)
	l.wg.Go(func() {
		defer close(round)
		for !l.t.Failed() {
			l.time(func() {
				if r, err := c.Cmd("NOOP"); err != nil || !r.OK() {
					l.t.Errorf("NOOP: %v, %v", r, err)
				}
			})
			l.time(func() { get(l.t, c, s, m, "small") })
			select {
			case <-l.done:
				return
			case round <- struct{}{}:
			default: // nobody waits
			}
		}
	})
}

func (l *load) time(f func()) {
	began := time.Now()
	f()
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rounds++
	l.slowest = max(l.slowest, took)
}

// await waits until each client has gone through a whole round.
func (l *load) await() {
	for _, r := range l.round {
		<-r // the end of one that began before
		<-r
	}
}

func (l *load) stop() {
	close(l.done)
	l.wg.Wait()
	l.t.Logf("%d commands and transfers, the slowest took %v", l.rounds, l.slowest)
}

func handOvers(t *testing.T) int {
	t.Helper()
	text := os.Getenv(handOversEnv)
	if text == "" {
		return 10
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// An upgrade: each program takes over from the one before, under load.
func TestProgramIsTakenOverAndNoSessionNotices(t *testing.T) {
	for _, c := range []struct {
		name string
		kind func(*lab.Lab) (*lab.Routed, error)
		mode ftptest.Mode
	}{
		{"client behind NAT", (*lab.Lab).ClientBehindNAT, ftptest.PORT},
		{"server behind NAT", (*lab.Lab).ServerBehindNAT, ftptest.PASV},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := routed(t, c.kind)
			at := r.Server.AddrPort(false, 21)
			s := serve(t, &ftptest.Server{}, r.Server, at)
			if c.mode == ftptest.PASV {
				at = r.Outside.AddrPort(false, 21)
			}
			g := startGateway(t, r.Gateway)
			l := newLoad(t)
			for range 4 {
				l.run(login(t, r.Client, at), s, c.mode)
			}
			for range handOvers(t) {
				next := startGateway(t, r.Gateway, "--takeover")
				g.wantEnd()
				g = next
				// Who picks a session up asks for what is on its way again: before that
				// is through the next one does not come.
				l.await()
			}
			l.stop()
			g.stop()
		})
	}
}

// wantEnd waits for the program to end by itself, with success.
func (g *gateway) wantEnd() {
	g.t.Helper()
	select {
	case err := <-g.ran:
		if err != nil {
			g.t.Errorf("the gateway ended with %v\n%s", err, g.logged())
		}
	case <-time.After(patience):
		g.t.Fatalf("the gateway does not end\n%s", g.logged())
	}
}
