package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProbesTellThatAllIsWell(t *testing.T) {
	newNetns(t)
	p := startProcess(t, "run")
	p.expect("msg=ready")
	for _, path := range []string{"/healthz", "/readyz"} {
		if page := getPage(t, "127.0.0.1:9821", path); !strings.HasPrefix(page, "HTTP/1.0 200") {
			t.Errorf("%s: %s", path, page)
		}
	}
	p.stop()

	p = startProcess(t, "run", "--rules", "external")
	p.expect("msg=ready")
	if page := getPage(t, "127.0.0.1:9821", "/readyz"); !strings.HasPrefix(page, "HTTP/1.0 200") {
		t.Errorf("the operator's rules: %s", page)
	}
	p.stop()
}

func TestProbeTellsOfALoopThatDoesNotTurn(t *testing.T) {
	p := &program{workers: []*worker{{loop: testLoop(t, &fakeQueue{}, io.Discard)}}}
	close(p.workers[0].loop.ended)
	h := p.withProbes(http.NotFoundHandler())
	const down = http.StatusServiceUnavailable
	for path, want := range map[string]int{"/healthz": down, "/metrics": http.StatusNotFound} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want || want == down && !strings.HasPrefix(w.Body.String(), "loop: ") {
			t.Errorf("%s: %d, %s", path, w.Code, w.Body)
		}
	}
}
