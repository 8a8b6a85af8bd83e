package main

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

func (p *program) catchSignals() {
	p.signals = make(chan os.Signal, 8)
	signal.Notify(p.signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	p.undo = append(p.undo, func() error { signal.Stop(p.signals); return nil })
}

// signalled does what the signals ask for that came since it was last called, and
// tells whether to stop. It is called between two rounds, so nothing else runs.
func (p *program) signalled() (stop bool) {
	for {
		select {
		case s := <-p.signals:
			if s != unix.SIGHUP {
				return true
			}
			p.reload()
		default:
			return false
		}
	}
}
