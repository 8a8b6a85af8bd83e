package main

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// catchSignals has runAll hear of the signals.
func (p *program) catchSignals() {
	p.signals = make(chan os.Signal, 8)
	signal.Notify(p.signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	p.undo = append(p.undo, func() error { signal.Stop(p.signals); return nil })
}
