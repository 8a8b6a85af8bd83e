package main

import (
	"io"
	"net/http"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
)

// withProbes adds what a supervisor asks for to the pages: /healthz, that the packet loop turns, and /readyz,
// that the queue is bound and the rules are in force. The answer is 200 or 503, with the reason.
func (p *program) withProbes(pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answerProbe(w, p.checkLoop())
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answerProbe(w, p.checkLoop(), p.checkQueue(), p.checkRules())
	})
	return mux
}

// answerProbe says that all is well, or what is not.
func answerProbe(w http.ResponseWriter, checks ...api.Check) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, c := range checks {
		if c.Level == api.Failing {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, c.ID+": "+c.Detail+"; "+c.Remedy+"\n") // or the client has gone
			return
		}
	}
	_, _ = io.WriteString(w, "ok\n")
}
