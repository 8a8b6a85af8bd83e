package main

import (
	"net/http"
	"strings"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
	status "github.com/ftpalg/ftpalg/cmd/ftpalg/internal/page"
)

// withPage adds the status page, if its place is free.
func withPage(p *program, others http.Handler, info build.Info) http.Handler {
	if p.config.Metrics.Path == "/" {
		return others
	}
	s := status.Source{
		Status: func() *api.Status { return p.tellStatus(info) },
		Sample: func() status.Sample { return sampleOf(p.stats()) }, Meaning: meaning,
	}
	if p.config.HTTP.Sessions {
		s.Sessions = p.tellSessions
	}
	shown := status.New(s)
	p.undo = append(p.undo, shown.Close)
	mux := http.NewServeMux()
	mux.Handle("/", others)
	shown.AddTo(mux)
	return mux
}

// sampleOf is what the page plots.
func sampleOf(s *alg.Stats) status.Sample {
	now := status.Sample{Sessions: s.Sessions.Load(), Data: s.Data.Load()}
	for m := range s.Opened {
		now.Opened += s.Opened[m].Load()
	}
	for r := range s.Refused {
		now.Refused += s.Refused[r].Load()
	}
	for m := range s.Fates {
		for o := range fate.Outcomes {
			if fate.Outcome(o).Failed() {
				now.Failed += s.Fates[m][o].Load()
			}
		}
	}
	return now
}

// meaning is what a reason means, and what to do about it.
func meaning(reason string) string {
	r, ok := policy.Named(reason)
	if !ok {
		return ""
	}
	return strings.TrimSpace(r.Meaning() + " " + r.Remedy())
}
