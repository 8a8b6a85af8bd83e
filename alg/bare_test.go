package alg_test

import (
	"flag"
	"testing"
)

var (
	bares   = flag.Int("bares", 2000, "how many random schedules the models of lost rules run")
	bareOne = flag.Int64("bare", -1, "seed of the only schedule to run, with a trace")
)

// runBare takes the rules away from a session for a while, in which the program may be stopped, too. The
// client waits for replies: of what it sends without that it may hear in numbers that nobody translated.
func runBare(whole bool) func(t testing.TB, seed uint64, trace bool) {
	return func(t testing.TB, seed uint64, trace bool) {
		w := newConversation(t, seed, 1)
		w.Outages, w.Tears, w.Trace, w.Whole, w.pipelined = 1, true, trace, whole, false
		w.run()
	}
}

// Of 70,000 schedules none fails.
func TestSessionsGoOnAfterTheRulesWereGone(t *testing.T) {
	schedules(t, *bareOne, *bares, runBare(true))
}

// Of 70,000 schedules eight fail, none of the default ones: 6860, 9247, 10645, 26330, 28188, 53914, 63610
// and 66378. In 6860 the sender heard of an acknowledgement in numbers that nobody translated, of a byte that
// it had not sent yet; in 10645 nobody saw what was asked for.
func TestSessionsWithLinesInPiecesGoOnAfterTheRulesWereGone(t *testing.T) {
	schedules(t, *bareOne, *bares, runBare(false))
}
