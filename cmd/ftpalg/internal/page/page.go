package page

import (
	"bytes"
	"context"
	"embed"
	"net/http"
	"sync"
	"time"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
)

const (
	viewFor    = time.Second     // how long a view is shown to others, too
	liveEvery  = 2 * time.Second // how often a page is renewed
	writeTime  = 5 * time.Second // for one renewal, then the reader is left
	maxReaders = 16              // pages that are renewed at once
)

// policyOfContent lets a browser load nothing but what the program itself serves, and run no script in it.
const policyOfContent = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; " +
	"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed assets
var assets embed.FS

// Source is what the page shows.
type Source struct {
	Status   func() *api.Status
	Sessions func(context.Context) (*api.Sessions, error) // nil: they are not shown
	Sample   func() Sample                                // for the plots
	Meaning  func(reason string) string                   // of a refusal
}

// Page is the page. Its handlers may run in any goroutine.
type Page struct {
	source  Source
	ring    ring
	readers chan struct{}
	ended   chan struct{}

	mu   sync.Mutex
	last *view
}

// New returns a page that takes samples until Close.
func New(s Source) *Page {
	p := &Page{source: s, readers: make(chan struct{}, maxReaders), ended: make(chan struct{})}
	p.ring.add(s.Sample())
	go p.sample()
	return p
}

// Close ends the samples and the renewals.
func (p *Page) Close() error {
	close(p.ended)
	return nil
}

func (p *Page) sample() {
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	for {
		select {
		case <-p.ended:
			return
		case <-t.C:
			p.ring.add(p.source.Sample())
		}
	}
}

// AddTo adds the page, at /, to what is served.
func (p *Page) AddTo(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		var out writer
		p.document(&out, p.view(r.Context()))
		answer(w, "text/html; charset=utf-8", out.Bytes())
	})
	mux.HandleFunc("GET /live", p.live)
	for name, kind := range map[string]string{"page.css": "text/css", "page.js": "text/javascript"} {
		text, _ := assets.ReadFile("assets/" + name) // it is there
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			answer(w, kind+"; charset=utf-8", text)
		})
	}
}

func answer(w http.ResponseWriter, kind string, body []byte) {
	head(w, kind)
	_, _ = w.Write(body) // else the reader has gone
}

func head(w http.ResponseWriter, kind string) {
	for k, v := range map[string]string{
		"Content-Type": kind, "Content-Security-Policy": policyOfContent, "Cache-Control": "no-store",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		w.Header().Set(k, v)
	}
}

// view returns how all is, or was a short while ago. Many readers cost no more than one.
func (p *Page) view(ctx context.Context) *view {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil && time.Since(p.last.at) < viewFor {
		return p.last
	}
	v := &view{status: p.source.Status()}
	if p.source.Sessions != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
		defer cancel()
		var err error
		if v.sessions, err = p.source.Sessions(ctx); err != nil {
			v.problem = err.Error()
		}
	}
	v.at = time.Now()
	p.last = v
	return v
}

// live renews a page until its reader goes or is too slow.
func (p *Page) live(w http.ResponseWriter, r *http.Request) {
	select {
	case p.readers <- struct{}{}:
		defer func() { <-p.readers }()
	default:
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	head(w, "text/event-stream")
	c := http.NewResponseController(w)
	if c.SetReadDeadline(time.Time{}) != nil { // that of the request would end it
		return
	}
	t := time.NewTicker(liveEvery)
	defer t.Stop()
	for {
		var out writer
		p.sections(&out, p.view(r.Context()))
		late := time.Now().Add(writeTime)
		if c.SetWriteDeadline(late) != nil || send(w, out.Bytes()) != nil || c.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-p.ended:
			return
		case <-t.C:
		}
	}
}

// send writes an event.
func send(w http.ResponseWriter, data []byte) error {
	text := append([]byte("data: "), bytes.ReplaceAll(data, []byte("\n"), []byte("\ndata: "))...)
	_, err := w.Write(append(bytes.ReplaceAll(text, []byte("\r"), nil), "\n\n"...))
	return err
}
