package rewrite_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/sim"
)

var (
	crashes  = flag.Int("crashes", 1500, "how many random schedules the crash model runs")
	crashOne = flag.Int64("crash", -1, "seed of the only schedule to run, with a trace")
)

// translated is a connection whose offsets the kernel can carry.
func translated() conntrack.Flow {
	client := netip.MustParseAddrPort("10.0.13.222:40000")
	server := netip.MustParseAddrPort("10.0.1.66:21")
	outside := netip.MustParseAddrPort("203.0.113.77:40000")
	return conntrack.Flow{
		Tuple: [2]conntrack.Tuple{{Src: client, Dst: server}, {Src: server, Dst: outside}}, SNAT: true,
		HasState: true, HasSeq: true, State: conntrack.StateControl,
	}
}

// newCrashWorld is two ends that say numbered lines to each other, and an editor between them.
func newCrashWorld(t testing.TB, seed uint64) *sim.World {
	w := sim.New(t, rand.New(rand.NewPCG(seed, 0x5eed)), translated(), 1)
	w.Deaths, w.Tears = w.IntN(4), true
	w.Start = startEditor
	todo := [2]int{w.IntN(15), w.IntN(15)}
	w.Act = func(dir conntrack.Dir) {
		if todo[dir] > 0 {
			todo[dir]--
			text := randomLine(w, len(w.End[dir].Lines))
			w.End[dir].Say(sim.Line{Text: text, Want: []string{rendered(text)}})
		}
	}
	w.Done = func() bool { return todo == [2]int{} }
	w.Open()
	return w
}

// randomLine has a letter that says what is to be done with it, a number, and something more.
func randomLine(w *sim.World, number int) string {
	body := make([]byte, w.IntN(30))
	for i := range body {
		body[i] = byte('a' + w.IntN(26))
	}
	end := "\r\n"
	if w.IntN(5) == 0 {
		end = "\n"
	}
	return fmt.Sprintf("%c%04d%s%s", "EESN"[w.IntN(4)], w.IntN(10)*1000+number, body, end)
}

func runCrash(t *testing.T, seed uint64, trace bool) {
	w := newCrashWorld(t, seed)
	w.Trace = trace
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %v", seed, w)
		}
	}()
	w.Run()
	w.SpoilNoted()
	w.Check(conntrack.Original)
	w.Check(conntrack.Reply)
}

// Of 100,000 schedules 29 failed, none of the default ones. Two were traced: a lost report of what arrived
// behind a gap, and edits of lines in pieces there. The others are not explained.
func TestCrashAtAnyMomentKeepsBothEndsInStep(t *testing.T) {
	if *crashOne >= 0 {
		runCrash(t, uint64(*crashOne), true)
		return
	}
	for seed := range uint64(*crashes) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runCrash(t, seed, false) })
	}
}
