package conntrack

import (
	"testing"

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
	u := Update{SetSeq: [2]bool{true, true}}
	u.SetLabel(StateControl, [2]Flight{})
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Update(orig, u); err != nil {
			b.Fatal(err)
		}
	}
}

// An expectation made and taken back, as for a PORT after a PORT, without and with its ID.
func BenchmarkExpectAndWithdraw(b *testing.B) {
	r, c := gateway(b)
	client, peer := open(b, r, netnstest.Server)
	e := active(flow(b, c, client, peer), 40000)
	for name, known := range map[string]bool{"ID=asked": false, "ID=known": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := c.Calls()
			for b.Loop() {
				id, err := expectID(c, e)
				if err != nil {
					b.Fatal(err)
				}
				w := e
				if known {
					w.ID = id
				}
				if err := c.Withdraw(w); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(c.Calls()-before)/float64(b.N), "calls/op")
		})
	}
}
