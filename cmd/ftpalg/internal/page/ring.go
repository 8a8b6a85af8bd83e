package page

import (
	"sync"
	"time"
)

const (
	sampleEvery = 30 * time.Second // each wakes the program, which else sleeps while nothing comes
	hour        = int(time.Hour / sampleEvery)
)

// Sample is what is plotted, at one time.
type Sample struct {
	Sessions, Data          int64  // now
	Opened, Refused, Failed uint64 // since the start: ports, lines, data connections
}

// ring keeps the samples of the last hour.
type ring struct {
	mu   sync.Mutex
	kept [hour + 1]Sample // one more, for the differences
	n    int              // how many there were
}

func (r *ring) add(s Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[r.n%len(r.kept)] = s
	r.n++
}

// series returns the values of a gauge and, of those that count, how much they grew in each step; the oldest
// first.
func (r *ring) series(value func(*Sample) float64, grows bool) []float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []float64
	for i := max(0, r.n-len(r.kept)); i < r.n; i++ {
		v := value(&r.kept[i%len(r.kept)])
		switch {
		case grows && i+1 < r.n:
			out = append(out, value(&r.kept[(i+1)%len(r.kept)])-v)
		case !grows:
			out = append(out, v)
		}
	}
	return out
}
