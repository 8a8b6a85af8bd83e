package report

import (
	"fmt"
	"slices"
	"strings"
)

// Engines are the columns, by their short names.
var Engines = []string{"F", "B", "Q", "K", "N"}

// Row is one thing that is measured.
type Row struct {
	Name   string
	Unit   string
	Over   string // the engine that F is compared with; empty: none
	Target string // what must be reached, in words
}

// Table collects samples.
type Table struct {
	rows  []rowData
	notes []string
}

type rowData struct {
	Row
	samples map[string]map[int]float64 // by engine and round
}

// Add takes a sample. Rows come in the order of their first samples.
func (t *Table) Add(r Row, engine string, round int, value float64) {
	i := slices.IndexFunc(t.rows, func(d rowData) bool { return d.Name == r.Name })
	if i < 0 {
		i = len(t.rows)
		t.rows = append(t.rows, rowData{Row: r, samples: map[string]map[int]float64{}})
	}
	d := t.rows[i].samples
	if d[engine] == nil {
		d[engine] = map[int]float64{}
	}
	d[engine][round] = value
}

// Note adds a sentence below the table, once.
func (t *Table) Note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(t.notes, n) {
		t.notes = append(t.notes, n)
	}
}

// Text is the table in Markdown, and the notes.
func (t *Table) Text() string {
	var b strings.Builder
	b.WriteString("| what | unit |")
	for _, e := range Engines {
		b.WriteString(" " + e + " |")
	}
	b.WriteString(" F ratio (least–greatest) | B ratio | must reach |\n")
	b.WriteString("|---|---|" + strings.Repeat("---:|", len(Engines)+2) + "---|\n")
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s | %s |", r.Name, r.Unit)
		for _, e := range Engines {
			b.WriteString(" " + value(r.samples[e]) + " |")
		}
		fmt.Fprintf(&b, " %s | %s | %s |\n", r.ratio("F"), r.ratio("B"), r.Target)
	}
	for _, n := range t.notes {
		b.WriteString("\n- " + n)
	}
	return b.String() + "\n"
}

// value is the median, with three figures.
func value(samples map[int]float64) string {
	if len(samples) == 0 {
		return "–"
	}
	var all []float64
	for _, v := range samples {
		all = append(all, v)
	}
	return number(median(all))
}

func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// ratio compares an engine with the one it is held against, round by round.
func (r *rowData) ratio(engine string) string {
	var all []float64
	for round, v := range r.samples[engine] {
		if over := r.samples[r.Over][round]; over > 0 {
			all = append(all, v/over)
		}
	}
	if len(all) == 0 {
		return "–"
	}
	least, greatest := slices.Min(all), slices.Max(all)
	return fmt.Sprintf("%s/%s %.2f (%.2f–%.2f)", engine, r.Over, median(all), least, greatest)
}

// median sorts v.
func median(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// Document is what RESULTS.md says.
func Document(table, machine string, rounds int, plots string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# What the bench measured

Written by `+"`make bench`"+`; %d rounds, %s. F is ftpalg, B another ftpalg binary, Q a C program
that accepts every packet one by one, K the kernel's own FTP helper, N no gateway at all. Values are
medians over the rounds; ratios are medians of the ratios within each round. Client,
server and gateway share this machine.

`, rounds, machine)
	b.WriteString(table)
	b.WriteString(plots)
	return b.String()
}

// Profile is the document with the table of where the processor time goes.
func Profile(table, machine string, rounds int) string {
	return fmt.Sprintf(`# Where the processor time goes

Written by `+"`make bench-profile`"+`; %d rounds, %s. perf takes the stacks
of F while a row of the bench is measured; each counts for the part that it is deepest in. What the kernel
does for the packet of a verdict, as far as its receiver, is done in the program's time, here and in the C
program (Q) alike.

%s`, rounds, machine, strings.TrimPrefix(table, "\n"))
}
