package metrics

import "github.com/ftpalg/ftpalg/conntrack/ruleset"

// Limits reads how full the tables of connection tracking are in this network namespace,
// and how many entries they hold in all. What cannot be read is left out.
type Limits struct {
	Entries, MaxEntries           func() (int, error)
	Expectations, MaxExpectations func() (int, error)
}

// Kernel adds what is read at each scrape.
func (m *Metrics) Kernel(l Limits) {
	known := func(read func() (int, error)) func(emit) {
		return func(e emit) {
			if n, err := read(); err == nil {
				e(float64(n))
			}
		}
	}
	m.registry.MustRegister(always(
		gauge("conntrack_entries", "Connections in the kernel's table, of everybody.", known(l.Entries)),
		gauge("conntrack_entries_limit", "How many connections the kernel's table holds.",
			known(l.MaxEntries)),
		gauge("kernel_expectations", "Expected connections in the kernel's table, of everybody.",
			known(l.Expectations)),
		gauge("kernel_expectations_limit", "How many expected connections the kernel's table holds.",
			known(l.MaxExpectations)),
	))
}

// Unseen adds the count of the packets that passed the program by; left out where it returns an error.
func (m *Metrics) Unseen(count func() (uint64, error)) {
	m.registry.MustRegister(always(counter("packets_unseen_total", "Packets of control connections that "+
		"passed unseen since the program began, because a queue or its receive buffer was full.",
		func(e emit) {
			if n, err := count(); err == nil {
				e(float64(n))
			}
		})))
}

// Rules adds what the watch over the nftables table counts.
func (m *Metrics) Rules(s *ruleset.WatchStats) {
	m.registry.MustRegister(always(
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
	))
}
