package alg_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
)

var (
	adoptions = flag.Int("adoptions", 1000, "how many random schedules the model of adoption runs")
	adoptOne  = flag.Int64("adoption", -1, "seed of the only schedule to run, with a trace")
)

// refusals are what a 227 that is refused may look like: whole, or in pieces.
func refusals(line string) []string {
	const notice = "425 Data connection refused by the gateway."
	n := len(line) - len("\r\n")
	return []string{
		fmt.Sprintf("%-*s", n, notice)[:n] + "\r\n",
		"227 " + strings.Repeat("x", n-len("227 ")) + "\r\n",
		"227" + strings.Map(func(r rune) rune { // it came in pieces
			if r >= '0' && r <= '9' {
				return 'x'
			}
			return r
		}, line[len("227"):]),
	}
}

// runAdoption has a program begin in the middle of a session whose entry has no helper and no room for
// anything, and tells whether it was replaced.
func runAdoption(t *testing.T, seed uint64, trace bool) bool {
	w := newConversation(t, seed, 1)
	w.older, w.policy.TrustRunning, w.Trace = true, true, trace
	f := &w.Kernel().Entry
	f.Helper, f.HasSeq, f.HasState, f.State = "", false, false, 0
	f.Seq, f.Flight = [2]conntrack.SeqAdj{}, [2]conntrack.Flight{}
	w.Restart()
	// Before that it is a guess what has arrived, as a program that begins in the middle cannot ask.
	deaths, act := w.IntN(4), w.World.Act
	w.World.Act = func(dir conntrack.Dir) {
		if !w.unadopted() && len(w.unanswered()) == 0 {
			w.Deaths, deaths = w.Deaths+deaths, 0
		}
		act(dir)
	}
	w.run()
	return w.Kernel().Adopted()
}

func TestSessionWhoseEntryIsReplacedStaysInStep(t *testing.T) {
	if *adoptOne >= 0 {
		runAdoption(t, uint64(*adoptOne), true)
		return
	}
	adopted := 0
	for seed := range uint64(*adoptions) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			if runAdoption(t, seed, false) {
				adopted++
			}
		})
	}
	if adopted < *adoptions/2 {
		t.Errorf("of %d entries %d were replaced", *adoptions, adopted)
	}
}
