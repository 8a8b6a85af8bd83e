package metrics

// Transfers adds what is counted of the log of transfers.
func (m *Metrics) Transfers(written, lost func() uint64) {
	m.registry.MustRegister(collector{
		counter("transfers_logged_total", "Transfers written to the log of transfers.",
			func(e emit) { e(float64(written())) }),
		counter("transfers_unlogged_total", "Transfers that should be in the log of transfers and are not, "+
			"because it could not be written, or not in time.", func(e emit) { e(float64(lost())) }),
	})
}
