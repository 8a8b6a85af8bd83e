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
	Latency  prometheus.Observer // seconds from the arrival of a packet, or from reading it, to its verdict
	Overruns atomic.Uint64       // times that packets passed because the queue's buffer was full
	Lost     atomic.Uint64       // packets that did

	EventsLost atomic.Uint64 // times that events of the kernel were lost

	times times

	registry *prometheus.Registry
}

// New returns the metrics of a gateway. queue reads the kernel's counters of the queue.
func New(s *alg.Stats, queue func() (nfqueue.Stats, error), b build.Info) *Metrics {
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ftpalg_packet_seconds",
		Help: "Time to the verdict on a packet of a control connection: from its arrival on the machine " +
			"where the kernel notes that (while any program there asks for timestamps), else from when " +
			"the gateway read it.",
		Buckets: []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3,
			50e-3, 100e-3},
	})
	m := &Metrics{Latency: latency, times: newTimes(), registry: prometheus.NewRegistry()}
	m.times.begin()
	m.registry.MustRegister(
		latency, m.times.connect, m.times.duration,
		collector(families(s, &m.Overruns, &m.Lost, queue, b)),
		collector(fateFamilies(s, m.EventsLost.Load)),
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
	m.registry.MustRegister(collector{
		counter("transfers_logged_total", "Transfers written to the log of transfers.",
			func(e emit) { e(float64(written())) }),
		counter("transfers_unlogged_total", "Transfers that should be in the log of transfers and are not, "+
			"because it could not be written, or not in time.", func(e emit) { e(float64(lost())) }),
	})
}
