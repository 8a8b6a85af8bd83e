package pair

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/test/ftptest"
)

// standsStill is for how long a gateway's program is stopped at least. After a second it would ask about each
// session anyway.
const standsStill = 600 * time.Millisecond

// waits waits until a packet waits in the queue of a gateway.
func (g *Gateway) waits(t testing.TB) {
	t.Helper()
	const queue = 2121 // of a program that is told no other
	eventually(t, "a packet waits", func() bool {
		var stats nfqueue.Stats
		must(t, g.Do(func() (err error) {
			stats, err = nfqueue.ReadStats(queue)
			return err
		}))
		return stats.Waiting > 0
	})
}

// doors is how many doors of its own the gateway told of.
func (g *Gateway) doors() int { return strings.Count(g.Log.String(), `msg="data channel"`) }

// The program of the active gateway is stopped. At the first time it has never heard of another that writes
// entries: it hears of it with the packets that waited.
func TestGatewayThatStoodStillDoesNothingToWhatTheOtherHas(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			p := newPair(t)
			p.Activate(0)
			x := p.login(&s)
			m := s.edited(p)
			for range 4 {
				x.finish(x.begin(x.agree(m), "small"), "small", nil)
				p.settled(x.original)
				x.agreeElsewhere(m)
				x.noop()
				x.finish(x.begin(x.agree(m), "small"), "small", nil)
			}
		})
	}
}

// agreeElsewhere agrees on a data connection while the gateway that has the first of its packets stands
// still, and fetches a file when it goes on. It must not open a door of its own for what waited.
func (x *session) agreeElsewhere(m ftptest.Mode) {
	p := x.p
	p.t.Helper()
	still := p.Gateways[p.Active]
	eventually(p.t, "all doors are told of", func() bool {
		return p.Gateways[0].doors()+p.Gateways[1].doors() == x.agreed
	})
	had, begun := still.doors(), time.Now()
	must(p.t, still.Program.Process.Signal(unix.SIGSTOP))
	must(p.t, unix.Waitid(unix.P_PID, still.Program.Process.Pid, nil, unix.WSTOPPED, nil))
	agreed := make(chan door, 1)
	go func() {
		defer close(agreed)
		agreed <- x.agree(m)
	}()
	still.waits(p.t)
	p.fail()
	d, ok := <-agreed
	if !ok {
		p.t.FailNow()
	}
	time.Sleep(time.Until(begun.Add(standsStill)))
	must(p.t, still.Program.Process.Signal(unix.SIGCONT))
	x.finish(x.begin(d, "small"), "small", nil)
	if n := still.doors() - had; n > 0 {
		p.t.Errorf("the gateway that stood still opened %d doors", n)
	}
}
