package alg_test

import (
	"flag"
	"testing"
)

var (
	crashes  = flag.Int("crashes", 500, "how many random schedules the crash model runs")
	crashOne = flag.Int64("crash", -1, "seed of the only schedule to run, with a trace")
)

func runCrash(t testing.TB, seed uint64, trace bool) {
	w := newConversation(t, seed, 1)
	w.Deaths, w.Trace = w.IntN(4), trace
	w.run()
}

func TestCrashAtAnyMomentLosesNoSession(t *testing.T) {
	schedules(t, *crashOne, *crashes, runCrash)
}
