package page

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
)

const hostile = `<script>"'&` + "\x1b"

func status() *api.Status {
	return &api.Status{
		Program: "v1", Kernel: hostile, Uptime: 3661, Ports: []uint16{21, 2121}, Health: api.Warning,
		Counters: map[string]uint64{
			"sessions": 1, "sessions_total": 5, "data_connections": 2, "opened": 9, "used": 7, "expired": 2,
			"refused.low_port": 3, "refused.foreign_address": 4,
		},
		Checks: []api.Check{
			{ID: "a", Name: "all is well"},
			{ID: "b", Name: "something", Level: api.Warning, Detail: hostile, Remedy: "mend it"},
		},
	}
}

func session(context.Context) (*api.Sessions, error) {
	a := netip.MustParseAddrPort("192.0.2.1:4000")
	s := api.Session{Client: a, Dialled: a, User: hostile, State: "clear", Command: "RETR"}
	s.Data = &api.Data{State: "flowing", Mode: "pasv", Command: "RETR", File: hostile}
	s.Data.Bytes = &[2]uint64{3, 4}
	return &api.Sessions{Sessions: []api.Session{s}}, nil
}

func source() Source {
	return Source{
		Status: status, Sample: func() Sample { return Sample{Sessions: 3} },
		Meaning: func(r string) string { return "meaning of " + r },
	}
}

// serve returns the page's handlers.
func serve(t *testing.T, s Source) (*Page, *http.ServeMux) {
	t.Helper()
	p, mux := New(s), http.NewServeMux()
	t.Cleanup(func() { _ = p.Close() })
	p.AddTo(mux)
	return p, mux
}

func get(mux *http.ServeMux, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestPageIsWholeWithoutScripts(t *testing.T) {
	_, mux := serve(t, source())
	w := get(mux, "/")
	text := w.Body.String()
	for _, want := range []string{
		`<span class="level warning">warning</span>`, "mend it", "ports [21 2121]", "up 1h1m1s",
		`<th scope="row">foreign_address</th><td class="n">4</td><td>meaning of foreign_address</td>`,
		`<th scope="row">expired</th><td class="n">2</td>`, "9 ports were opened", "http.sessions: true",
		"<title>ftpalg</title>", `lang="en"`, `name="viewport"`,
		"control connections over the last hour: 3 now, 3 at most",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Index(text, "foreign_address") > strings.Index(text, "low_port") ||
		strings.Index(text, "something") > strings.Index(text, "all is well") {
		t.Error("what is worst does not come first")
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	if strings.Contains(text, " style=") || strings.Contains(text, "://") {
		t.Error("the page has styles that its policy forbids, or names other hosts")
	}
}

// TestPageIsWellFormed finds text that is not escaped, and tags that are not closed.
func TestPageIsWellFormed(t *testing.T) {
	s := source()
	s.Sessions = session
	_, mux := serve(t, s)
	text := get(mux, "/").Body.String()
	if strings.Contains(text, "<script>") || !strings.Contains(text, "&lt;script&gt;&#34;&#39;&amp;") {
		t.Errorf("strangers' text is in the page:\n%s", text)
	}
	_, body, _ := strings.Cut(text, "<body>")
	body = strings.ReplaceAll(strings.TrimSuffix(body, "</html>"), "\x1b", "")
	d := xml.NewDecoder(strings.NewReader("<body>" + body))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}

func TestSessionsAreListedIfThatIsWanted(t *testing.T) {
	s := source()
	s.Sessions = session
	_, mux := serve(t, s)
	if text := get(mux, "/").Body.String(); !strings.Contains(text, "flowing pasv, RETR ") ||
		!strings.Contains(text, "192.0.2.1:4000") || !strings.Contains(text, ", 7 bytes") {
		t.Error(text)
	}
	s.Sessions = func(context.Context) (*api.Sessions, error) { return nil, errors.New("no answer") }
	_, mux = serve(t, s)
	if text := get(mux, "/").Body.String(); !strings.Contains(text, "not known: no answer") {
		t.Error(text)
	}
}

func TestManyReadersCostNoMoreThanOne(t *testing.T) {
	var n atomic.Int64
	s := source()
	s.Status = func() *api.Status { n.Add(1); return status() }
	p, mux := serve(t, s)
	get(mux, "/")
	p.last.at = time.Now().Add(time.Hour)
	for range 50 {
		get(mux, "/")
	}
	if n.Load() != 1 {
		t.Errorf("it was asked %d times", n.Load())
	}
}

func TestPageIsRenewed(t *testing.T) {
	_, mux := serve(t, source())
	server := httptest.NewUnstartedServer(mux)
	server.Config.ReadTimeout = time.Second // which must not end it
	server.Start()
	defer server.Close()
	r, err := http.Get(server.URL + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	events := 0
	for s := bufio.NewScanner(r.Body); events < 3 && s.Scan(); {
		switch {
		case s.Text() == "":
			events++
		case !strings.HasPrefix(s.Text(), `data: <section id="health"`):
			t.Fatalf("%q", s.Text())
		}
	}
	if events < 3 || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%d events, %v", events, r.Header)
	}
}

func TestReadersThatAreTooManyAreSentAway(t *testing.T) {
	p, mux := serve(t, source())
	for range maxReaders {
		p.readers <- struct{}{}
	}
	if w := get(mux, "/live"); w.Code != http.StatusServiceUnavailable {
		t.Error(w.Code)
	}
}

func TestPlotsHaveTheLastHour(t *testing.T) {
	var r ring
	for i := range hour + 50 {
		r.add(Sample{Sessions: int64(i), Opened: uint64(i * i)})
	}
	gauge := r.series(func(s *Sample) float64 { return float64(s.Sessions) }, false)
	if len(gauge) != hour+1 || gauge[0] != 49 || gauge[hour] != float64(hour+49) {
		t.Errorf("%d values, from %v to %v", len(gauge), gauge[0], gauge[len(gauge)-1])
	}
	grown := r.series(func(s *Sample) float64 { return float64(s.Opened) }, true)
	if len(grown) != hour || grown[0] != 50*50-49*49 {
		t.Errorf("%d values, from %v", len(grown), grown[0])
	}
	got := points([]float64{0, 1, 2}, 2)
	if !strings.HasSuffix(got, "360.0,2.0 ") || strings.Count(got, ",") != 3 {
		t.Error(got)
	}
}

func TestAssetsAreServed(t *testing.T) {
	_, mux := serve(t, source())
	for path, want := range map[string]string{"/page.css": "color-scheme", "/page.js": "EventSource"} {
		if w := get(mux, path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := get(mux, "/other"); w.Code != http.StatusNotFound {
		t.Error(w.Code)
	}
}
