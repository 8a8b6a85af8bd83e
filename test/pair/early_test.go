package pair

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/ftptest"
)

// A packet comes to the other gateway before the entry of its session does. If the kernel made one of it then
// its session would go on without its offsets.
func TestPacketThatComesBeforeItsEntryWaitsForIt(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			p := newPair(t)
			p.Activate(0)
			late := p.Gateways[1]
			must(t, late.carrier.Process.Signal(unix.SIGSTOP))
			x := p.login(&s)
			x.finish(x.begin(x.agree(s.edited(p)), "small"), "small", nil)

			late.count(t, "prerouting priority raw")
			p.Lead(1)
			answered := make(chan ftptest.Reply, 1)
			go func() {
				r, err := x.Cmd("NOOP")
				if err != nil {
					t.Error(err)
				}
				answered <- r
			}()
			came := func() bool { return late.counted(t) > 0 }
			eventually(t, "the command comes by the other gateway", came)
			found := lose(t, late.Host) // its entry comes piece by piece
			must(t, late.carrier.Process.Signal(unix.SIGCONT))
			p.alike(x.original)
			found()
			if r := <-answered; !r.OK() {
				t.Fatalf("NOOP: %+v", r)
			}
			x.finish(x.begin(x.agree(s.edited(p)), "small"), "small", nil)
		})
	}
}
