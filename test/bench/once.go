package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/ftpalg/ftpalg/test/bench/internal/engine"
	"github.com/ftpalg/ftpalg/test/bench/internal/report"
)

// once takes what needs no rounds.
func (b *bench) once() error {
	if b.only.MatchString("idle") {
		if err := b.idle(); err != nil {
			return err
		}
	}
	if b.only.MatchString("memory") {
		for _, name := range []string{"F", "B"} {
			if c, ok := b.configs[name]; ok {
				if err := b.memory(c); err != nil {
					b.table.Note("FAILED: %s, memory: %v", name, err)
				}
			}
		}
	}
	if b.only.MatchString("engine") {
		return b.engine()
	}
	return nil
}

// idle looks at programs that were just started, for what others did may still be tidied up.
func (b *bench) idle() (err error) {
	const looked = time.Minute // what comes every half minute counts as what it is
	var fresh []*engine.Engine
	defer func() {
		for _, e := range fresh {
			err = errors.Join(err, e.Close())
		}
	}()
	for _, name := range []string{"F", "B", "Q"} {
		c, ok := b.configs[name]
		if !ok {
			continue
		}
		c.Name += "-idle"
		e, err := engine.Start(b.ctx, c)
		if err != nil {
			return err
		}
		fresh = append(fresh, e)
	}
	time.Sleep(3 * time.Second) // what belongs to their start ends
	before := make([]engine.Usage, len(fresh))
	for i, e := range fresh {
		if before[i], err = e.Usage(); err != nil {
			return err
		}
	}
	time.Sleep(looked)
	for i, e := range fresh {
		u, err := e.Usage()
		if err != nil {
			return err
		}
		share := report.Row{Name: "idle, share of a core", Unit: "%", Target: "≤ 0.05"}
		b.table.Add(share, e.Name[:1], 0, 100*(u.CPU-before[i].CPU).Seconds()/looked.Seconds())
		wakeups := report.Row{Name: "idle, wake-ups", Unit: "/s", Target: "≤ 2"}
		b.table.Add(wakeups, e.Name[:1], 0, float64(u.Wakeups-before[i].Wakeups)/looked.Seconds())
	}
	return nil
}

const (
	idleSessions = 10_000
	tidied       = 15 * time.Second // by then the program has given back what only busy ones need
)

// memory opens many sessions on a program that collects garbage early, so that the heap is what
// is in use.
func (b *bench) memory(c engine.Config) (err error) {
	c.Name, c.Env = c.Name+"-memory", []string{"GOGC=5"}
	name := c.Name[:1]
	e, err := engine.Start(b.ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	empty, err := heap(e)
	if err != nil {
		return err
	}
	if err := e.Wire.Open(idleSessions, e.Settle); err != nil {
		return err
	}
	m, err := e.Metrics()
	if err != nil {
		return err
	}
	if n := m["ftpalg_control_sessions"]; n != idleSessions {
		return fmt.Errorf("the program knows %v of %d sessions", n, idleSessions)
	}
	time.Sleep(tidied)
	full, err := heap(e)
	if err != nil {
		return err
	}
	row := report.Row{Name: "10,000 idle sessions: heap of one", Unit: "B", Target: "≤ 700"}
	b.table.Add(row, name, 0, (full.heap-empty.heap)/idleSessions)
	row = report.Row{Name: "the same: resident memory of one", Unit: "B"}
	b.table.Add(row, name, 0, (full.rss-empty.rss)/idleSessions)
	if b.quick {
		return nil
	}
	return b.givenBack(e, name, empty, full)
}

// usage is what a program holds, in bytes.
type usage struct{ heap, rss float64 }

// heap asks until a collection has just been: the least of several.
func heap(e *engine.Engine) (u usage, err error) {
	for i := range 40 {
		m, err := e.Metrics()
		if err != nil {
			return u, err
		}
		if h := m["go_memstats_heap_alloc_bytes"]; i == 0 || h < u.heap {
			u.heap = h
		}
	}
	p, err := e.Usage()
	u.rss = float64(p.RSS)
	return u, err
}

// givenBack ends the sessions and waits until the program has forgotten them.
func (b *bench) givenBack(e *engine.Engine, name string, empty, full usage) error {
	if err := e.Wire.End(e.Settle); err != nil {
		return err
	}
	const longest = 90 * time.Second
	for end := time.Now().Add(longest); ; time.Sleep(time.Second) {
		m, err := e.Metrics()
		if err != nil {
			return err
		}
		left := m["ftpalg_control_sessions"] + m["ftpalg_control_sessions_ended"]
		if left == 0 {
			break
		}
		if time.Now().After(end) || b.ctx.Err() != nil {
			return fmt.Errorf("it still knows %v sessions %v after their end", left, longest)
		}
	}
	after, err := heap(e)
	if err != nil {
		return err
	}
	row := report.Row{Name: "the same: heap given back after their end", Unit: "%", Target: "all"}
	b.table.Add(row, name, 0, 100*(full.heap-after.heap)/(full.heap-empty.heap))
	row = report.Row{Name: "the same: resident memory given back", Unit: "%"}
	b.table.Add(row, name, 0, 100*(full.rss-after.rss)/max(full.rss-empty.rss, 1))
	return nil
}

var nanoseconds = regexp.MustCompile(`BenchmarkPayloadWithoutEdit\S*\s+\d+\s+([0-9.]+) ns/op`)

// engine runs the Go benchmark of the packet path without a kernel.
func (b *bench) engine() error {
	root, err := treeRoot()
	if err != nil {
		return err
	}
	out := filepath.Join(b.dir, "engine.txt")
	script := "go test -run - -bench PayloadWithoutEdit -count 5 ./alg > " + out
	if err := b.tool(root, "sh", "-c", script); err != nil {
		return err
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return fmt.Errorf("reading the Go benchmark: %w", err)
	}
	for i, m := range nanoseconds.FindAllSubmatch(text, -1) {
		ns, _ := strconv.ParseFloat(string(m[1]), 64)
		row := report.Row{Name: "engine, payload without edit (two packets)", Unit: "ns", Target: "≤ 600"}
		b.table.Add(row, "F", i, ns)
	}
	return nil
}
