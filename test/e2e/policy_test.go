package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/lab"
)

// What was said before the case begins.
const (
	nothing  = iota
	greeted  // the server sent its 220
	loggedIn // and the client is logged in
)

var opening = []string{nothing: "", greeted: "s>220 ready\r\n",
	loggedIn: "s>220 ready\r\n|c>USER u\r\n|s>331 password\r\n|c>PASS p\r\n|s>230 in\r\n"}

// start begins a session as far as a case wants it.
func (d *dialogue) start(from int) *dialogue {
	d.Helper()
	if text := opening[from]; text != "" {
		d.play(strings.Split(text, "|")...)
	}
	return d
}

// ruling is a dialogue, and whether a port may be open after it.
type ruling struct {
	name     string
	from     int
	segments []string
	port     uint16 // the one named; 0: none that one can connect to
	opens    bool
	closed   uint16 // another one that must be closed; 0: none
}

const (
	own   = "PORT 10,0,13,222,120,10\r\n" // the client's own address, port 30730
	other = "PORT 10,0,13,222,120,11\r\n" // the same with 30731
	offer = "227 Entering Passive Mode (10,0,1,66,120,10).\r\n"
	shut  = false
	opens = true
)

// judge plays a dialogue and checks what is open then to from.
func (n *guarded) judge(t *testing.T, k ruling, ipv6 bool, control uint16, host, from *lab.Host) {
	t.Helper()
	for _, port := range []uint16{k.port, k.closed} {
		if port != 0 {
			n.listen(t, port)
		}
	}
	d := n.connect(t, n.Client, ipv6, control).start(k.from)
	if n.restart != nil {
		d.play(n.restart...)
		n.g.kill()
		n.g.start()
		time.Sleep(n.pause)
	}
	d.play(k.segments...)
	if k.opens {
		es := n.g.expectations()
		if len(es) != 1 || es[0].Target.Port() != k.port && es[0].Dst.Port() != k.port {
			t.Errorf("open is %+v, want port %d alone", es, k.port)
			return
		}
		if k.closed != 0 {
			n.wantClosed(t, from, ipv6, k.closed)
		}
		if who := reachAnew(from, es[0].Dst); who != host.String() {
			t.Errorf("%s reaches %q at %s, want the %s", from, who, es[0].Dst, host)
		}
	}
	if es := n.g.expectations(); len(es) != 0 {
		t.Errorf("open is %+v, want nothing", es)
	}
	if k.port != 0 {
		n.wantClosed(t, from, ipv6, k.port)
	}
}

// What opens a port is used by the peer once; everything else leaves no way in.
func TestPortOpensForAReasonAlone(t *testing.T) {
	for _, k := range kinds {
		if k.active {
			t.Run("active/"+k.name, func(t *testing.T) {
				t.Parallel()
				n := newGuarded(t, k, "")
				for _, c := range activeRulings {
					t.Run(c.name, func(t *testing.T) { n.judge(t, c, false, 21, n.Client, n.Server) })
				}
				for _, c := range activeRulings6 {
					t.Run("IPv6/"+c.name, func(t *testing.T) { n.judge(t, c, true, 21, n.Client, n.Server) })
				}
				for port, c := range otherPorts {
					t.Run(c.name, func(t *testing.T) { n.judge(t, c, false, port, n.Client, n.Server) })
				}
			})
		}
		if k.passive {
			t.Run("passive/"+k.name, func(t *testing.T) {
				t.Parallel()
				n := newGuarded(t, k, "")
				for _, c := range passiveRulings {
					t.Run(c.name, func(t *testing.T) { n.judge(t, c, false, 21, n.Server, n.Client) })
				}
				for _, c := range passiveRulings6 {
					t.Run("IPv6/"+c.name, func(t *testing.T) { n.judge(t, c, true, 21, n.Server, n.Client) })
				}
			})
		}
	}
}

// CRLF injection cannot be told from a client that does not wait, but in a network
// of clients that do.
func TestInjectedCommandOpensNothingWhereClientsWaitForReplies(t *testing.T) {
	n := newGuarded(t, kinds[1], "strict:\n  wait_for_reply: true\n")
	for _, c := range []ruling{
		{"in one segment", loggedIn, []string{"c>CWD foodir\r\n" + own, "s>250 ok\r\n500 x\r\n"}, 30730, shut,
			0},
		{"in two", loggedIn, []string{"c>CWD foodir\r\n", "c>" + own, "s>250 ok\r\n500 x\r\n"}, 30730, shut,
			0},
		{"after the reply", loggedIn,
			[]string{"c>CWD foodir\r\n", "s>250 ok\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},
	} {
		t.Run(c.name, func(t *testing.T) { n.judge(t, c, false, 21, n.Client, n.Server) })
	}
}
