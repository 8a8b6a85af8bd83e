package rewrite

import (
	"flag"
	"fmt"
	"testing"
)

var schedules = flag.Int("schedules", 20000, "how many random schedules the model test runs")

// run lets everything happen in random order until all is acknowledged.
func (w *world) run() {
	const patience = 60000
	for step := 0; w.una != w.edge(); step++ {
		if step > patience {
			w.t.Fatalf("the sender stalls at %d of %d (sent %d), the receiver has %d of %d", w.una-w.isn,
				len(w.data), w.nxt-w.isn, len(w.got), len(w.want))
		}
		w.limited = step > patience/2
		w.idle++
		switch k := w.IntN(6); {
		case k == 0 && len(w.here) > 0:
			w.stepEditor(w.take(&w.here))
		case k == 1 && len(w.there) > 0:
			w.stepReceiver(w.take(&w.there))
		case k == 2:
			w.stepAck()
		case k == 3 && len(w.backward) > 0:
			w.stepBack(w.take(&w.backward))
		case k == 4 && len(w.home) > 0:
			w.stepHome(w.take(&w.home))
		case k == 5:
			w.stepSender()
		}
	}
	for len(w.there) > 0 {
		w.stepReceiver(w.take(&w.there))
	}
	if string(w.got) != string(w.want) {
		w.t.Fatalf("the receiver has %q, a proxy would have sent %q", w.got, w.want)
	}
}

func (w *world) String() string {
	return fmt.Sprintf("loss %d reorder %d nagle %v kernel %v mss %d %d bytes %+v", w.loss, w.reorder,
		w.nagle, w.kernel, w.mss, len(w.data), w.plan)
}

func TestBothEndsSeeWhatAPerfectProxyWouldGive(t *testing.T) {
	n := *schedules
	if testing.Short() {
		n /= 20
	}
	const piece = 5000
	for first := 0; first < n; first += piece {
		t.Run(fmt.Sprint("schedules from ", first), func(t *testing.T) {
			t.Parallel()
			for seed := first; seed < min(first+piece, n); seed++ {
				runSchedule(t, uint64(seed))
			}
		})
	}
}

func runSchedule(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %v", seed, w)
		}
	}()
	w.run()
}

func FuzzBothEndsSeeWhatAPerfectProxyWouldGive(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { newWorld(t, seed).run() })
}
