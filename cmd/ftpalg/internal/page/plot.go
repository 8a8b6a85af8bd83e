package page

import (
	"slices"
	"strconv"
	"time"
)

// A plot is an hour wide, whatever there is of it; the newest value is at the right.
const (
	plotWide = 360.0
	plotHigh = 60.0
)

// plot is one of the plots.
type plot struct {
	id, name string
	grows    bool // it counts, and what is shown is how many came in a minute
	value    func(*Sample) float64
}

var plots = []plot{
	{"sessions", "control connections", false, func(s *Sample) float64 { return float64(s.Sessions) }},
	{"data", "data connections", false, func(s *Sample) float64 { return float64(s.Data) }},
	{"opened", "ports opened a minute", true, func(s *Sample) float64 { return float64(s.Opened) }},
	{"refused", "refusals a minute", true, func(s *Sample) float64 { return float64(s.Refused) }},
	{"failed", "data connections that failed a minute", true,
		func(s *Sample) float64 { return float64(s.Failed) }},
}

// draw writes the plot of some values, the oldest first.
func (p *plot) draw(w *writer, values []float64) {
	if p.grows {
		for i := range values {
			values[i] *= float64(time.Minute / sampleEvery)
		}
	}
	now, most := 0.0, 0.0
	if n := len(values); n > 0 {
		now, most = values[n-1], slices.Max(values)
	}
	w.put(`<figure><svg viewBox="0 0 360 60" preserveAspectRatio="none" role="img" aria-label="%s over the `+
		`last hour: %s now, %s at most">`, p.name, short(now), short(most))
	w.put(`<line class="base" x1="0" y1="59" x2="360" y2="59"/>`)
	if len(values) > 1 {
		w.put(`<polyline points="%s"/>`, points(values, most))
	}
	w.put(`</svg><figcaption>%s: <b>%s</b>, at most %s</figcaption></figure>`,
		p.name, short(now), short(most))
}

// points are the corners of a line.
func points(values []float64, most float64) string {
	var b []byte
	step := plotWide / float64(hour-1)
	for i, v := range values {
		x, y := plotWide-step*float64(len(values)-1-i), plotHigh-1
		if most > 0 {
			y -= v / most * (plotHigh - 3)
		}
		b = append(strconv.AppendFloat(b, x, 'f', 1, 64), ',')
		b = append(strconv.AppendFloat(b, y, 'f', 1, 64), ' ')
	}
	return string(b)
}

func short(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
