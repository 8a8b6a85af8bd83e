package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
)

// maxRows is how many sessions are listed.
const maxRows = 200

// view is what the page shows, as it was at one time.
type view struct {
	at       time.Time
	status   *api.Status
	sessions *api.Sessions // nil: they are not shown
	problem  string        // why they are not known
}

// document writes the whole page.
func (p *Page) document(w *writer, v *view) {
	w.put(`<!doctype html><html lang="en"><head><meta charset="utf-8">`+
		`<meta name="viewport" content="width=device-width, initial-scale=1">`+
		`<title>ftpalg</title><link rel="stylesheet" href="page.css"><link rel="icon" href="data:,">`+
		`<noscript><meta http-equiv="refresh" content="10"></noscript>`+
		`<script src="page.js" defer></script></head>`+
		`<body><a class="skip" href="#main">To the content</a><header><h1>ftpalg</h1>`+
		`<p class="soft"><span id="live" role="status">as of %s</span>`+
		`</p></header><main id="main">`, v.at.UTC().Format(time.RFC3339))
	p.sections(w, v)
	w.put(`</main></body></html>`)
}

// sections writes what changes; each section has an id by which the script finds it.
func (p *Page) sections(w *writer, v *view) {
	w.put(`<section id="health" aria-label="Health">`)
	w.health(v.status)
	w.put(`</section><section id="hour" aria-label="The last hour"><h2>The last hour</h2><div class="plots">`)
	now := p.source.Sample()
	for i := range plots {
		x := &plots[i]
		values := p.ring.series(x.value, x.grows)
		if !x.grows {
			values = append(values, x.value(&now))
		}
		x.draw(w, values)
	}
	w.put(`</div></section><section id="doors" aria-label="Open ports">`)
	w.doors(v.status)
	w.put(`</section><section id="refusals" aria-label="Refusals">`)
	w.refusals(v.status, p.source.Meaning)
	w.put(`</section><section id="sessions" aria-label="Sessions">`)
	w.sessions(v)
	w.put(`</section>`)
}

func (w *writer) health(s *api.Status) {
	w.put(`<p role="status">The gateway is <span class="level %s">%s</span></p>`, s.Health, s.Health)
	w.put(`<p class="soft">version %s, Linux %s, up %s, ports %s</p>`, s.Program, s.Kernel,
		duration(s.Uptime), fmt.Sprint(s.Ports))
	w.put(`<div class="wide" id="checks-box" role="region" aria-label="Checks" tabindex="0"><table>` +
		`<thead><tr><th scope="col">Level</th><th scope="col">Check</th><th scope="col">Found</th>` +
		`</tr></thead><tbody>`)
	worst := func(a, b api.Check) int { return cmp.Compare(b.Level, a.Level) }
	for _, c := range slices.SortedStableFunc(slices.Values(s.Checks), worst) {
		w.put(`<tr><td class="level %s">%s</td><th scope="row">%s</th><td>%s`,
			c.Level, c.Level, c.Name, c.Detail)
		if c.Remedy != "" {
			w.put(`<p>To do: %s</p>`, c.Remedy)
		}
		w.put(`</td></tr>`)
	}
	w.put(`</tbody></table></div>`)
}

// doors tells of ports, and of what came of them.
func (w *writer) doors(s *api.Status) {
	w.put(`<h2>Open ports</h2><table><caption>Since the start: %d ports were opened; now %d data `+
		`connections are there</caption><thead><tr><th scope="col">What came of them</th>`+
		`<th scope="col" class="n">How many</th></tr></thead><tbody>`,
		s.Counters["opened"], s.Counters["data_connections"])
	for _, k := range slices.Sorted(maps.Keys(s.Counters)) {
		switch k {
		case "opened", "data_connections", "sessions", "sessions_total":
			continue
		}
		if !strings.HasPrefix(k, refused) {
			w.put(`<tr><th scope="row">%s</th><td class="n">%d</td></tr>`, k, s.Counters[k])
		}
	}
	w.put(`</tbody></table>`)
}

// refused begins the names of the counters of refusals.
const refused = "refused."

func (w *writer) refusals(s *api.Status, meaning func(string) string) {
	w.put(`<h2>Refusals</h2>`)
	var reasons []string
	for k := range s.Counters {
		if r, ok := strings.CutPrefix(k, refused); ok {
			reasons = append(reasons, r)
		}
	}
	if reasons == nil {
		w.put(`<p>Nothing was refused.</p>`)
		return
	}
	slices.SortFunc(reasons, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Counters[refused+b], s.Counters[refused+a]), cmp.Compare(a, b))
	})
	w.put(`<div class="wide" id="refusals-box" role="region" aria-label="Refusals by reason" tabindex="0">` +
		`<table><thead><tr><th scope="col">Reason</th><th scope="col" class="n">Lines</th>` +
		`<th scope="col">What it means</th></tr></thead><tbody>`)
	for _, r := range reasons {
		w.put(`<tr><th scope="row">%s</th><td class="n">%d</td><td>%s</td></tr>`,
			r, s.Counters[refused+r], meaning(r))
	}
	w.put(`</tbody></table></div>`)
}

func (w *writer) sessions(v *view) {
	w.put(`<h2>Sessions</h2><p>%d now, %d since the start.</p>`, v.status.Counters["sessions"],
		v.status.Counters["sessions_total"])
	switch {
	case v.problem != "":
		w.put(`<p class="warning">Which they are is not known: %s</p>`, v.problem)
		return
	case v.sessions == nil:
		w.put(`<p class="soft">Which they are tells <code>ftpalg sessions</code>, and this page with ` +
			`<code>http.sessions: true</code>.</p>`)
		return
	}
	w.put(`<div class="wide sessions" id="sessions-box" role="region" aria-label="List of sessions" ` +
		`tabindex="0"><table><thead><tr><th scope="col">Client</th><th scope="col">Server</th>` +
		`<th scope="col">User</th>` +
		`<th scope="col">State</th><th scope="col">Last command</th><th scope="col">Data connection</th>` +
		`</tr></thead><tbody>`)
	rows := v.sessions.Sessions
	for i := range rows[:min(len(rows), maxRows)] {
		s := &rows[i]
		w.put(`<tr><th scope="row">%s</th><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>`,
			s.Client, s.Dialled, s.User, s.State, s.Command, dataText(s.Data))
	}
	w.put(`</tbody></table></div>`)
	if n := len(rows) - maxRows; n > 0 {
		w.put(`<p>%d more are not shown.</p>`, n)
	}
}

func dataText(d *api.Data) string {
	if d == nil {
		return ""
	}
	text := d.State + " " + d.Mode
	if d.Command != "" {
		text += ", " + d.Command
	}
	if d.File != "" {
		text += " " + d.File
	}
	if d.Bytes != nil {
		text += fmt.Sprintf(", %d bytes", d.Bytes[0]+d.Bytes[1])
	}
	return text
}

func duration(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Truncate(time.Second).String()
}
