package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// olderKinds are networks in which a session begins without the gateway.
var olderKinds = []struct {
	name   string
	ipv6   bool
	make   func(t testing.TB) *lab.Routed
	dial   func(*lab.Routed) *lab.Segment // that the client connects to; nil: the server itself
	modes  []ftptest.Mode
	offset int // direction in which a line becomes longer or shorter; -1: none
}{
	{"source NAT, IPv4", false, natted, nil, []ftptest.Mode{ftptest.PORT, ftptest.EPRT, ftptest.PASV}, 0},
	{"source NAT, IPv6", true, behindNAT((*lab.Lab).ClientBehindNAT), nil,
		[]ftptest.Mode{ftptest.EPRT, ftptest.EPSV}, 0},
	{"destination NAT, IPv4", false, behindNAT((*lab.Lab).ServerBehindNAT),
		func(r *lab.Routed) *lab.Segment { return r.Outside },
		[]ftptest.Mode{ftptest.PASV, ftptest.EPSV, ftptest.PORT}, 1},
	{"destination NAT, IPv6", true, behindNAT((*lab.Lab).ServerBehindNAT),
		func(r *lab.Routed) *lab.Segment { return r.Outside },
		[]ftptest.Mode{ftptest.EPSV, ftptest.EPRT}, -1},
	{"no NAT", false, behindNAT((*lab.Lab).Firewall), nil,
		[]ftptest.Mode{ftptest.PORT, ftptest.PASV, ftptest.EPSV}, -1},
}

func behindNAT(kind func(*lab.Lab) (*lab.Routed, error)) func(testing.TB) *lab.Routed {
	return func(t testing.TB) *lab.Routed { return routed(t, kind) }
}

const replaced = `msg="conntrack entry replaced"`

func TestSessionOlderThanTheGatewayIsTakenOver(t *testing.T) {
	for _, k := range olderKinds {
		t.Run(k.name, func(t *testing.T) {
			r := k.make(t)
			s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(k.ipv6, lab.ControlPort))
			at := r.Server.AddrPort(k.ipv6, lab.ControlPort)
			if k.dial != nil {
				at = k.dial(r).AddrPort(k.ipv6, lab.ControlPort)
			}
			c := login(t, r.Client, at)
			g := adopts(t, r, c, func() int {
				for _, m := range append(k.modes, k.modes...) {
					get(t, c, s, m, "big")
					noop(t, c)
				}
				return k.offset
			})
			// From now on it is a session as any other.
			g.kill()
			noop(t, c)
			must(t, os.WriteFile(g.file, nil, 0o644))
			g.start()
			for _, m := range k.modes {
				get(t, c, s, m, "small")
			}
			g.stop()
			noop(t, c)
		})
	}
}

// bytewise has each byte wait for the acknowledgement of the one before.
var bytewise = ftptest.Wire{Chunk: 1, Nagle: true}

func TestOlderSessionThatSpeaksByteByByteIsTakenOver(t *testing.T) {
	for _, k := range []struct {
		kind   func(testing.TB) *lab.Routed
		mode   ftptest.Mode
		offset int
	}{{natted, ftptest.PORT, 0}, {behindNAT((*lab.Lab).ServerBehindNAT), ftptest.PASV, 1}} {
		t.Run(string(k.mode), func(t *testing.T) {
			r := k.kind(t)
			at := r.Server.AddrPort(false, lab.ControlPort)
			s := serve(t, &ftptest.Server{Wire: bytewise}, r.Server, at)
			if k.offset == 1 {
				at = r.Outside.AddrPort(false, lab.ControlPort)
			}
			c := login(t, r.Client, at)
			c.Wire = bytewise
			adopts(t, r, c, func() int {
				get(t, c, s, k.mode, "small")
				get(t, c, s, k.mode, "small")
				return k.offset
			})
		})
	}
}

// adopts starts the gateway and checks that it replaces the entry of a session when that has a door opened,
// and what the entry is like then. open tells in which direction there is an offset afterwards.
func adopts(t testing.TB, r *lab.Routed, c *ftptest.Client, open func() (offset int)) *gateway {
	t.Helper()
	before := entry(t, r.Gateway, c)
	if before.Helper != "" || before.HasState {
		t.Fatalf("the entry is not as without a gateway: %+v", before)
	}
	g := withConfig(t, r.Gateway, "trust_running: true\n")
	noop(t, c)
	if now := entry(t, r.Gateway, c); now.ID != before.ID {
		t.Errorf("the entry was replaced before anything was asked for: %+v", now)
	}
	offset := open()
	after := entry(t, r.Gateway, c)
	if after.Tuple != before.Tuple || after.ID == before.ID || after.Helper == "" ||
		after.State&conntrack.StateControl == 0 || offset >= 0 && after.Seq[offset].After == 0 {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	if n := strings.Count(g.logged(), replaced); n != 1 {
		t.Errorf("the log tells of %d entries", n)
	}
	g.wantNothingOpen()
	return g
}

func entry(t testing.TB, h *lab.Host, c *ftptest.Client) conntrack.Entry {
	t.Helper()
	e, err := entryOf(t, h, c)
	must(t, err)
	return e
}

func noop(t testing.TB, c *ftptest.Client) {
	t.Helper()
	if r, err := c.Cmd("NOOP"); err != nil || r.Code != 200 {
		t.Errorf("NOOP is answered by %s, %v", r, err)
	}
}

func TestSessionOlderThanTheGatewayIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct{ yaml, reason string }{
		"adopt: false":           {"trust_running: true\nadopt: false\n", "no_helper"},
		"its login was not seen": {"", "login_unseen"},
		"adopt: false for clients": {
			"trust_running: true\npolicies: [{clients: 10.0.13.0/24, adopt: false}]\n", "no_helper",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := natted(t)
			serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
			client := login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
			before := entry(t, r.Gateway, client)
			g := withConfig(t, r.Gateway, c.yaml)
			for _, client.Wire = range []ftptest.Wire{{}, bytewise} {
				if r, err := client.Cmd("PORT 10,0,13,222,120,10"); err != nil || r.Code < 500 {
					t.Errorf("PORT is answered by %s, %v", r, err)
				}
				noop(t, client)
			}
			after := entry(t, r.Gateway, client)
			if after.ID != before.ID || !strings.Contains(g.logged(), "reason="+c.reason) {
				t.Errorf("before %+v\nafter %+v", before, after)
			}
			g.wantNothingOpen()
		})
	}
}

// The entry's end is told to the gateway, and the new one must come to the same worker.
func TestManyOlderSessionsKeepTheirWorkers(t *testing.T) {
	r := natted(t)
	// Of entries that are older than every listener, too.
	must(t, r.Gateway.Sysctl("net.netfilter.nf_conntrack_events", "1"))
	at := r.Server.AddrPort(false, lab.ControlPort)
	s := serve(t, &ftptest.Server{}, r.Server, at)
	var all []*ftptest.Client
	for range sessionsOf {
		all = append(all, login(t, r.Client, at))
	}
	g := withConfig(t, r.Gateway, "trust_running: true\nworkers: 2\n", metered)
	for range 3 {
		for _, c := range all {
			get(t, c, s, ftptest.PORT, "small")
			noop(t, c)
		}
	}
	for name, want := range map[string]int{
		"adopted_total": sessionsOf, "control_sessions": sessionsOf, "control_sessions_total": sessionsOf,
		"control_sessions_vanished_total": 0, "control_sessions_stale_total": 0, "netlink_errors_total": 0,
		`expectations_total{mode="port"}`: 3 * sessionsOf,
	} {
		if n := g.counter(t, name); n != want {
			t.Errorf("%s is %d, want %d", name, n, want)
		}
	}
}
