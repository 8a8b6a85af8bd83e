package pair

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What waits for a program that stands still is old when it goes on, and what it would write then is as old.
func TestProgramThatStoodStillWritesNothingOverWhatTheOtherDidMeanwhile(t *testing.T) {
	for _, s := range sides[:2] {
		t.Run(s.name, func(t *testing.T) {
			p := newPair(t)
			p.Activate(0)
			x := p.login(&s)
			m := s.modes()[0]
			if s.client(p) == p.Outside {
				m = s.modes()[1]
			}
			for range 4 {
				x.finish(x.begin(x.agree(m), "small"), "small", nil)
				p.alike(x.original)
				g := p.Gateways[p.Active]
				stopped := time.Now()
				must(t, g.Program.Process.Signal(unix.SIGSTOP))
				must(t, x.Write([]byte("NOOP\r\n")))
				eventually(t, "a packet waits for the program that stands still",
					func() bool { return g.waiting(t) > 0 })
				p.fail()
				if r, err := x.ReadReply(); err != nil || r.Code != 200 {
					t.Fatalf("NOOP is answered by %v, %v", r, err)
				}
				for time.Since(stopped) < longStop {
					x.finish(x.begin(x.agree(m), "small"), "small", nil)
				}
				must(t, g.Program.Process.Signal(unix.SIGCONT))
				eventually(t, "nothing waits any more", func() bool { return g.waiting(t) == 0 })
				for range 3 {
					x.finish(x.begin(x.agree(m), "small"), "small", nil)
				}
			}
			p.wantOffset(x)
		})
	}
}

// longStop is longer than a loop that has sessions ever stands still.
const longStop = 3 * time.Second

// waiting returns how many packets wait for the program.
func (g *Gateway) waiting(t testing.TB) (n int) {
	t.Helper()
	must(t, g.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
		if err != nil {
			return err
		}
		for l := range strings.Lines(string(b)) {
			if f := strings.Fields(l); len(f) > 2 {
				k, err := strconv.Atoi(f[2]) // seq_show in net/netfilter/nfnetlink_queue.c
				if err != nil {
					return err
				}
				n += k
			}
		}
		return nil
	}))
	return n
}
