package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/metrics"
)

// serveMetrics opens the only listener of the program in the network.
func (p *program) serveMetrics(m *metrics.Metrics) error {
	if p.config.Metrics.Address == "" {
		return nil
	}
	l, err := net.Listen("tcp", p.config.Metrics.Address)
	later := p.takeOver && errors.Is(err, unix.EADDRINUSE)
	if err != nil && !later {
		return fmt.Errorf("serve metrics: %w; choose another address with --metrics-address, "+
			"FTPALG_METRICS_ADDRESS or metrics.address in the configuration, or off", err)
	}
	server := &http.Server{
		Handler:           p.withProbes(m.Handler(p.config.Metrics.Path)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      30 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	p.undo = append(p.undo, server.Close)
	if later {
		go p.listenLater(server)
		return nil
	}
	go func() { _ = server.Serve(l) }() // ends with Close
	return nil
}
