package alg

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// Until it is heard what others write one may have taken the session: what waits since is of no use here.
func TestPacketThatWaitedSinceAnotherWroteUnheardIsDropped(t *testing.T) {
	for _, wrote := range []bool{false, true} {
		d := newTalk(t, snatFlow(), policy.Default()).login()
		d.g.Told, d.g.Hears = true, true
		if wrote {
			d.k.flow.State += oneTurn
		}
		d.now = d.now.Add(verifyEvery)
		d.g.Unheard(d.now)
		arrives := "NOOP\r\n"
		if wrote {
			arrives = ""
		}
		d.wantArrived("what may have waited", d.c("NOOP\r\n"), arrives)
		if here := d.g.Stats.Sessions.Load() == 1; here == wrote || d.g.Copied() != wrote {
			t.Errorf("another wrote: %v; the session is here: %v, replicas %v", wrote, here, d.g.Copied())
		}
		d.g.Drained()
		d.seq[toServer] -= uint32(len("NOOP\r\n") - len(arrives))
		d.c("SYST\r\n")
		if d.g.Stats.Sessions.Load() != 1 || d.g.Stats.Standby.Load() != 0 {
			t.Error("the session is not here")
		}
	}
}

// The door that it opened meanwhile is opened here too, though no packet comes.
func TestStandbyThatHeardNothingUntilNowLooksAtItsSessions(t *testing.T) {
	w := newWatched(t)
	x, _ := w.open()
	open := w.k.flow
	w.c("RETR f\r\n")
	w.s("550 no\r\n")
	w.k.flow.State, w.k.flow.Flight = open.State+oneTurn, open.Flight
	w.k.expects = nil
	w.g.Told, w.g.Hears = true, true
	w.g.Unheard(w.now)
	w.later(time.Second)
	wantOnly(t, "the other's", w.k.expects, []conntrack.Expectation{x})
	if w.g.Stats.Sessions.Load() != 0 || w.g.Stats.Standby.Load() != 1 {
		t.Errorf("%d sessions, %d of another gateway", w.g.Stats.Sessions.Load(), w.g.Stats.Standby.Load())
	}
}
