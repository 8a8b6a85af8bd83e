package e2e

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
)

// What closes a port closes one that an earlier process opened, too.
func TestPortOfAnEarlierProcessIsClosed(t *testing.T) {
	for _, c := range []ruling{
		{"by another PORT", loggedIn, []string{"c>" + other, "s>200 ok\r\n"}, 30731, opens, 30730},
		{"by an error of the transfer", loggedIn, []string{"c>RETR x\r\n", "s>550 no\r\n"}, 30730, shut, 0},
		{"by QUIT", loggedIn, []string{"c>QUIT\r\n", "s>221 bye\r\n"}, 30730, shut, 0},
		{"by the end of the control connection", loggedIn, []string{"c!FIN", "s!FIN"}, 30730, shut, 0},
		{"by a reset", loggedIn, []string{"c!RST"}, 30730, shut, 0},
		{"by TLS", loggedIn, []string{"c>AUTH TLS\r\n", "s>234 ok\r\n"}, 30730, shut, 0},
		{"not by a reply to another command", loggedIn, []string{"c>SIZE x\r\n", "s>550 no\r\n"}, 30730,
			opens, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, kinds[1], "")
			n.restart = []string{"c>" + own, "s>200 ok\r\n"}
			n.judge(t, c, false, 21, n.Client, n.Server)
		})
	}
	t.Run("long after the start", func(t *testing.T) {
		t.Parallel()
		n := newGuarded(t, kinds[1], "")
		n.restart, n.pause = []string{"c>" + own, "s>200 ok\r\n"}, 2500*time.Millisecond
		n.judge(t, ruling{"", loggedIn, []string{"c>QUIT\r\n", "s>221 bye\r\n"}, 30730, shut, 0}, false, 21,
			n.Client, n.Server)
	})
	for _, c := range []ruling{
		{"227 by an error of the transfer", loggedIn, []string{"c>RETR x\r\n", "s>550 no\r\n"}, 30730, shut,
			0},
		{"227, and not opened by another that nobody asked for", loggedIn,
			[]string{"c>RETR x\r\n", "s>550 no\r\n", "s>" + offer}, 30730, shut, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, kinds[2], "")
			n.restart = []string{"c>PASV\r\n", "s>" + offer}
			n.judge(t, c, false, 21, n.Server, n.Client)
		})
	}
}

// A session that is forgotten because there are too many takes its port along.
func TestPortOfAForgottenSessionIsClosedAtItsEnd(t *testing.T) {
	n := newGuarded(t, kinds[1], "limits:\n  sessions: 1\n")
	first := n.connect(t, n.Client, false, 21).start(loggedIn)
	first.play("c>"+own, "s>200 ok\r\n")
	second := n.connect(t, n.Client, false, 21).start(loggedIn)
	first.play("c>NOOP\r\n", "s>200 ok\r\n", "c!FIN", "s!FIN")
	second.play("c>NOOP\r\n", "s>200 ok\r\n")
	n.g.wantNothingOpen()
}

// Clients that come and go do not use up what a client may have at a time.
func TestSessionsThatEndedDoNotCount(t *testing.T) {
	n := newGuarded(t, kinds[1], "limits: {per_client: {sessions: 2}}\n")
	for range 4 {
		d := n.connect(t, n.Client, false, 21).start(loggedIn)
		want := "PORT " + ftptest.FormatPort(n.Outside.AddrPort(false, 30730)) + "\r\n"
		if got := d.play("c>PORT 10,0,13,222,120,10\r\n"); got != want {
			t.Errorf("the server received %q", got)
		}
		d.play("s>200 ok\r\n", "c!FIN", "s!FIN")
	}
}
