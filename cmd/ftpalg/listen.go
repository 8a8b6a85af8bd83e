package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/metrics"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/webconfig"
)

// serveMetrics opens the only listener of the program in the network.
func (p *program) serveMetrics(m *metrics.Metrics, info build.Info) error {
	if p.config.Metrics.Address == "" {
		return nil
	}
	guard, err := webconfig.New(p.config.HTTP.File)
	if err != nil {
		return fmt.Errorf("read http.config_file: %w", err)
	}
	p.guard = guard
	l, err := net.Listen("tcp", p.config.Metrics.Address)
	later := p.takeOver && errors.Is(err, unix.EADDRINUSE)
	if err != nil && !later {
		return fmt.Errorf("serve metrics: %w; choose another address with --metrics-address, "+
			"FTPALG_METRICS_ADDRESS or metrics.address in the configuration, or off", err)
	}
	server := &http.Server{
		Handler:           withPage(p, p.withProbes(m.Handler(p.config.Metrics.Path)), info),
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
	go func() { _ = p.guard.Serve(server, l) }() // ends with Close
	return nil
}
