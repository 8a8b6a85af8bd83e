package report

import (
	"fmt"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// Plot is a diagram with a line for each engine.
type Plot struct {
	Title, X, Y string
	LogX, LogY  bool
	lines       []line
}

type line struct {
	name   string
	points plotter.XYs
}

// Add adds a point to the line of an engine: the median of the samples, which Add sorts.
func (p *Plot) Add(engine string, x float64, samples []float64) {
	if len(samples) == 0 {
		return
	}
	at := plotter.XY{X: x, Y: median(samples)}
	for i := range p.lines {
		if p.lines[i].name == engine {
			p.lines[i].points = append(p.lines[i].points, at)
			return
		}
	}
	p.lines = append(p.lines, line{engine, plotter.XYs{at}})
}

// Text is what the plot shows, in figures.
func (p *Plot) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s):\n\n", p.Title, p.Y)
	for i, l := range p.lines {
		if i == 0 {
			b.WriteString("| " + p.X + " |")
			for _, at := range l.points {
				fmt.Fprintf(&b, " %.0f |", at.X)
			}
			b.WriteString("\n|---|" + strings.Repeat("---:|", len(l.points)) + "\n")
		}
		b.WriteString("| " + l.name + " |")
		for _, at := range l.points {
			b.WriteString(" " + number(at.Y) + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Write draws it into a file, whose name says the format.
func (p *Plot) Write(path string) error {
	d := plot.New()
	d.Title.Text, d.X.Label.Text, d.Y.Label.Text = p.Title, p.X, p.Y
	d.Legend.Top, d.Legend.Left = true, true
	d.Add(plotter.NewGrid())
	if p.LogX {
		d.X.Scale, d.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if p.LogY {
		d.Y.Scale, d.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		d.Y.Min = 0
	}
	for i, l := range p.lines {
		curve, dots, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return fmt.Errorf("drawing %s: %w", p.Title, err)
		}
		curve.Color, dots.Color, dots.Shape = plotutil.Color(i), plotutil.Color(i), plotutil.Shape(i)
		d.Add(curve, dots)
		d.Legend.Add(l.name, curve, dots)
	}
	if err := d.Save(18*vg.Centimeter, 11*vg.Centimeter, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
