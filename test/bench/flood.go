package main

import (
	"fmt"
	"time"

	"github.com/ftpalg/ftpalg/test/bench/internal/engine"
	"github.com/ftpalg/ftpalg/test/bench/internal/peer"
	"github.com/ftpalg/ftpalg/test/bench/internal/report"
)

const (
	floodRate = 150_000 // packets a second
	floodTime = time.Second
)

// beside is what a flood does to a session beside it.
type beside struct {
	answers peer.Answers
	offered float64 // packets a second that this machine managed to send
	sent    int
	unseen  int // of these, those that the engine was never shown
}

// flooded has one session ask for NOOPs while others flood the gateway.
func flooded(e *engine.Engine, rate float64) (r beside, err error) {
	before, err := e.Queue()
	if err != nil {
		return r, err
	}
	floodErr := make(chan error, 1)
	ask := peer.Ask{Sessions: 1, UnderWay: 1, For: floodTime + floodTime/2, Command: peer.NOOP}
	ask.Started = func() {
		go func() {
			var err error
			start := time.Now()
			if rate > 0 {
				r.sent, err = e.Wire.Flood(wireSessions, rate, floodTime)
			}
			r.offered = float64(r.sent) / time.Since(start).Seconds()
			floodErr <- err
		}()
	}
	answers, err := ask.Run(e.Net.Client, e.Server)
	if err != nil {
		return r, fmt.Errorf("the session beside the flood: %w", err)
	}
	if err := <-floodErr; err != nil {
		return r, err
	}
	r.answers = answers
	if err := e.Settle(); err != nil {
		return r, err
	}
	after, err := e.Queue()
	const own = 5 // packets of the session's own login, at least
	r.unseen = max(r.sent+own+2*answers.N-(after.Seen-before.Seen), 0)
	return r, err
}

func (b *bench) flood(e *engine.Engine, round int) error {
	r, err := flooded(e, floodRate)
	if err != nil {
		return err
	}
	const name = "flood of 150,000 packets/s: worst NOOP beside it"
	worst := report.Row{Name: name, Unit: "ms", Over: "Q", Target: "≤ 150 ms"}
	b.table.Add(worst, e.Name, round, micro(r.answers.Worst)/1e3)
	b.table.Add(report.Row{Name: "the same: packets really offered", Unit: "/s"}, e.Name, round, r.offered)
	if e.Kind == engine.Program || e.Kind == engine.Accept {
		b.table.Add(report.Row{Name: "the same: passed unseen", Unit: "%", Target: "counted"},
			e.Name, round, 100*float64(r.unseen)/float64(max(r.sent, 1)))
	}
	return nil
}
