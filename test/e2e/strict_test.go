package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// configure gives the running program another configuration.
func (n *guarded) configure(t testing.TB, yaml string) {
	t.Helper()
	must(t, os.WriteFile(n.g.file, []byte(yaml), 0o644))
	n.g.reload(func() { reach(n.Client, n.serverNeighbour.AddrPort(false, 21), soon) })
}

// sides are the host whose port a dialogue opens, and the one that connects.
func (n *guarded) sides(active bool) (host, from *lab.Host) {
	if active {
		return n.Client, n.Server
	}
	return n.Server, n.Client
}

// wantOpen checks that a dialogue opens one port, to its peer.
func (n *guarded) wantOpen(t *testing.T, segments []string, active bool) {
	t.Helper()
	n.connect(t, n.Client, false, 21).start(loggedIn).play(segments...)
	n.wantOne(t, active)
}

// wantOne checks that one port is open, to its peer.
func (n *guarded) wantOne(t *testing.T, active bool) {
	t.Helper()
	host, peer := n.sides(active)
	n.wantOpenFor(t, host, peer, false)
}

// wantOpenFor checks that one port is open, by which peer reaches host.
func (n *guarded) wantOpenFor(t *testing.T, host, peer *lab.Host, ipv6 bool) {
	t.Helper()
	es := n.g.expectations()
	if len(es) != 1 {
		t.Errorf("open is %+v, want one port", es)
		return
	}
	if who := reachAnew(peer, es[0].Dst); who != host.String() {
		t.Errorf("%s reaches %q at %s, want the %s", peer, who, es[0].Dst, host)
	}
}

// serve has an FTP server take the place of the test's own side of the dialogue.
func (n *guarded) serve(s *ftptest.Server) *ftptest.Server {
	s.Network = n.Server
	s.Put("small", ftptest.Random(1000, 2))
	go func() { _ = s.Serve(n.control[21]) }() // ends with the listener
	return s
}

// login connects a client to the server.
func (n *guarded) login(t testing.TB) *ftptest.Client {
	t.Helper()
	return login(t, n.Client, netip.AddrPortFrom(n.dialled[0], 21))
}

// A mask hides its text and nothing else; the session goes on.
func TestMaskHidesTextAlone(t *testing.T) {
	n := newGuarded(t, kinds[1], "", metered)
	n.listen(t, 30730)
	for _, c := range []struct {
		rule, reply             string // as in strict and in the counter
		lines                   int
		masked, becomes, stands string
	}{
		{"mask_banner", "banner", 1, "220 vsFTPd 3.0.3\r\n", "220 XXXXXXXXXXXX\r\n", "215 UNIX Type: L8\r\n"},
		{"mask_banner", "banner", 3, "220-Pure\r\n version 1\r\n220 end\r\n",
			"220-XXXX\r\nXXXXXXXXXX\r\n220 XXX\r\n", "215 UNIX Type: L8\r\n"},
		{"mask_syst", "syst", 1, "215 UNIX Type: L8\r\n", "215 XXXXXXXXXXXXX\r\n", "220 vsFTPd 3.0.3\r\n"},
		{"enabled", "syst", 1, "215 UNIX Type: L8\r\n", "215 XXXXXXXXXXXXX\r\n",
			"220-vsFTPd\r\n220 3.0.3\r\n"},
	} {
		t.Run(fmt.Sprintf("%s, %d lines", c.rule, c.lines), func(t *testing.T) {
			// say has the server say a text, as its greeting or in answer to SYST, and
			// returns what comes of it. Then a port must open.
			say := func(text string, at int) (got string) {
				d, then := n.connect(t, n.Client, false, 21), strings.Split(opening[loggedIn], "|")[1:]
				if text[:3] != "220" {
					d, then = d.start(loggedIn), nil
					d.play("c>SYST\r\n")
				}
				for _, piece := range inPieces([]string{"s>" + text}, at) {
					got += d.play(piece)
				}
				d.play(active(own, then...)...)
				n.wantOne(t, true)
				return got
			}
			n.configure(t, "strict: {"+c.rule+": true}\n")
			for _, at := range cuts {
				lines := c.lines
				if c.reply == "banner" {
					lines++ // say needs one before the twin
				}
				n.g.counts(t, fmt.Sprintf("masked_lines_total{reply=%q}", c.reply), lines, func() {
					for text, want := range map[string]string{c.masked: c.becomes, c.stands: c.stands} {
						if got := say(text, at); got != want {
							t.Errorf("cut at %d %q arrived as %q, want %q", at, text, got, want)
						}
					}
				})
			}
			n.configure(t, "")
			if got := say(c.masked, 0); got != c.masked {
				t.Errorf("with the rule off %q arrived as %q", c.masked, got)
			}
		})
	}
}

// The receiver of what breaks a rule gets a reset, and then the sender does.
func TestViolationEndsTheSessionByAReset(t *testing.T) {
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, k, "", metered)
			n.listen(t, 30730)
			for _, c := range []struct{ rule, bad, good, reason string }{
				{"deny: [SITE]", "c>SITE a\r\n", "c>NOOP\r\n", "command_denied"},
				{"read_only: true", "c>NOOP\r\nDELE a\r\n", "c>NOOP\r\nPWD\r\n", "read_only"},
				{"need_crlf: true", "c>" + named + "\n", "c>" + own, "no_crlf"},
				{"direction: true", "c>227 hello\r\n", "c>NOOP\r\n", "wrong_direction"},
				{"direction: true", "s>PORT 10,0,1,66,120,10\r\n", "s>200 PORT\r\n", "wrong_direction"},
			} {
				t.Run(c.rule+" "+c.bad[:5], func(t *testing.T) {
					open := func() *dialogue {
						d := n.connect(t, n.Client, false, 21).start(loggedIn)
						d.play(active(own)...)
						return d
					}
					n.configure(t, "strict: {reset: true, "+c.rule+"}\n")
					for _, at := range cuts[:2] {
						n.g.counts(t, refused(c.reason), 1, func() {
							d := open()
							sender, receiver := d.client, d.server
							if c.bad[0] == 's' {
								sender, receiver = receiver, sender
							}
							pieces := inPieces([]string{c.bad}, at)
							last := len(pieces) - 1
							d.play(pieces[:last]...)
							_, err := io.WriteString(sender, pieces[last][2:])
							must(t, err)
							wantReset(t, receiver)
							n.g.wantNothingOpen()
							wantReset(t, sender)
						})
					}
					n.wantClosed(t, n.Server, false, 30730)
					open().play(c.good)
					n.wantOne(t, true)
					n.configure(t, "strict: {"+c.rule+"}\n") // refused all the same
					open().play(c.bad, "s>500 no\r\n", "c>NOOP\r\n")
				})
			}
			// What the standard policy refuses ends nothing.
			n.configure(t, "strict: {reset: true}\n")
			n.connect(t, n.Client, false, 21).start(loggedIn).play("c>PORT 10,0,13,99,120,10\r\n",
				"s>500 no\r\n", "c>NOOP\r\n")
		})
	}
}

func wantReset(t *testing.T, c net.Conn) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	if n, err := c.Read(make([]byte, 100)); n > 0 || !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%s received %d bytes and %v, want a reset", c.LocalAddr(), n, err)
	}
}

// Clients that wait for replies notice nothing of the strict rules.
func TestRealClientsWorkUnderStrictRules(t *testing.T) {
	for _, m := range []struct {
		name   string
		active bool
		make   func(*lab.Lab) (*lab.Routed, error)
	}{{"active", true, (*lab.Lab).ClientBehindNAT}, {"passive", false, (*lab.Lab).ServerBehindNAT}} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := routed(t, m.make)
			server := realServers[0].start(t, r.Server)
			g := withConfig(t, r.Gateway, "strict: {enabled: true, mask_banner: true, reset: true, deny: "+
				"[DELE], deny_files: ['\\.exe$'], deny_users: ['^root$']}\n")
			for _, c := range realClients {
				if strings.Contains(c.name, "not wait") {
					continue // it is what wait_for_reply is against
				}
				t.Run(c.name, func(t *testing.T) {
					for _, f := range families {
						at := r.Outside.Addr(f.ipv6)
						if m.active {
							at = r.Server.Addr(f.ipv6)
						}
						for _, mode := range modes(f.ipv6, m.active) {
							if f.ipv6 || slices.Contains(c.modes, mode) {
								visitAndCheck(t, g, c, r.Client,
									visit{server, at, mode, fmt.Sprintf("up-%s-%s-%s", c.name, f.name, mode),
										transferTime})
							}
						}
					}
				})
			}
			g.wantRefusals(t, 0)
			g.wantNothingOpen()
		})
	}
}
