package metrics

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds of the buckets of packet_seconds, seconds.
var bounds = [...]float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3,
	50e-3, 100e-3}

// Latency is what one worker notes of the time that packets took. No other writes to it, so that they do not
// wait for each other's caches.
type Latency struct{ since [2]histogram }

// Where the time of a packet begins, as packet_seconds tells it.
var begins = [...]string{"reading", "arrival"}

type histogram struct {
	counts [len(bounds) + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// Observe notes the time to the verdict on a packet: since its arrival on the machine, if the kernel told
// when that was, or else since it was read.
func (l *Latency) Observe(took time.Duration, sinceArrival bool) {
	h := &l.since[0]
	if sinceArrival {
		h = &l.since[1]
	}
	i, _ := slices.BinarySearch(bounds[:], took.Seconds())
	h.counts[i].Add(1)
	h.sum.Add(int64(took))
}

// latencies sums up what the workers note.
type latencies []*Latency

var packetSeconds = prometheus.NewDesc("ftpalg_packet_seconds",
	"Time to the verdict on a packet of a control connection. since=arrival: from its arrival on the "+
		"machine, where the kernel notes that (while any program there asks for them). "+
		"since=reading: from when "+
		"the gateway read it; what it waited in the queue is not in it.", []string{"since"}, nil)

// Describe is part of prometheus.Collector.
func (all latencies) Describe(ch chan<- *prometheus.Desc) { ch <- packetSeconds }

// Collect is part of prometheus.Collector.
func (all latencies) Collect(ch chan<- prometheus.Metric) {
	for since, name := range begins {
		buckets, count, sum := map[float64]uint64{}, uint64(0), time.Duration(0)
		for i := range len(bounds) + 1 {
			for _, l := range all {
				count += l.since[since].counts[i].Load()
			}
			if i < len(bounds) {
				buckets[bounds[i]] = count
			}
		}
		for _, l := range all {
			sum += time.Duration(l.since[since].sum.Load())
		}
		ch <- prometheus.MustNewConstHistogram(packetSeconds, count, sum.Seconds(), buckets, name)
	}
}
