package alg_test

import (
	"flag"
	"fmt"
	"testing"
)

var (
	switches  = flag.Int("switches", 4000, "how many random schedules the model of two gateways runs")
	switchOne = flag.Int64("switch", -1, "seed of the only schedule to run, with a trace")
)

// runPair moves the traffic of one session to and fro between two gateways, each of which goes on with
// what it remembers from when it had the session last.
func runPair(t testing.TB, seed uint64, trace bool) {
	w := newConversation(t, seed, 2)
	w.Switches, w.Tears, w.Trace = 1+w.IntN(8), true, trace
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: pipelined %v, %v", seed, w.pipelined, w.World)
		}
	}()
	w.run()
}

// Of a million schedules 55 failed, none of the default ones. About ten of them are wrong bytes or out of
// step. One was traced: a line that passed untouched behind a gap is edited when it comes again. The others
// are not explained.
func TestTwoGatewaysThatTakeTurnsKeepBothEndsInStep(t *testing.T) {
	if *switchOne >= 0 {
		runPair(t, uint64(*switchOne), true)
		return
	}
	for seed := range uint64(*switches) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runPair(t, seed, false) })
	}
}

// Schedules that failed once.
func TestTwoGatewaysKeepBothEndsInStepWhereTheyDidNot(t *testing.T) {
	for seed, what := range map[uint64]string{
		427068: "a reply that passed untouched behind an edited one is repeated with it",
	} {
		t.Run(what, func(t *testing.T) { runPair(t, seed, false) })
	}
}
