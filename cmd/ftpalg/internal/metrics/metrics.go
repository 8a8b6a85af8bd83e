package metrics

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

// Metrics is the program's registry.
type Metrics struct {
	Latency  []*Latency    // of each worker
	Overruns atomic.Uint64 // times that packets passed because the queue's buffer was full
	Lost     atomic.Uint64 // packets that did

	EventsLost atomic.Uint64 // times that events of the kernel were lost

	times times

	registry *prometheus.Registry
}

// New returns the metrics of a gateway with as many workers as there are stats. queue reads the kernel's
// counters of their queues.
func New(workers []*alg.Stats, queue func() (nfqueue.Stats, error), b build.Info) *Metrics {
	m := &Metrics{times: newTimes(), registry: prometheus.NewRegistry()}
	for range workers {
		m.Latency = append(m.Latency, &Latency{})
	}
	m.times.begin()
	m.registry.MustRegister(
		latencies(m.Latency), m.times.connect, m.times.duration,
		collector(func() []family {
			s := Sum(workers)
			return append(families(s, &m.Overruns, &m.Lost, queue, b), fateFamilies(s, m.EventsLost.Load)...)
		}),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Handler serves the metrics at path.
func (m *Metrics) Handler(path string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+path, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry}))
	return mux
}

// Transfers adds what is counted of the log of transfers.
func (m *Metrics) Transfers(written, lost func() uint64) {
	m.registry.MustRegister(always(
		counter("transfers_logged_total", "Transfers written to the log of transfers.",
			func(e emit) { e(float64(written())) }),
		counter("transfers_unlogged_total", "Transfers that should be in the log of transfers and are not, "+
			"because it could not be written, or not in time.", func(e emit) { e(float64(lost())) }),
	))
}
