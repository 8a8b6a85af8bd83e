package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
)

// fateFamilies is the table of what came of open ports.
func fateFamilies(s *alg.Stats, lost func() uint64) []family {
	return []family{
		gauge("data_connections", "Data connections now, as far as the kernel tells.",
			func(e emit) { e(float64(s.Data.Load())) }),
		counter("expectation_outcomes_total", "What came of open ports.", func(e emit) {
			for m, mode := range dialogue.Modes[1:] {
				for o, outcome := range fate.Outcomes {
					e(float64(s.Fates[m+1][o].Load()), mode, outcome)
				}
			}
		}, "mode", "outcome"),
		counter("data_bytes_total", "Bytes of ended data connections, IP headers included, by who sent them.",
			func(e emit) {
				for m, mode := range dialogue.Modes[1:] {
					for i, from := range [...]string{"client", "server"} {
						e(float64(s.Bytes[m+1][i].Load()), mode, from)
					}
				}
			}, "mode", "from"),
		counter("control_sessions_renewed_total",
			"Times that a control connection was kept from expiring during a transfer.", one(&s.Renewed)),
		counter("events_lost_total", "Times that events of the kernel were lost.",
			func(e emit) { e(float64(lost())) }),
	}
}

// times are the histograms of data connections.
type times struct{ connect, duration *prometheus.HistogramVec }

func newTimes() times {
	return times{
		connect: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "ftpalg_data_connect_seconds",
			Help:    "Time from the opening of a port to the arrival of its connection.",
			Buckets: []float64{1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"mode"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ftpalg_data_duration_seconds",
			Help: "Time from the arrival of a data connection to the final reply, or to when it was found " +
				"closed, or reset, within 5 s.",
			Buckets: []float64{0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 7200, 43200},
		}, []string{"mode"}),
	}
}

// begin has the rates of every mode begin at 0.
func (t times) begin() {
	for _, mode := range dialogue.Modes[1:] {
		t.connect.WithLabelValues(mode)
		t.duration.WithLabelValues(mode)
	}
}

// Ended takes note of what came of a port.
func (m *Metrics) Ended(f *fate.Fate) {
	if f.Ending == fate.NoEnding && f.Outcome != fate.Used {
		return
	}
	m.times.connect.WithLabelValues(f.Mode.String()).Observe(f.Waited.Seconds())
	m.times.duration.WithLabelValues(f.Mode.String()).Observe(f.Lasted.Seconds())
}
