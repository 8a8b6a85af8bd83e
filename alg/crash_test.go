package alg_test

import (
	"flag"
	"fmt"
	"testing"
)

var (
	crashes  = flag.Int("crashes", 500, "how many random schedules the crash model runs")
	crashOne = flag.Int64("crash", -1, "seed of the only schedule to run, with a trace")
)

func runCrash(t *testing.T, seed uint64, trace bool) {
	w := newConversation(t, seed, 1)
	w.Deaths, w.Trace = w.IntN(4), trace
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: pipelined %v, %v", seed, w.pipelined, w.World)
		}
	}()
	w.run()
}

func TestCrashAtAnyMomentLosesNoSession(t *testing.T) {
	if *crashOne >= 0 {
		runCrash(t, uint64(*crashOne), true)
		return
	}
	for seed := range uint64(*crashes) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runCrash(t, seed, false) })
	}
}
