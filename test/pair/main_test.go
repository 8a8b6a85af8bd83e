package pair

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/test/build"
)

var program string

func TestMain(m *testing.M) { os.Exit(build.Main(m, &program)) }

// newPair is a pair that replicates, with the program on both.
func newPair(t *testing.T) *Pair {
	t.Helper()
	p := New(t)
	for i, g := range p.Gateways {
		g.serve(t)
		g.Replicate(t, i == 1)
	}
	return p
}

// serve starts the program.
func (g *Gateway) serve(t *testing.T, args ...string) {
	t.Helper()
	was := strings.Count(g.Log.String(), "msg=ready")
	g.Program = g.Command(context.Background(), program, append([]string{"run",
		"--metrics-address", "", "--socket-path", g.Dir + "/sock"}, args...)...)
	g.Program.Stdout, g.Program.Stderr = &g.Log, &g.Log
	must(t, g.Program.Start())
	ready := func() bool { return strings.Count(g.Log.String(), "msg=ready") > was }
	eventually(t, "the program is ready", ready)
}

func (p *Pair) fail() { p.t.Helper(); p.Activate(1 - p.Active) }
