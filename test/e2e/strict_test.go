package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
	"golang.org/x/sys/unix"
)

// metered has the gateway tell its counters, within its own host.
const metered = "--metrics-address=127.0.0.1:9821"

// counter reads one of a gateway that is metered, as in refused("low_port").
func (g *gateway) counter(t testing.TB, name string) int {
	t.Helper()
	client := http.Client{Timeout: patience,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: g.host.DialContext}}
	_, address, _ := strings.Cut(metered, "=")
	r, err := client.Get("http://" + address + "/metrics")
	must(t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "ftpalg_"+name+" "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			must(t, err)
			return n
		}
	}
	t.Fatalf("no counter %s in\n%s", name, text)
	return 0
}

func refused(reason string) string { return fmt.Sprintf("refusals_total{reason=%q}", reason) }

// counts checks that a counter grows by this.
func (g *gateway) counts(t testing.TB, name string, by int, f func()) {
	t.Helper()
	was := g.counter(t, name)
	f()
	if got := g.counter(t, name) - was; got != by {
		t.Errorf("%s grew by %d, want %d", name, got, by)
	}
}

// configure gives the running program another configuration.
func (n *guarded) configure(t testing.TB, yaml string) {
	t.Helper()
	must(t, os.WriteFile(n.g.file, []byte(yaml), 0o644))
	n.g.reload(func() { reach(n.Client, n.serverNeighbour.AddrPort(false, 21), soon) })
}

// cuts are where each line is cut in two segments; 0: nowhere. The others lie in the verb
// and in the argument.
var cuts = []int{0, 2, 7}

// inPieces cuts what is said.
func inPieces(segments []string, at int) (pieces []string) {
	for _, seg := range segments {
		if who, text := seg[:2], seg[2:]; at > 0 && len(text) > at && who[1] == '>' {
			pieces = append(pieces, who+text[:at], who+text[at:])
		} else {
			pieces = append(pieces, seg)
		}
	}
	return pieces
}

// hear plays, and returns the last line that the server received and the last that the client did.
func (d *dialogue) hear(segments ...string) (server, client string) {
	d.Helper()
	var heard [2]string
	for _, seg := range segments {
		who := strings.IndexByte("cs", seg[0])
		if strings.HasSuffix(heard[who], "\n") {
			heard[who] = ""
		}
		heard[who] += d.play(seg)
	}
	return heard[0], heard[1]
}

const (
	ownExtended = "EPRT |1|10.0.13.222|30730|\r\n"
	extended    = "229 Entering Extended Passive Mode (|||30730|)\r\n"
	named       = "PORT 10,0,13,222,120,10" // own, without its end
)

// Dialogues that end in an agreement on a data connection.
func active(line string, before ...string) []string {
	return append(before, "c>"+line, "s>200 ok\r\n")
}

func passive(line, reply string, before ...string) []string {
	return append(before, "c>"+line, "s>"+reply)
}

// rules are options with a dialogue that opens nothing under the rule, a twin that does, and
// another configuration under which the first opens port 30730 as well: so it was the rule.
var rules = []struct {
	name, rule, reason string
	bad, good          []string
	off                string
}{
	{"allow", "strict: {allow: [user, PASS, eprt]}", "command_denied", active(own), active(ownExtended), ""},
	{"allow, passive", "strict: {allow: [USER, PASS, EPSV]}", "command_denied", passive("PASV\r\n", offer),
		passive("EPSV\r\n", extended), ""},
	{"deny PORT", "strict: {deny: [port]}", "command_denied", active(own), active(ownExtended), ""},
	{"deny EPRT", "strict: {deny: [EPRT]}", "command_denied", active(ownExtended), active(own), ""},
	{"deny PASV", "strict: {deny: [PASV, SITE]}", "command_denied", passive("PASV\r\n", offer),
		passive("EPSV\r\n", extended), ""},
	{"deny EPSV", "strict: {deny: [EPSV]}", "command_denied", passive("EPSV\r\n", extended),
		passive("PASV\r\n", offer), ""},

	{"max_line", "strict: {max_line: 24}", "over_max_line", active(named + "  \r\n"), active(named + " \r\n"),
		""},
	{"need_crlf", "strict: {need_crlf: true}", "no_crlf", active(named + "\n"), active(own), ""},
	{"need_crlf, passive", "strict: {need_crlf: true}", "no_crlf", passive("PASV\n", offer),
		passive("PASV\r\n", offer), ""},

	{"wait_for_reply", "strict: {wait_for_reply: true}", "reply_awaited",
		[]string{"c>CWD foodir\r\n", "c>" + own, "s>250 ok\r\n200 ok\r\n"},
		active(own, "c>CWD foodir\r\n", "s>250 ok\r\n"), ""},
	{"wait_for_reply, one segment", "strict: {wait_for_reply: true}", "reply_awaited",
		[]string{"c>CWD foodir\r\n" + own, "s>250 ok\r\n200 ok\r\n"},
		active(own, "c>CWD foodir\r\n", "s>250 ok\r\n"), ""},
	{"wait_for_reply, passive", "strict: {wait_for_reply: true}", "reply_awaited",
		[]string{"c>CWD foodir\r\n", "c>PASV\r\n", "s>250 ok\r\n", "s>" + offer},
		passive("PASV\r\n", offer, "c>CWD foodir\r\n", "s>250 ok\r\n"), ""},

	// A port that is open already is closed, and a later one is not opened.
	{"direction, 227", "strict: {direction: true}", "wrong_direction",
		active(own, active(own, "c>227 Entering Passive Mode (10,0,13,222,120,10).\r\n", "s>200 ok\r\n")...),
		active(own, active(own, "c>CWD 227 (10,0,13,222,120,10)\r\n", "s>250 ok\r\n")...), ""},
	{"direction, 229", "strict: {direction: true}", "wrong_direction",
		passive("PASV\r\n", offer, "c>229-hello (|||30730|)\r\n", "s>200 ok\r\n"), passive("PASV\r\n", offer),
		""},
	{"direction, PORT", "strict: {direction: true}", "wrong_direction",
		active(own, active(own, "s>PORT 10,0,1,66,120,10\r\n")...),
		active(own, "c>HELP\r\n", "s>214-\r\n PORT EPRT\r\nPORT 10,0,1,66,120,10\r\n214 end\r\n"), ""},
	{"direction, EPRT", "strict: {direction: true}", "wrong_direction",
		passive("PASV\r\n", offer, "s>EPRT |1|10.0.1.66|30730|\r\n"), passive("PASV\r\n", offer), ""},
	{"direction, open port", "strict: {direction: true}", "wrong_direction",
		[]string{"c>" + own, "s>200 ok\r\n", "s>PORT 10,0,1,66,120,10\r\n"},
		active(own, "s>200 PORT 10,0,1,66,120,10\r\n"), ""},

	{"enabled, no CR", "strict: {enabled: true}", "no_crlf", active(named + "\n"), active(own), ""},
	{"enabled, reply awaited", "strict: {enabled: true}", "reply_awaited",
		[]string{"c>PWD\r\n", "c>PASV\r\n", "s>257 \"/\"\r\n", "s>" + offer}, passive("PASV\r\n", offer), ""},
	{"enabled, direction", "strict: {enabled: true}", "wrong_direction",
		active(own, "s>PORT 10,0,1,66,120,10\r\n"), active(own), ""},

	{"active", "active: false", "active_off", active(own), passive("PASV\r\n", offer), ""},
	{"active, EPRT", "active: false", "active_off", active(ownExtended), passive("EPSV\r\n", extended), ""},
	{"passive", "passive: false", "passive_off", passive("PASV\r\n", offer), active(own), ""},
	{"passive, EPSV", "passive: false", "passive_off", passive("EPSV\r\n", extended), active(ownExtended),
		""},
	{"min_port", "min_port: 30731", "low_port", active(own), active(other), "min_port: 30730"},
	{"min_port, passive", "min_port: 30731", "low_port",
		passive("EPSV\r\n", extended), passive("EPSV\r\n", strings.Replace(extended, "30730", "30731", 1)),
		"min_port: 30730"},
	{"any_passive_address", "any_passive_address: false", "foreign_address",
		passive("PASV\r\n", "227 Entering Passive Mode (10,0,1,99,120,10).\r\n"), passive("PASV\r\n", offer),
		"any_passive_address: true"},
}

// isPassive tells whose port a dialogue opens.
func isPassive(segments []string) bool {
	all := strings.Join(segments, "")
	return strings.Contains(all, "c>PASV") || strings.Contains(all, "c>EPSV")
}

func TestRuleKeepsPortShutAndItsTwinOpens(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, k, "", metered)
			n.listen(t, 30730)
			n.listen(t, 30731)
			for _, c := range rules {
				bad, good := !isPassive(c.bad), !isPassive(c.good)
				if (bad || good) && !k.active || !(bad && good) && !k.passive {
					continue
				}
				strict := strings.HasPrefix(c.rule, "strict")
				t.Run(c.name, func(t *testing.T) {
					n.configure(t, c.rule)
					for _, at := range cuts {
						n.g.counts(t, refused(c.reason), 1, func() {
							command, reply := n.connect(t, n.Client, false,
								21).start(loggedIn).hear(inPieces(c.bad, at)...)
							// Not both may take it for agreed. Of lines in pieces only the strict rules
							// see to that.
							if agreed := strings.HasPrefix(reply, "2") && !strings.Contains(command,
								"x"); agreed && (at == 0 || strict && bad) {
								t.Errorf("cut at %d the server received %q and the client %q", at, command,
									reply)
							}
						})
						n.g.wantNothingOpen()
					}
					_, peer := n.sides(bad)
					n.wantClosed(t, peer, false, 30730)
					for _, at := range cuts {
						n.wantOpen(t, inPieces(c.good, at), good)
					}
					n.configure(t, c.off)
					for _, at := range cuts {
						n.wantOpen(t, inPieces(c.bad, at), bad)
					}
				})
			}
		})
	}
}

// The client ends TLS by CCC. Its login was within, unseen.
func TestClearTextAfterTLSIsReadWhereItIsWatched(t *testing.T) {
	// Handshakes, application data and alerts.
	secret := []string{
		"c>AUTH TLS\r\n", "s>234 go\r\n", "c>\x16\x03\x01\x00\x02aa",
		"s>\x16\x03\x03\x00\x02bb\x17\x03\x03\x00\x04cccc",
		"c>\x17\x03\x03\x00\x1a" + named + "\r\n\x00", "s>\x15\x03\x03\x00\x02ee", "c>\x15\x03\x03\x00\x02ff",
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, k, "", metered)
			n.listen(t, 30730)
			segments := active(own, secret...)
			if !k.active {
				segments = passive("PASV\r\n", offer, secret...)
			}
			for _, at := range cuts {
				n.configure(t, "tls: pass\n")
				n.g.counts(t, "opaque_sessions_total", 1, func() {
					n.connect(t, n.Client, false, 21).start(greeted).play(inPieces(segments, at)...)
				})
				n.g.wantNothingOpen()
				_, peer := n.sides(k.active)
				n.wantClosed(t, peer, false, 30730)
				n.configure(t, "tls: watch\n")
				before := len(segments) - 2
				d := n.connect(t, n.Client, false, 21).start(greeted)
				d.play(inPieces(segments[:before], at)...)
				n.g.wantNothingOpen() // the PORT within is not read
				d.play(inPieces(segments[before:], at)...)
				n.wantOne(t, k.active)
			}
		})
	}
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

// commandRules are rules with commands that must not arrive, and one that must.
var commandRules = []struct {
	rule, command, reason, twin string
	mode                        ftptest.Mode // of a transfer that must work
}{
	{"allow: [USER, PASS, PORT, retr]", "SIZE small\r\n", "command_denied", "PASS p", ftptest.PORT},
	{"deny: [PORT]", own, "command_denied", "NOOP", ftptest.EPRT},
	{"deny: [EPRT]", ownExtended, "command_denied", "NOOP", ftptest.PORT},
	{"deny: [PASV, EPSV]", "PASV\r\n", "command_denied", "NOOP", ftptest.PORT},
	{"deny: [EPSV]", "EPSV\r\n", "command_denied", "NOOP", ftptest.PASV},
	{"deny: [SITE, size]", "SIZE small\r\n", "command_denied", "NOOP", ftptest.PORT},
	{"deny: [SIZE]", "size small\r\n", "command_denied", "NOOP", ftptest.PORT},
	{"read_only: true", "STOR small\r\n", "read_only", "SIZE small", ftptest.PORT},
	{"read_only: true", "APPE small\r\n", "read_only", "SIZE small", ftptest.PORT},
	{"read_only: true", "SITE CHMOD 777 small\r\n", "read_only", "SIZE small", ftptest.PORT},
	{"max_line: 27", "SIZE 12345678901234567890123\r\n", "over_max_line", "CWD 12345678901234567890123",
		ftptest.PORT},
	{"max_trailing: 8", "PORT 10,0,13,222,120,10 12345678\r\n", "trailing_text", "NOOP", ftptest.PORT},
	{"max_trailing: 8", "EPRT |1|10.0.13.222|30730|123456789\r\n", "trailing_text", "NOOP", ftptest.PORT},
	{"wait_for_reply: true", "NOOP\r\nSIZE small\r\n", "reply_awaited", "SIZE small", ftptest.PORT},
	{"need_crlf: true", "SIZE small\n", "no_crlf", "SIZE small", ftptest.PORT},
	{"need_crlf: true", "CWD a\rDELE small\r\n", "no_crlf", "CWD a", ftptest.PORT},
	{`deny_files: ['(?i)\.exe$', '^/etc/']`, "RETR a.EXE\r\n", "file_denied", "CWD a.exe.txt", ftptest.PORT},
	{`deny_files: ['(?i)\.exe$', '^/etc/']`, "CWD /etc/passwd\r\n", "file_denied", "CWD etc/", ftptest.PORT},
	{"deny_users: ['^(?i:anonymous|ftp)$']", "USER Anonymous\r\n", "user_denied", "USER anonymous2",
		ftptest.PORT},
	{"enabled: true", "SIZE " + strings.Repeat("a", 506) + "\r\n", "over_max_line",
		"CWD " + strings.Repeat("a", 506), ftptest.PORT},
	{"enabled: true", "PORT 10,0,13,222,120,10 and so on\r\n", "trailing_text", "NOOP", ftptest.PORT},
}

func TestStrictRuleKeepsCommandFromTheServer(t *testing.T) {
	n := newGuarded(t, kinds[1], "", metered)
	s := n.serve(&ftptest.Server{})
	for _, c := range commandRules {
		t.Run(c.rule+" "+c.command[:5], func(t *testing.T) {
			// say returns the reply to the last of the commands, and the line that the server got.
			say := func(client *ftptest.Client, at int) (reply ftptest.Reply, line string) {
				must(t, client.WriteAs(ftptest.Wire{Split: []int{at}}, []byte(c.command)))
				for range strings.Count(c.command, "\n") {
					var err error
					reply, err = client.ReadReply()
					must(t, err)
				}
				all := s.Sessions()
				lines := all[len(all)-1].Commands
				return reply, lines[len(lines)-1]
			}
			lines := strings.SplitAfter(c.command, "\n")
			last := lines[len(lines)-2]
			cuts := cuts
			if len(lines) > 2 {
				cuts = cuts[:1] // else the reply to the first may come before the rest of the second
			}
			n.configure(t, "strict: {"+c.rule+"}\n")
			for _, at := range cuts {
				client := n.login(t)
				n.g.counts(t, refused(c.reason), 1, func() {
					reply, line := say(client, at)
					whole := reply.Code == 500 && strings.HasPrefix(line, "xxx")
					if !whole && (at == 0 || !strings.Contains(line, strings.Repeat("x", 256)) &&
						!strings.HasSuffix(line, "x\r\n")) {
						t.Errorf("cut at %d: the server received %q and answered %s", at, line, reply)
					}
				})
				n.g.wantNothingOpen()
				if user, ok := strings.CutPrefix(c.twin, "USER "); ok {
					must(t, client.Login(user, "p"))
				} else if reply, err := client.Cmd(c.twin); err != nil || !reply.OK() {
					t.Errorf("%s is answered by %s, %v", c.twin, reply, err)
				}
				get(t, client, s, c.mode, "small")
			}
			n.configure(t, "")
			// an address in it may be another
			if reply, line := say(n.login(t), 0); line != last && !reply.OK() {
				t.Errorf("with the rule off the server received %q and answered %s", line, reply)
			}
		})
	}
}

// Behind real servers, too, nothing changes, however the commands come; and with the rule off it does.
func TestReadOnlyServersStayAsTheyAre(t *testing.T) {
	for _, real := range realServers {
		t.Run(real.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, kinds[1], "strict: {read_only: true}\n", metered)
			n.control[21].Close()
			server := real.start(t, n.Server)
			visit := func() *ftptest.Client {
				c, err := ftptest.Dial(context.Background(), n.Client, n.Server.AddrPort(false, 21))
				must(t, err)
				t.Cleanup(func() { c.Close() })
				must(t, c.Login(server.user, server.password))
				_, err = c.Cmd("TYPE I")
				must(t, err)
				return c
			}
			for _, wire := range []ftptest.Wire{{}, {Split: []int{2}}, {Split: []int{7}}} {
				c := visit()
				c.Wire = wire
				n.g.counts(t, refused("read_only"), 4, func() {
					for _, command := range []string{"DELE pub/big", "MKD pub/new", "RNFR pub/big"} {
						if reply, err := c.Cmd(command); err != nil || reply.OK() {
							t.Errorf("%s is answered by %s, %v", command, reply, err)
						}
					}
					if tr, err := c.Put(ftptest.PORT, "pub/up", []byte("up")); err == nil {
						t.Errorf("STOR is answered by %s", tr.Done)
					}
				})
				if files, err := os.ReadDir(server.pub); err != nil || len(files) != 1 ||
					files[0].Name() != "big" {
					t.Errorf("by %+v the directory became %v, %v", wire, files, err)
				}
				if tr, err := c.Get(ftptest.PORT, "pub/big"); err != nil ||
					string(tr.Data) != string(server.big) {
					t.Errorf("by %+v %d bytes came, %v", wire, len(tr.Data), err)
				}
			}
			n.configure(t, "")
			c := visit()
			if _, err := c.Put(ftptest.PORT, "pub/up", []byte("up")); err != nil {
				t.Error(err)
			}
			if reply, err := c.Cmd("DELE pub/up"); err != nil || !reply.OK() {
				t.Errorf("with the rule off DELE is answered by %s, %v", reply, err)
			}
		})
	}
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

// A client may name another host only where it is in a network of those, and then the port is that host's.
func TestNetworksThatAClientMayName(t *testing.T) {
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, k, "", metered)
			n.listen(t, 30730)
			for _, c := range []struct {
				name, networks, line string
				ipv6                 bool
				opens                *lab.Host // nil: nothing
			}{
				{"none", "", "PORT 10,0,13,99,120,10\r\n", false, nil},
				{"PORT", "10.0.13.99", "PORT 10,0,13,99,120,10\r\n", false, n.clientNeighbour},
				{"EPRT", "fd00:2::/64, 10.0.13.96/28", "EPRT |1|10.0.13.99|30730|\r\n", false,
					n.clientNeighbour},
				{"IPv6", "fd00:13::/64", "EPRT |2|fd00:13::63|30730|\r\n", true, n.clientNeighbour},
				{"none, IPv6", "10.0.13.0/24", "EPRT |2|fd00:13::63|30730|\r\n", true, nil},
				{"outside", "10.0.13.96/28", "PORT 10,0,13,112,120,10\r\n", false, nil},
				{"the server", "10.0.13.0/24", "PORT 10,0,1,66,120,10\r\n", false, nil},
				{"itself", "10.0.13.99", own, false, n.Client},
			} {
				t.Run(c.name, func(t *testing.T) {
					n.configure(t, "fxp_networks: ["+c.networks+"]\n")
					d := n.connect(t, n.Client, c.ipv6, 21).start(loggedIn)
					grows := 0
					if c.opens == nil {
						grows = 1
					}
					n.g.counts(t, refused("foreign_address"), grows, func() { d.play(active(c.line)...) })
					if c.opens != nil {
						n.wantOpenFor(t, c.opens, n.Server, c.ipv6)
					} else {
						n.g.wantNothingOpen()
						n.wantClosed(t, n.Server, c.ipv6, 30730)
					}
				})
			}
		})
	}
}

// Peers in internal networks are shown the address that the gateway knows, others the external one.
func TestInternalPeersAreShownTheirOwnAddress(t *testing.T) {
	n := newGuarded(t, kinds[2], "")
	s := n.serve(&ftptest.Server{})
	for _, c := range []struct{ internal, want string }{
		{"10.0.0.0/8", "198.51.100.99"}, {"10.0.0.0/8, 203.0.113.222", "203.0.113.1"},
	} {
		n.configure(t, "external_address: 198.51.100.99\ninternal_networks: ["+c.internal+"]\n")
		client := n.login(t)
		reply, err := client.Cmd("PASV")
		must(t, err)
		if told, err := ftptest.ParsePort(reply.Raw); err != nil || told.Addr().String() != c.want {
			t.Errorf("with %s internal the client was told %s", c.internal, reply)
		}
	}
	get(t, n.login(t), s, ftptest.PASV, "small") // the last ones are still in force
}

// The limits of all clients together, and of a network that counts as one client. The clients
// are neighbours.
func TestLimitsOfSeveralClients(t *testing.T) {
	n := newGuarded(t, kinds[1], "", metered)
	s := n.serve(&ftptest.Server{})
	for _, c := range []struct{ name, rule, reason, off string }{
		{"open", "limits: {open: 1}", "pinhole_limit", "limits: {open: 2, per_client: {open: 1}}"},
		{"new_per_minute", "limits: {new_per_minute: 1}", "rate_limit", "limits: {new_per_minute: 0}"},
		{"ipv4_prefix, open", "limits: {per_client: {open: 1, ipv4_prefix: 24}}", "pinhole_limit",
			"limits: {per_client: {open: 1}}"},
		{"ipv4_prefix, sessions", "limits: {per_client: {sessions: 1, ipv4_prefix: 24}}", "session_limit",
			"limits: {per_client: {sessions: 1}}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := netip.AddrPortFrom(n.dialled[0], 21)
			clients := func() (one, two *ftptest.Client) {
				return login(t, n.Client, at), login(t, n.clientNeighbour, at)
			}
			n.configure(t, c.rule)
			one, two := clients()
			accepted(t, one, named)
			n.g.counts(t, refused(c.reason), 1,
				func() { wantRefusal(t, two, "PORT 10,0,13,99,120,11", 500, 501) })
			if es := n.g.expectations(); len(es) != 1 {
				t.Errorf("open is %+v, want one port", es)
			}
			n.listen(t, 30731)
			n.wantClosed(t, n.Server, false, 30731)
			accepted(t, two, "NOOP")
			one.Close()
			two.Close()

			n.configure(t, c.off)
			one, two = clients()
			accepted(t, one, named)
			get(t, two, s, ftptest.PORT, "small")
			one.Close()
			two.Close()
		})
	}
}

// Without NAT the kernel has no place for offsets, but its window tracking must let them pass: what
// it takes for an acknowledgement of bytes that nobody sent is no part of an established connection.
func TestSessionGoesOnWithoutNATAfterALineThatGrew(t *testing.T) {
	for _, c := range []struct {
		rule string
		line []string
	}{
		{"strict: {deny: [SITE]}", []string{"c>SITE a", "c>b\r\n"}},
		{"external_address: 198.151.100.199", []string{"c>" + own}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			n := newGuarded(t, kinds[0], c.rule)
			d := n.connect(t, n.Client, false, 21).start(loggedIn)
			d.play(append(c.line, "s>500 no\r\n", "c>NOOP\r\n", "s>200 ok\r\n")...)
		})
	}
}

// Another host that the client may name is opened a port as it named it, however the line comes.
func TestAnotherHostNamedInPieces(t *testing.T) {
	for _, k := range kinds[:2] {
		for _, at := range cuts {
			t.Run(fmt.Sprintf("%s, cut at %d", k.name, at), func(t *testing.T) {
				n := newGuarded(t, k, "fxp_networks: [10.0.13.99]")
				n.listen(t, 30730)
				const line = "PORT 10,0,13,99,120,10\r\n"
				pieces := inPieces([]string{"c>" + line}, at)
				d := n.connect(t, n.Client, false, 21).start(loggedIn)
				var got string
				for _, p := range pieces {
					got += d.play(p)
				}
				if es := n.g.expectations(); got == line {
					n.wantOpenFor(t, n.clientNeighbour, n.Server, false)
				} else if len(es) != 0 { // refused would do
					t.Errorf("the server received %q, and open is %+v", got, es)
				}
			})
		}
	}
}
