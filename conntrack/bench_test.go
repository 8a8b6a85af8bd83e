package conntrack

import (
	"testing"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

// The state and both offsets of a connection, as after a rewritten line.
func BenchmarkUpdate(b *testing.B) {
	r, c := gateway(b)
	client, peer := open(b, r, netnstest.Server)
	orig := tuples(b, client, peer)[Original]
	u := Update{StateMask: StateBusy, State: StateBusy, SetSeq: [2]bool{true, true}}
	b.ReportAllocs()
	for b.Loop() {
		u.Seq[0].Pos++
		if err := c.Update(orig, u); err != nil {
			b.Fatal(err)
		}
	}
}

// A port that is opened and shut again.
func BenchmarkExpectAndWithdraw(b *testing.B) {
	r, c := gateway(b)
	client, peer := open(b, r, netnstest.Server)
	e := active(flow(b, c, client, peer), 5000)
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

// One PORT after another: each takes the place of the one before.
func BenchmarkExpectInPlaceOfAnother(b *testing.B) {
	r, c := gateway(b)
	client, peer := open(b, r, netnstest.Server)
	f := flow(b, c, client, peer)
	pair := [2]Expectation{active(f, 5000), active(f, 5001)}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Expect(pair[n&1]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
