package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ftpalg/ftpalg/test/bench/internal/engine"
	"github.com/ftpalg/ftpalg/test/bench/internal/report"
)

// samplesOfPoint is how often each point of a plot is measured.
const samplesOfPoint = 3

// plots draws all of them into the directory for the results, and returns them as Markdown.
func (b *bench) plots() (string, error) {
	var text strings.Builder
	for _, d := range []struct {
		name string
		draw func(*bench) (*report.Plot, error)
	}{
		{"latency.svg", (*bench).latencyPlot},
		{"ports.svg", (*bench).portsPlot},
		{"workers.svg", (*bench).workersPlot},
	} {
		if !b.only.MatchString(d.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "plot %s\n", d.name)
		p, err := d.draw(b)
		if err != nil {
			return "", fmt.Errorf("measuring for %s: %w", d.name, err)
		}
		if p == nil {
			continue
		}
		if err := p.Write(filepath.Join(b.write, d.name)); err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "\n![%s](%s)\n\n%s", p.Title, d.name, p.Text())
	}
	return text.String(), nil
}

// offered are the loads of the latency plot, in packets a second.
var offered = []float64{5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 150_000}

// latencyPlot shows what a session beside a load of other sessions meets.
func (b *bench) latencyPlot() (*report.Plot, error) {
	p := &report.Plot{Title: "A NOOP beside other sessions: 99 of 100 are faster than this",
		X: "packets a second offered", Y: "ms", LogX: true, LogY: true}
	for _, rate := range offered {
		samples := map[string][]float64{}
		for range samplesOfPoint {
			for _, e := range b.engines {
				if err := b.ctx.Err(); err != nil {
					return nil, err
				}
				r, err := flooded(e, rate)
				if err != nil {
					b.table.Note("FAILED: %s beside %.0f packets/s: %v", e.Name, rate, err)
					continue
				}
				samples[e.Name] = append(samples[e.Name], micro(r.answers.Quantile(0.99))/1e3)
			}
		}
		for _, e := range b.engines {
			p.Add(e.Name, rate, samples[e.Name])
		}
	}
	return p, nil
}

// standing is how many sessions stand in the plot of PORTs, besides the 200 that ask.
var standing = []int{100, 1_000, 10_000, 30_000, 100_000}

// portsPlot shows PORTs a second while more and more sessions stand, each engine in a network of
// its own.
func (b *bench) portsPlot() (*report.Plot, error) {
	p := &report.Plot{Title: "PORT after PORT, 200 sessions that ask",
		X: "sessions that stand", Y: "PORTs a second", LogX: true}
	for _, shared := range b.engines {
		if !shared.Opens() {
			continue
		}
		if err := b.portsLine(p, shared.Config); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (b *bench) portsLine(p *report.Plot, c engine.Config) (err error) {
	name := c.Name
	c.Name += "-ports"
	e, err := engine.Start(b.ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	for _, n := range standing {
		if err := e.Wire.Open(n-e.Wire.Len(), e.Settle); err != nil {
			b.table.Note("PORTs of %s beside %d sessions were not measured: %v", name, n, err)
			return nil
		}
		var rates []float64
		for range samplesOfPoint {
			if err := b.ctx.Err(); err != nil {
				return err
			}
			a, _, err := b.portAfterPort(e)
			if err != nil {
				b.table.Note("FAILED: PORTs of %s beside %d sessions: %v", name, n, err)
				continue
			}
			rates = append(rates, a.Rate())
		}
		p.Add(name, float64(n), rates)
	}
	return nil
}

// workersPlot shows the processor time of a packet with more than one worker; nil: the program has none.
func (b *bench) workersPlot() (*report.Plot, error) {
	c := b.configs["F"]
	if err := b.hasWorkers(c.Binary); err != nil {
		b.table.Note("workers.svg was SKIPPED: this ftpalg has no setting `workers`.")
		return nil, nil
	}
	p := &report.Plot{Title: "One packet through the queues", X: "workers", Y: "processor time, µs"}
	for _, workers := range []int{1, 2, 4} {
		c.Workers = workers
		cpu, err := b.workersPoint(c)
		if err != nil {
			return nil, err
		}
		p.Add("F", float64(workers), cpu)
	}
	return p, nil
}

func (b *bench) workersPoint(c engine.Config) (cpu []float64, err error) {
	c.Name += "-workers"
	e, err := engine.Start(b.ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := e.Wire.Open(wireSessions, e.Settle); err != nil {
		return nil, err
	}
	for range samplesOfPoint {
		_, us, err := drain(e)
		if err != nil {
			return nil, err
		}
		cpu = append(cpu, us)
	}
	return cpu, nil
}

// hasWorkers asks the program whether it takes the setting.
func (b *bench) hasWorkers(binary string) error {
	file := filepath.Join(b.dir, "workers.yaml")
	if err := os.WriteFile(file, []byte("workers: 1\n"), 0o600); err != nil {
		return err
	}
	return exec.CommandContext(b.ctx, binary, "rules", "--config", file).Run()
}
