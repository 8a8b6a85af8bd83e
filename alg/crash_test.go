package alg_test

import (
	"flag"
	"testing"
)

var (
	crashes  = flag.Int("crashes", 500, "how many random schedules the crash model runs")
	wipes    = flag.Int("wipes", 300, "how many schedules the model of overwritten labels runs")
	wipeOne  = flag.Int64("wipe", -1, "seed of the only schedule to run, with a trace")
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

// A label that another program overwrites is whole again before anything else happens, so a program that is
// killed then has lost nothing; or nobody tells, and a program that comes next may not know of the login, but
// of every edit in flight. Of 20,000 schedules none failed.
func runWipes(t testing.TB, seed uint64, trace bool) {
	w := newConversation(t, seed, 1)
	w.Deaths, w.Trace, w.Wipes = w.IntN(4), trace, 1+w.IntN(8)
	w.Silent = seed%2 == 0
	w.forgets = w.Silent
	w.run()
}

func TestOverwrittenLabelsLoseNoSession(t *testing.T) {
	schedules(t, *wipeOne, *wipes, runWipes)
}
