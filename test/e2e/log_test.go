package e2e

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/ftptest"
)

// refusals are the reasons in the log, in order.
func (g *gateway) refusals() []string { return refusals(g.logged()) }

func refusals(log string) (reasons []string) {
	for line := range strings.Lines(log) {
		if fields := strings.Fields(line); slices.Contains(fields, "msg=refused") {
			for _, f := range fields {
				if reason, ok := strings.CutPrefix(f, "reason="); ok {
					reasons = append(reasons, reason)
				}
			}
		}
	}
	return reasons
}

// hostile clears a terminal's screen, in seven bits and in eight, names its window and turns the line round.
const hostile = "a\x1b[2J\x9b2J\x1b]0;b\x07\u202ec\x00\x7f"

// What strangers say of users, files and addresses reaches whoever reads the log as plain ASCII.
func TestLogIsPlainWhateverStrangersSay(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			n := newGuarded(t, kinds[1], "", "--log-format", format)
			n.serve(&ftptest.Server{Format227: func(netip.AddrPort) string {
				return "227 " + hostile + " (10,9,9,9,120,10)"
			}})
			c := n.login(t)
			must(t, os.WriteFile(n.g.file, []byte("strict: {deny: [USER, STOR]}"), 0o644))
			n.g.signal(unix.SIGHUP)
			n.g.await("configuration reloaded", 1)
			for _, line := range []string{"USER " + hostile, "STOR " + hostile, "PASV"} {
				reply, err := c.Cmd(line)
				if must(t, err); reply.OK() {
					t.Errorf("%q is answered by %s, the test proves nothing", line, reply)
				}
			}
			const shown = `a\x1b[2J\x9b2J\x1b]0;b\a\u202ec\x00\x7f`
			backslash := `\\` // quoted once more, in both formats
			for _, start := range []string{"USER ", "STOR ", "227 "} {
				n.g.await(start+strings.ReplaceAll(shown, `\`, backslash), 1)
			}
			for i, b := range []byte(n.g.logged()) {
				if b != '\n' && (b < ' ' || b > '~') {
					t.Fatalf("byte %#x stands in the log at %.60q", b, n.g.logged()[max(0, i-30):])
				}
			}
		})
	}
}
