package pair

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack"
)

// On the standby the program starts when the session has been replicated, and lost its label.
func TestColdStandbyTakesTheSessionOver(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			p := newPair(t)
			p.Activate(0)
			cold := p.Standby()
			must(t, cold.Program.Process.Signal(unix.SIGTERM))
			must(t, cold.Program.Wait())
			x := p.login(&s)
			for _, m := range s.modes() { // so that there is an offset
				x.finish(x.begin(x.agree(m), "small"), "small", nil)
			}
			var f conntrack.Flow
			eventually(t, "the entry is replicated", func() bool {
				f = cold.flow(t, x.original)
				return f.Helper != "" && f.Seq == p.Gateways[0].flow(t, x.original).Seq
			})
			if f.HasState {
				t.Fatalf("the label was replicated: %+v", f)
			}
			file := cold.Dir + "/ftpalg.yaml"
			must(t, os.WriteFile(file, []byte("trust_running: true\n"), 0o644))
			cold.serve(t, "--config", file)
			for range 4 { // there and back
				p.fail()
				x.noop()
				for _, m := range s.modes() {
					x.finish(x.begin(x.agree(m), "small"), "small", nil)
				}
				x.noop()
				p.alike(x.original)
			}
		})
	}
}
