package e2e

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// sessionsOf is how many sessions there are: so many that no worker is left without one, but for once in
// 30,000 runs, and nothing rests on that.
const sessionsOf = 16

func TestTwoWorkersAreOneGateway(t *testing.T) {
	a := startAsked(t, "--workers", "2")
	at := a.r.Server.AddrPort(false, lab.ControlPort)
	var all []*ftptest.Client
	for range sessionsOf {
		all = append(all, login(t, a.r.Client, at))
	}
	open := func() {
		t.Helper()
		for _, c := range all {
			d, err := c.Open(ftptest.PORT)
			must(t, err)
			d.Close()
		}
	}
	open()
	if n := len(a.expectations()); n != sessionsOf {
		t.Errorf("%d ports are open", n)
	}
	a.wantSessions(sessionsOf)
	a.reload()
	out, code := a.ask("status")
	if code > 1 || strings.Contains(out, "passed unseen") ||
		!regexp.MustCompile(`(?m)^  workers +2$`).MatchString(out) ||
		!regexp.MustCompile(`(?m)^  queue +\d+-\d+$`).MatchString(out) {
		t.Errorf("status ends with %d:\n%s", code, out)
	}

	socket := filepath.Join(t.TempDir(), "s")
	next := &asked{startGateway(t, a.r.Gateway, "--workers", "3", "--socket-path", socket, "--takeover"),
		a.r, socket}
	a.wantEnd()
	open()
	next.wantSessions(sessionsOf)
	next.stop()
}

// wantSessions asks for the sessions, each of which has a port open.
func (a *asked) wantSessions(n int) {
	a.t.Helper()
	out, _ := a.ask("sessions", "--json")
	var all struct {
		Sessions []struct{ Data struct{ State string } }
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		a.t.Fatal(err, out)
	}
	open := 0
	for _, s := range all.Sessions {
		if s.Data.State == "open" {
			open++
		}
	}
	if len(all.Sessions) != n || open != n {
		a.t.Errorf("%d sessions, %d with an open port, want %d of each:\n%s", len(all.Sessions), open, n, out)
	}
}

func TestLimitsHoldOverAllWorkers(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	at := r.Server.AddrPort(false, lab.ControlPort)
	serve(t, &ftptest.Server{}, r.Server, at)
	const limit = 10
	g := withConfig(t, r.Gateway, "workers: 2\nlimits: {open: 10}\n")
	refused := 0
	for range sessionsOf {
		c := login(t, r.Client, at)
		if d, err := c.Open(ftptest.PORT); err == nil {
			d.Close()
		} else {
			refused++
		}
	}
	if n := len(g.expectations()); n != limit || refused != sessionsOf-limit {
		t.Errorf("%d ports are open and %d were refused, the limit is %d", n, refused, limit)
	}
}

func TestTransfersOfManySessionsWithTwoWorkers(t *testing.T) {
	for _, c := range []struct {
		name string
		kind func(*lab.Lab) (*lab.Routed, error)
		mode ftptest.Mode
	}{
		{"client behind NAT", (*lab.Lab).ClientBehindNAT, ftptest.PORT},
		{"server behind NAT", (*lab.Lab).ServerBehindNAT, ftptest.PASV},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := routed(t, c.kind)
			at := r.Server.AddrPort(false, lab.ControlPort)
			s := serve(t, &ftptest.Server{}, r.Server, at)
			if c.mode == ftptest.PASV {
				at = r.Outside.AddrPort(false, lab.ControlPort)
			}
			g := startGateway(t, r.Gateway, "--workers", "2")
			l := newLoad(t)
			for range 6 {
				l.run(login(t, r.Client, at), s, c.mode)
			}
			l.await()
			g.reload()
			l.await()
			l.stop()
			g.stop()
		})
	}
}
