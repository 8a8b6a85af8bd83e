package alg_test

import (
	"flag"
	"testing"
)

var (
	switches  = flag.Int("switches", 4000, "how many random schedules the model of two gateways runs")
	lags      = flag.Bool("lags", false, "the last change is not always replicated")
	echoes    = flag.Int("echoes", 2000, "how many random schedules the model of old entries runs")
	echoOne   = flag.Int64("echo", -1, "seed of the only schedule to run, with a trace")
	swaps     = flag.Int("swaps", 100, "how many random schedules the model of replaced entries runs")
	swapOne   = flag.Int64("swap", -1, "seed of the only schedule to run, with a trace")
	switchOne = flag.Int64("switch", -1, "seed of the only schedule to run, with a trace")
)

// runPair moves the traffic of one session to and fro between two gateways, each of which goes on with
// what it remembers from when it had the session last.
func runPair(t testing.TB, seed uint64, trace bool) {
	w := newConversation(t, seed, 2)
	w.Switches, w.Tears, w.Trace, w.Lags = 1+w.IntN(8), true, trace, *lags
	w.run()
}

// Of 1,000,000 schedules none fails.
func TestTwoGatewaysThatTakeTurnsKeepBothEndsInStep(t *testing.T) {
	schedules(t, *switchOne, *switches, runPair)
}

// What replicates the entries brings old ones back to the gateway that has not the traffic.
func runEchoes(t testing.TB, seed uint64, trace bool) {
	w := newConversation(t, seed, 2)
	w.Switches, w.Tears, w.Trace, w.Echoes = 1+w.IntN(8), true, trace, 1+w.IntN(8)
	w.run()
}

func TestTwoGatewaysKeepBothEndsInStepThoughOldEntriesAreBroughtBack(t *testing.T) {
	schedules(t, *echoOne, *echoes, runEchoes)
}

// What replicates entries replaces that of the gateway that has the traffic by one of then, up to eight times
// within a second or two. Of 10,000 schedules 22 fail, none of the default ones, most of them because an
// acknowledgement passed unseen between two of them.
func runSwaps(t testing.TB, seed uint64, trace bool) {
	w := newConversation(t, seed, 2)
	w.Tears, w.Trace, w.Swaps = true, trace, 1+w.IntN(8)
	w.Tells, w.Slow = seed%4 >= 2, seed%3 == 0
	w.run()
}

func TestReplacedEntriesKeepBothEndsInStep(t *testing.T) { schedules(t, *swapOne, *swaps, runSwaps) }

// Schedules that failed once.
func TestTwoGatewaysKeepBothEndsInStepWhereTheyDidNot(t *testing.T) {
	for seed, what := range map[uint64]string{
		427068: "a reply that passed untouched behind an edited one is repeated with it",
		184623: "the receiver has more behind the repeated edits",
		264814: "the packets of one window are all probes",
		74583:  "the other gateway let a line pass and wrote nothing",
		92221:  "a reply passed untouched before the first edit in flight",
		671277: "the sender repeats the first of what it sent, and never the rest",
		748331: "the sender repeats the same while no acknowledgement comes back to it",
		302908: "the receiver has what precedes a lost edit behind a gap",
		371485: "a command that nobody read is answered before one that asks for a port",
		803009: "what took the place of an edit is lost too",
		681925: "the receiver has the second of two edited lines behind a gap",
		924427: "the receiver has an edited line behind a gap that the sender sent with others",
		383796: "the receiver has the first of two edited lines of which one came in pieces",
		473555: "two edits of one packet are in flight, and the receiver has the first",
		880496: "what took the place of an unknown edit is lost, and what was sent behind that is not",
		497831: "of two edits the receiver has the first, and the second is of a part of a line",
	} {
		t.Run(what, func(t *testing.T) { runPair(t, seed, false) })
	}
}
