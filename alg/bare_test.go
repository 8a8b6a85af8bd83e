package alg_test

import (
	"flag"
	"testing"
)

var (
	bares   = flag.Int("bares", 2000, "how many random schedules the model of lost rules runs")
	bareOne = flag.Int64("bare", -1, "seed of the only schedule to run, with a trace")
)

// runBare takes the rules away from a session for a while, in which the program may be stopped, too. What an
// end has behind a gap then nobody can mend, so lines come whole, and the client waits for replies.
func runBare(t testing.TB, seed uint64, trace bool) {
	w := newConversation(t, seed, 1)
	w.Outages, w.Tears, w.Trace, w.Whole, w.pipelined = 1, true, trace, true, false
	w.run()
}

// Of 60,000 schedules one stalls, 58904.
func TestSessionsGoOnAfterTheRulesWereGone(t *testing.T) {
	schedules(t, *bareOne, *bares, runBare)
}
