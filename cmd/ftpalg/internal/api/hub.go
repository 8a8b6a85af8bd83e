package api

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	eventsKept = 256             // for a reader that is slow
	writeTime  = 5 * time.Second // for one event, then the reader is left
)

// Hub passes events on to readers. Publish never waits: a reader that is too slow misses some, and is told
// how many.
type Hub struct {
	n       atomic.Int32
	mu      sync.Mutex
	readers map[*reader]struct{}
}

type reader struct {
	events chan *Event
	lost   atomic.Int64
}

// Wanted tells whether somebody listens.
func (h *Hub) Wanted() bool { return h.n.Load() > 0 }

// Publish passes on an event, which must not be changed any more.
func (h *Hub) Publish(e *Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.readers {
		select {
		case r.events <- e:
		default:
			r.lost.Add(1)
		}
	}
}

func (h *Hub) join() *reader {
	r := &reader{events: make(chan *Event, eventsKept)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readers == nil {
		h.readers = map[*reader]struct{}{}
	}
	h.readers[r] = struct{}{}
	h.n.Add(1)
	return r
}

func (h *Hub) leave(r *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
	h.n.Add(-1)
}

// ServeHTTP writes a line for each event until the reader goes or is too slow.
func (h *Hub) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r := h.join()
	defer h.leave(r)
	w.Header().Set("Content-Type", "application/x-ndjson")
	c := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	write := func(e *Event) bool {
		late := time.Now().Add(writeTime)
		return c.SetWriteDeadline(late) == nil && enc.Encode(e) == nil && c.Flush() == nil
	}
	if c.SetReadDeadline(time.Time{}) != nil { // that of the request would end it
		return
	}
	if c.SetWriteDeadline(time.Now().Add(writeTime)) != nil || c.Flush() != nil {
		return
	}
	for {
		select {
		case <-req.Context().Done():
			return
		case e := <-r.events:
			lost := Event{Version: Version, Time: e.Time, Kind: "lost", Lost: int(r.lost.Swap(0))}
			if lost.Lost > 0 && !write(&lost) {
				return
			}
			if !write(e) {
				return
			}
		}
	}
}
