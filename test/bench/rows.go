package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ftpalg/ftpalg/test/bench/internal/engine"
	"github.com/ftpalg/ftpalg/test/bench/internal/peer"
	"github.com/ftpalg/ftpalg/test/bench/internal/report"
)

// probe takes one sample of an engine and adds what came of it to the table.
type probe struct {
	name string
	of   string // the engines that it makes sense for, by their names
	take sampler
}

var probes = []probe{
	{"raw", "FBQ", (*bench).raw},
	{"tcp 32x8", "FBQKN", noops("NOOPs, 32 connections × 8 under way", 32, 8, "≥ 1.3")},
	{"tcp 256x1", "FBQKN", noops("NOOPs, 256 connections × 1", 256, 1, "≥ 1.3")},
	{"alone", "FBQKN", (*bench).alone},
	{"port", "FBQKN", (*bench).ports},
	{"sessions 1", "FBQKN", sessions(1, "≥ 0.7")},
	{"sessions 64", "FBQKN", sessions(64, "≥ 0.75")},
	{"sessions 256", "FBQKN", sessions(256, "≥ 0.75")},
	{"others", "FBQKN", (*bench).others},
	{"flood", "FBQKN", (*bench).flood},
}

// names are those of all that can be measured.
func names() (all []string) {
	for _, p := range probes {
		all = append(all, p.name)
	}
	return append(all, "idle", "memory", "engine", "latency.svg", "ports.svg", "workers.svg")
}

// sample is how long a sample takes.
func (b *bench) sample() time.Duration {
	if b.quick {
		return 500 * time.Millisecond
	}
	return time.Second
}

// measure takes all samples.
func (b *bench) measure() error {
	only, err := regexp.Compile(b.rows)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	b.only = only
	if names := names(); !slices.ContainsFunc(names, only.MatchString) {
		return fmt.Errorf("-rows %s: there are only %s", b.rows, strings.Join(names, ", "))
	}
	for _, e := range b.engines {
		if err := e.Wire.Open(wireSessions, e.Settle); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	for round := range b.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, b.rounds)
		for _, p := range probes {
			if !b.only.MatchString(p.name) {
				continue
			}
			for i := range b.engines {
				if err := b.ctx.Err(); err != nil {
					return err
				}
				b.one(p, b.engines[(i+round)%len(b.engines)], round)
			}
		}
	}
	return b.once()
}

// one takes a sample. What fails is told below the table, and has no value in it.
func (b *bench) one(p probe, e *engine.Engine, round int) {
	take := p.take
	if b.profile && e.Name == "F" {
		take = func(b *bench, e *engine.Engine, round int) error {
			return b.stacks.Take(p.name, e.PID(), func() error { return p.take(b, e, round) })
		}
	}
	for _, name := range p.of {
		if string(name) == e.Name {
			if err := take(b, e, round); err != nil {
				b.table.Note("FAILED: %s, %s, round %d: %v", e.Name, p.name, round+1, err)
			}
		}
	}
}

// cost is the processor time of an engine while f runs.
func cost(e *engine.Engine, f func() error) (time.Duration, error) {
	before, err := e.Usage()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := e.Usage()
	return after.CPU - before.CPU, err
}

const (
	wireSessions = 64
	// preloaded is how many packets wait in the queue for the raw row, less than it is long.
	preloaded = 7168
)

// raw fills the queue of a stopped engine and sees how fast it empties.
func (b *bench) raw(e *engine.Engine, round int) error {
	rate, cpu, err := drain(e)
	if err != nil {
		return err
	}
	b.table.Add(report.Row{Name: "packets through one queue, raw", Unit: "/s", Over: "Q", Target: "≥ 1.6"},
		e.Name, round, rate)
	b.table.Add(report.Row{Name: "processor time of a packet, raw", Unit: "µs", Over: "Q",
		Target: "≤ 4.5 µs"},
		e.Name, round, cpu)
	return nil
}

// drain returns packets a second, and processor time of one in microseconds.
func drain(e *engine.Engine) (rate, cpu float64, err error) {
	if err := e.Pause(); err != nil {
		return 0, 0, err
	}
	err = e.Wire.NOOPs(wireSessions, preloaded/wireSessions/2)
	q, err2 := e.Queue()
	var took time.Duration
	used, err3 := cost(e, func() error {
		start := time.Now()
		if err := e.Continue(); err != nil {
			return err
		}
		err := e.Settle()
		took = time.Since(start)
		return err
	})
	if err := errors.Join(err, err2, err3); err != nil {
		return 0, 0, err
	}
	if q.Waiting < preloaded*9/10 {
		return 0, 0, fmt.Errorf("only %d of %d packets waited in the queue", q.Waiting, preloaded)
	}
	n := float64(q.Waiting)
	return n / took.Seconds(), micro(used) / n, nil
}

// sampler takes one sample.
type sampler func(b *bench, e *engine.Engine, round int) error

func noops(name string, connections, underWay int, target string) sampler {
	return func(b *bench, e *engine.Engine, round int) error {
		ask := peer.Ask{Sessions: connections, UnderWay: underWay, For: b.sample(), Command: peer.NOOP}
		a, err := ask.Run(e.Net.Client, e.Server)
		if err != nil {
			return err
		}
		b.table.Add(report.Row{Name: name, Unit: "/s", Over: "Q", Target: target}, e.Name, round, a.Rate())
		return nil
	}
}

// alone is one command after another on one connection.
func (b *bench) alone(e *engine.Engine, round int) error {
	ask := peer.Ask{Sessions: 1, UnderWay: 1, For: b.sample(), Command: peer.NOOP}
	a, err := ask.Run(e.Net.Client, e.Server)
	if err != nil {
		return err
	}
	p50 := report.Row{Name: "NOOP alone, p50", Unit: "µs", Over: "Q", Target: "≤ 0.9"}
	p99 := report.Row{Name: "NOOP alone, p99", Unit: "µs", Over: "Q", Target: "≤ 1.1"}
	b.table.Add(p50, e.Name, round, micro(a.Quantile(0.5)))
	b.table.Add(p99, e.Name, round, micro(a.Quantile(0.99)))
	return nil
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// ports is one PORT after another; without a gateway the server takes the client's own address.
func (b *bench) ports(e *engine.Engine, round int) error {
	a, cpu, err := b.portAfterPort(e)
	if err != nil {
		return err
	}
	row := report.Row{Name: "PORT after PORT, 200 sessions", Unit: "/s", Over: "K", Target: "≥ 0.45"}
	b.table.Add(row, e.Name, round, a.Rate())
	if e.Kind == engine.Program || e.Kind == engine.Accept {
		row = report.Row{Name: "processor time of a PORT and its reply", Unit: "µs", Over: "Q",
			Target: "≤ 45 µs"}
		b.table.Add(row, e.Name, round, micro(cpu)/float64(max(a.N, 1)))
	}
	return nil
}

func (b *bench) portAfterPort(e *engine.Engine) (a peer.Answers, cpu time.Duration, err error) {
	var before engine.Usage
	ask := peer.Ask{
		Sessions: 200, UnderWay: 1, For: b.sample(), Command: peer.PORT(e.Net.Client.Addr(false)),
		Started: func() { before, err = e.Usage() },
	}
	a, runErr := ask.Run(e.Net.Client, e.Server)
	if after, err2 := e.Usage(); err == nil && err2 == nil {
		cpu = after.CPU - before.CPU
	}
	switch {
	case runErr != nil:
		return a, 0, runErr
	case a.Refused > 0:
		return a, cpu, fmt.Errorf("%d of %d PORTs were refused", a.Refused, a.N+a.Refused)
	}
	return a, cpu, err
}

func sessions(atOnce int, target string) sampler {
	return func(b *bench, e *engine.Engine, round int) error {
		var d peer.Done
		cpu, err := cost(e, func() (err error) {
			d, err = peer.Sessions{AtOnce: atOnce, For: b.sample()}.Run(e.Net.Client, e.Server)
			return err
		})
		if err != nil {
			return err
		}
		if d.Failed > 0 {
			b.table.Note("FAILED: %s, whole sessions, %d at once, round %d: %d beside %d good ones, the "+
				"first: %s",
				e.Name, atOnce, round+1, d.Failed, d.N, d.Why)
		}
		name := fmt.Sprintf("whole sessions, %d at once", atOnce)
		b.table.Add(report.Row{Name: name, Unit: "/s", Over: "K", Target: target}, e.Name, round, d.Rate())
		if atOnce == 64 && (e.Kind == engine.Program || e.Kind == engine.Accept) {
			row := report.Row{Name: "processor time of a session", Unit: "µs", Over: "Q", Target: "≤ 200 µs"}
			b.table.Add(row, e.Name, round, micro(cpu)/float64(max(d.N, 1)))
		}
		return nil
	}
}

// others is what a gateway leaves of the machine to connections that are none of its business.
func (b *bench) others(e *engine.Engine, round int) error {
	d, err := peer.Sessions{AtOnce: 64, For: b.sample(), Short: true}.Run(e.Net.Client, e.Other)
	if err == nil && d.Failed > 0 {
		err = fmt.Errorf("%d connections failed beside %d good ones, the first: %s", d.Failed, d.N, d.Why)
	}
	if err != nil {
		return err
	}
	row := report.Row{Name: "short connections that are no FTP, 64 at once", Unit: "/s", Over: "N"}
	b.table.Add(row, e.Name, round, d.Rate())
	return nil
}
