package metrics

import "github.com/ftpalg/ftpalg/conntrack/ruleset"

// Rules adds what the watch over the nftables table counts.
func (m *Metrics) Rules(s *ruleset.WatchStats) {
	m.registry.MustRegister(collector{
		gauge("rules_ok", "1 while the nftables table is as it should be, as far as is known.", func(e emit) {
			if s.Whole.Load() {
				e(1)
			} else {
				e(0)
			}
		}),
		counter("rules_repaired_total",
			"Repairs of the nftables table, by what was found: it was gone, or altered.",
			func(e emit) {
				e(float64(s.Repaired[ruleset.Gone].Load()), "gone")
				e(float64(s.Repaired[ruleset.Altered].Load()), "altered")
			}, "found"),
		counter("rules_repairs_failed_total", "Repairs of the nftables table that failed.", one(&s.Failed)),
		counter("rules_events_lost_total",
			"Times that words of changes to nftables were lost, and the table was looked at whole.",
			one(&s.Overruns)),
	})
}
