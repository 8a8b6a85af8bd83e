package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// emit gives the value of one time series.
type emit func(value float64, labels ...string)

// family is a metric that is read when it is asked for.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(emit)
}

func counter(name, help string, read func(emit), labels ...string) family {
	return family{prometheus.NewDesc("ftpalg_"+name, help, labels, nil), prometheus.CounterValue, read}
}

func gauge(name, help string, read func(emit), labels ...string) family {
	return family{prometheus.NewDesc("ftpalg_"+name, help, labels, nil), prometheus.GaugeValue, read}
}

// collector makes families anew for each scrape.
type collector func() []family

// always is a collector of the same families.
func always(all ...family) collector { return func() []family { return all } }

// Describe is part of prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c() {
		ch <- f.desc
	}
}

// Collect is part of prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, f := range c() {
		f.read(func(value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
}
