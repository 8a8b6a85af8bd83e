package conntrack

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

func BenchmarkFlow(b *testing.B) {
	r, c := gateway(b)
	client, peer := open(b, r, netnstest.Server)
	orig := tuples(b, client, peer)[Original]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Flow(orig); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	r, c := gateway(b)
	client, peer := open(b, r, netnstest.Server)
	orig := tuples(b, client, peer)[Original]
	u := Update{StateMask: 0xffff, State: StateControl, SetSeq: [2]bool{true, true}, SetFlight: [2]bool{true, true}}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Update(orig, u); err != nil {
			b.Fatal(err)
		}
	}
}

// An expectation made and taken back, as for a PORT after a PORT.
func BenchmarkExpectAndWithdraw(b *testing.B) {
	r, c := gateway(b)
	client, peer := open(b, r, netnstest.Server)
	e := active(flow(b, c, client, peer), 40000)
	e.Timeout = 20 * time.Second
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Expect(e); err != nil {
			b.Fatal(err)
		}
		if err := c.Withdraw(e); err != nil {
			b.Fatal(err)
		}
	}
}
