package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
)

// The session must go on without the program, with the offset that a longer PORT left behind.
func TestTLSSessionIsOpaqueAndLeavesTheQueue(t *testing.T) {
	n := newGuarded(t, kinds[1], "")
	for _, c := range []struct {
		name string
		from int
		say  []string
	}{
		{"before the login", greeted, nil},
		{"after a PORT that was rewritten", loggedIn, []string{"c>" + own, "s>200 ok\r\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n.listen(t, 30730)
			d := n.connect(t, n.Client, false, 21).start(c.from)
			d.play(c.say...)
			n.g.wantState(t, d.original(), conntrack.StateOpaque, 0)
			d.play("c>AUTH TLS\r\n", "s>234 Proceed with negotiation.\r\n", "c>\x16\x03\x01\x00\xa5\x01\x00")
			n.g.wantState(t, d.original(), conntrack.StateOpaque|conntrack.StateBusy, conntrack.StateOpaque)
			n.g.frozen(func() {
				for i := range uint64(4) {
					text := string(ftptest.Random(60_000, i)) + "\n" + own + offer
					if got := d.play("c>" + text); got != text {
						t.Errorf("the server received %d bytes, other than the %d sent", len(got), len(text))
					}
					if got := d.play("s>" + text); got != text {
						t.Errorf("the client received %d bytes, other than the %d sent", len(got), len(text))
					}
				}
			})
			n.g.wantNothingOpen()
			n.wantClosed(t, n.Server, false, 30730)
		})
	}
	t.Run("twin in clear text waits for the program", func(t *testing.T) {
		d := n.connect(t, n.Client, false, 21).start(loggedIn)
		n.g.frozen(func() {
			_, err := d.client.Write([]byte("NOOP\r\n"))
			must(t, err)
			must(t, d.server.SetReadDeadline(time.Now().Add(soon)))
			if k, err := d.server.Read(make([]byte, 100)); err == nil {
				t.Errorf("%d bytes came past the program: the test proves nothing", k)
			}
		})
	})
}

func TestTLSDenied(t *testing.T) {
	n := newGuarded(t, kinds[1], "tls: deny\n")
	for _, command := range []string{"AUTH TLS\r\n", "AUTH SSL\r\n", "auth tls\r\n", "AUTH TLS-C\r\n"} {
		t.Run(strings.TrimSpace(command), func(t *testing.T) {
			d := n.connect(t, n.Client, false, 21).start(greeted)
			got := d.play("c>" + command)
			if strings.Contains(strings.ToUpper(got), "TLS") ||
				strings.Contains(strings.ToUpper(got), "SSL") {
				t.Errorf("the server received %q", got)
			}
			d.play("s>504 no\r\n")
			n.g.wantState(t, d.original(), conntrack.StateOpaque, 0)
		})
	}
	n.judge(t, ruling{"", loggedIn, []string{"c>AUTH TLS\r\n", "s>504 no\r\n", "c>" + own, "s>200 ok\r\n"},
		30730, opens, 0}, false, 21, n.Client, n.Server)
	n.g.wantRefusals(t, 0, "tls_denied", "tls_denied", "tls_denied", "tls_denied", "tls_denied")
}
