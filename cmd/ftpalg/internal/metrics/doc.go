// Package metrics shows what the gateway counts to Prometheus.
//
// The counters live in [alg.Stats], where the packet loop adds to them; they are
// read when they are asked for. Only the histogram of the time from packet to
// verdict and the overruns of the queue are counted here.
package metrics
