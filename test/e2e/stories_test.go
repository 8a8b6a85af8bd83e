package e2e

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// story is a transfer that fails, with what the program is asked then.
type story struct {
	name   string
	config string
	fail   func(t *testing.T, a *asked)
	logged string // a piece of the line of the log that tells why; empty: the log tells nothing
	ask    []string
	told   string // a piece of the line that the answer has
}

var stories = []story{
	{name: "the server's own firewall", fail: serversFirewall, logged: "outcome=unanswered"},
	{name: "a wrong address", fail: wrongAddress, logged: "reason=foreign_address"},
	{name: "FTPS", fail: inTLS, ask: []string{"sessions"}, told: " tls "},
	{name: "a limit", config: "limits: {per_client: {open: 1}}\n", fail: oneTooMany,
		logged: "reason=pinhole_limit"},
	{name: "another helper", fail: anotherHelper, ask: []string{"check"}, told: "kernel_ftp_helper"},
}

// start is a gateway before a server.
func (s *story) start(t *testing.T) *asked {
	t.Helper()
	r := routed(t, (*lab.Lab).ServerBehindNAT)
	must(t, r.Gateway.Sysctl("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", "1"))
	socket := filepath.Join(t.TempDir(), "s")
	return &asked{withConfig(t, r.Gateway, s.config, "--socket-path", socket), r, socket}
}

func (a *asked) login(t *testing.T, s *ftptest.Server) *ftptest.Client {
	t.Helper()
	serve(t, s, a.r.Server, a.r.Server.AddrPort(false, lab.ControlPort))
	return login(t, a.r.Client, a.r.Outside.AddrPort(false, lab.ControlPort))
}

func serversFirewall(t *testing.T, a *asked) {
	c := a.login(t, &ftptest.Server{})
	only := &lab.Policy{Accept: []lab.Accept{{Port: lab.ControlPort}}}
	must(t, a.r.Server.SetRules(lab.Ruleset{Input: only}))
	wantFailure(t, c, ftptest.PASV)
	t.Cleanup(collecting(a.r.Gateway))
}

func wrongAddress(t *testing.T, a *asked) {
	c := a.login(t, &ftptest.Server{Advertise: netip.MustParseAddr("198.51.100.7")})
	wantFailure(t, c, ftptest.PASV)
}

// inTLS has both sides say what they say before the handshake, and its beginning.
func inTLS(t *testing.T, a *asked) {
	at := a.r.Server.AddrPort(false, lab.ControlPort)
	l, err := a.r.Server.Listen("tcp", at.String())
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	client, err := a.r.Client.Dial(context.Background(), netip.AddrPort{},
		a.r.Outside.AddrPort(false, lab.ControlPort))
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	server, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	for _, step := range []struct {
		say  func(string)
		text string
	}{
		{func(s string) { pass(t, server, client, s) }, "220 ready\r\n"},
		{func(s string) { pass(t, client, server, s) }, "AUTH TLS\r\n"},
		{func(s string) { pass(t, server, client, s) }, "234 go\r\n"},
		{func(s string) { pass(t, client, server, s) }, "\x16\x03\x01\x00\x02a\n"},
	} {
		step.say(step.text)
	}
}

// pass has one side say a line, and waits for it to arrive.
func pass(t *testing.T, from, to interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
}, line string) {
	t.Helper()
	_, err := from.Write([]byte(line))
	must(t, err)
	got, err := bufio.NewReader(to).ReadString('\n')
	if err != nil || got != line {
		t.Fatalf("%q arrived as %q: %v", line, got, err)
	}
}

func oneTooMany(t *testing.T, a *asked) {
	c := a.login(t, &ftptest.Server{})
	for _, c := range []*ftptest.Client{c, login(t, a.r.Client, a.r.Outside.AddrPort(false, 21))} {
		_, err := c.Cmd("PASV")
		must(t, err)
	}
}

func anotherHelper(t *testing.T, a *asked) {
	attachHelper(t, a.r.Gateway, "prerouting priority -160")
}

// tellings are the lines that tell why.
func (s *story) tellings(t *testing.T, a *asked) (lines []string) {
	t.Helper()
	if s.logged != "" {
		if !a.logs(func(log string) bool { return strings.Contains(log, s.logged) }) {
			t.Fatalf("no %s in the log:\n%s", s.logged, a.logged())
		}
		lines = append(lines, lineWith(a.logged(), s.logged))
	}
	switch {
	case s.told == "":
	case s.ask[0] == "check":
		out, _ := a.host.Command(t.Context(), program, s.ask...).Output() // its exit status is a warning
		lines = append(lines, lineWith(string(out), s.told))
	default:
		lines = append(lines, lineWith(a.until(s.told, s.ask...), s.told))
	}
	return lines
}

func lineWith(text, piece string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, piece) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// changing is what differs from one run to the next.
var changing = regexp.MustCompile(`\d+(\.\d+)?(ns|µs|ms|s|m)?\b`)

var times = regexp.MustCompile(`^time=\S+ `)

// shape of a line is what is the same in all runs.
func shape(line string) string {
	return strings.Join(strings.Fields(changing.ReplaceAllString(times.ReplaceAllString(line, ""), "0")), " ")
}

// TestStoriesOfTheManualAreWhatIsTold compares what the page on troubleshooting shows with what is told.
func TestStoriesOfTheManualAreWhatIsTold(t *testing.T) {
	page, err := os.ReadFile("../../deploy/docs/troubleshooting.md")
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("FTPALG_BINARY") != "" {
		t.Skip("NOT TESTED: the documents are not here")
	}
	must(t, err)
	shown := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		shown[shape(line)] = true
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			a := s.start(t)
			s.fail(t, a)
			for _, line := range s.tellings(t, a) {
				if line == "" || !shown[shape(line)] {
					t.Errorf("the page does not show\n%s", line)
				}
			}
		})
	}
}
