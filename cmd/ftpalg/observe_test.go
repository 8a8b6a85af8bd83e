package main

import (
	"io"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

// observed keeps what is observed.
type observed struct {
	took  []time.Duration
	since bool
}

func (o *observed) Observe(took time.Duration, sinceArrival bool) {
	o.took, o.since = append(o.took, took), sinceArrival
}

func TestTimeOfAPacketCountsFromItsArrival(t *testing.T) {
	read := time.Now()
	for _, c := range []struct {
		name     string
		arrived  time.Time
		from, to time.Duration
		since    bool
	}{
		{"no timestamp", time.Time{}, 0, time.Second, false},
		{"a timestamp", read.Add(-5 * time.Second), 5 * time.Second, 6 * time.Second, true},
		{"a clock that was set back", read.Add(5 * time.Second), 0, time.Second, false},
		{"a clock that was set forward", read.Add(-time.Hour), 0, time.Second, false},
	} {
		l, o := testLoop(t, &fakeQueue{}, io.Discard), &observed{}
		l.latency = o
		l.observe(read, []nfqueue.Packet{{Time: c.arrived}})
		if len(o.took) != 1 || o.took[0] < c.from || o.took[0] > c.to || o.since != c.since {
			t.Errorf("%s: %+v", c.name, *o)
		}
	}
}
