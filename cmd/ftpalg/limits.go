package main

import (
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/metrics"
	"github.com/ftpalg/ftpalg/conntrack"
)

// kernelLimits reads how full the kernel's tables are.
func kernelLimits() metrics.Limits {
	number := func(name string) func() (int, error) {
		return func() (int, error) { return sysctl(name) }
	}
	return metrics.Limits{
		Entries: number("nf_conntrack_count"), MaxEntries: number("nf_conntrack_max"),
		Expectations: countExpectations, MaxExpectations: number("nf_conntrack_expect_max"),
	}
}

// countExpectations is called by another goroutine than the packet loop's, and so has a socket of its own.
func countExpectations() (int, error) {
	c, err := conntrack.Dial()
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }() // it was only read from
	all, err := c.Expectations()
	return len(all), err
}
