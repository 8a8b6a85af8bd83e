package dialogue

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/ftpalg/ftpalg/alg/policy"
)

const port = "c>PORT 10,0,13,222,39,136\r\n"

func after(segs ...string) []string { return append(in[:5:5], segs...) }

// states has what was said, and whether a door is open then.
var states = []struct {
	name  string
	segs  []string
	opens bool
}{
	{"logged in", after(port), true},
	{"120 before 220", []string{"s>120 wait\r\n", in[0], in[1], in[4], port}, true},
	{"multi-line greeting", append([]string{"s>220-a\r\n227 (1,2,3,4,5,6)\r\n220 b\r\n"},
		append(in[1:5:5], port)...), true},
	{"greeted with 230", []string{"s>230 welcome\r\n", port}, true},
	{"greeted with 200", append([]string{"s>200 hello\r\n"}, append(in[1:5:5], port)...), true},
	{"200 to USER", []string{in[0], in[1], "s>200 fine, proceed\r\n", port}, true},
	{"232 to PASS", []string{in[0], in[1], in[2], in[3], "s>232 in\r\n", port}, true},
	{"200 to NOOP", []string{in[0], in[1], in[2], "c>NOOP\r\n", "s>200 ok\r\n", port}, false},
	{"230 out of step, a login under way",
		[]string{in[0], in[1], in[2], "c>NOOP\r\n", "s>230 in\r\n", port}, false},
	{"ACCT", []string{in[0], in[1], in[2], in[3], "s>332 account\r\n", "c>ACCT x\r\n", "s>230 in\r\n",
		port}, true},
	{"pipelined login", []string{in[0], "c>USER a\r\nPASS b\r\n", "s>331 pw\r\n230 in\r\n", port}, true},
	{"no greeting", append(in[1:5:5], port), false},
	{"greeted with 421", []string{"s>421 no\r\n", in[1], in[4], port}, false},
	{"before login", []string{in[0], port}, false},
	{"after USER", append(in[:3:3], port), false},
	{"after a failed PASS", append(in[:4:4], "s>530 no\r\n", port), false},
	{"after REIN", after("c>REIN\r\n", "s>220 again\r\n", port), false},
	{"after REIN was refused", after("c>REIN\r\n", "s>502 no\r\n", port), true},
	{"after HOST", after("c>HOST a\r\n", "s>220 a\r\n", port), false},
	{"after QUIT", after("c>QUIT\r\n", "s>221 bye\r\n", port), false},
	{"after 421", after("s>421 timeout\r\n", port), false},
	{"after EPSV ALL", after("c>EPSV ALL\r\n", "s>200 ok\r\n", port), false},
	{"EPSV ALL was refused", after("c>EPSV ALL\r\n", "s>502 no\r\n", port), true},
	{"227 to EPSV ALL", after("c>EPSV ALL\r\n", "s>227 (10,0,1,66,39,136)\r\n"), false},
	{"another USER", after("c>USER b\r\n", "s>331 pw\r\n", port), false},
	{"AUTH TLS accepted", after("c>AUTH TLS\r\n", "s>234 go\r\n", port), false},
	{"AUTH TLS refused", after("c>AUTH TLS\r\n", "s>530 no\r\n", port), true},
	{"behind AUTH in one segment", after("c>AUTH TLS\r\nPORT 10,0,13,222,39,136\r\n"), false},
	{"227 while AUTH waits", after("c>PASV\r\nAUTH TLS\r\n", "s>227 (10,0,1,66,39,136)\r\n"), false},
	{"HTTP first", append([]string{in[0], "c>POST / HTTP/1.1\r\nHost: x\r\n\r\n"}, append(in[1:5:5],
		port)...), false},
	{"the server refused it", after(port, "s>500 no\r\n"), false},
	{"the transfer failed", after(port, "s>200 ok\r\n", "c>RETR a\r\n", "s>425 cannot\r\n"), false},
	{"a later command failed", after(port, "s>200 ok\r\n", "c>SIZE a\r\n", "s>550 none\r\n"), true},
	{"behind a bare CR", after("c>NOOP\rPORT 10,0,13,222,39,136\r\n"), false},
	{"behind a smuggled LF", after("c>CWD a\nPORT 10,0,13,222,39,136\r\n"), false},
	{"from a client of bare LFs", after("c>CWD a\nPORT 10,0,13,222,39,136\n"), true},
	{"unsolicited 227", after("s>227 x (10,0,1,66,39,136)\r\n"), false},
	{"227 inside a 211", after("c>PASV\r\n", "s>211-x\r\n227 (10,0,1,66,39,136)\r\n211 end\r\n"), false},
	{"PASV answered by 227", after("c>PASV\r\n", "s>227 (10,0,1,66,39,136)\r\n"), true},
	{"PASV before login", []string{in[0], "c>PASV\r\n", "s>227 (10,0,1,66,39,136)\r\n"}, false},
	{"PASV answered late", after("c>NOOP\r\nPASV\r\n", "s>200 ok\r\n227 (10,0,1,66,39,136)\r\n"), true},
}

func TestStateOfTheDialogueDecidesWhetherADoorOpens(t *testing.T) {
	for _, c := range states {
		if l := newLab(t, routed, policy.Default()).talk(c.segs...); (l.open != nil) != c.opens {
			t.Errorf("%s: open %v, want open: %v; refused %v", c.name, l.open, c.opens, l.said)
		}
	}
}

func TestAddressesAreMadeToFitTheOtherSide(t *testing.T) {
	for _, c := range []struct {
		e         Endpoints
		from      Side
		ask, line string
		shape     string
		open      string
	}{
		{snat, Client, "", "port 10,0,13,222,39,136\n", "port 203,0,113,77,%s\n",
			"10.0.1.66>203.0.113.77:%d=10.0.13.222:10120"},
		{snat, Client, "", "EPRT |1|10.0.13.222|10120|\r\n", "EPRT |1|203.0.113.77|%d|\r\n",
			"10.0.1.66>203.0.113.77:%d=10.0.13.222:10120"},
		{routed, Client, "", "PORT 10,0,13,222,39,136\r\n", "PORT 10,0,13,222,39,136\r\n",
			"10.0.1.66>10.0.13.222:10120=10.0.13.222:10120"},
		{dnat, Server, "PASV\r\n", "227 Passive 2 (10,0,1,66,39,136).\r\n",
			"227 Passive 2 (198,51,100,1,%s).\r\n", "10.0.13.222>198.51.100.1:%d=10.0.1.66:10120"},
		{dnat, Server, "PASV\r\n", "227 10,0,1,66,39,136\r\n", "227 198,51,100,1,%s\r\n",
			"10.0.13.222>198.51.100.1:%d=10.0.1.66:10120"},
		{dnat, Server, "EPSV\r\n", "229 x (|||10120|)\r\n", "229 x (|||%d|)\r\n",
			"10.0.13.222>198.51.100.1:%d=10.0.1.66:10120"},
		{routed, Server, "PASV\r\n", "227 x (10,0,1,66,39,136)\r\n", "227 x (10,0,1,66,39,136)\r\n",
			"10.0.13.222>10.0.1.66:10120=10.0.1.66:10120"},
	} {
		for _, other := range []uint16{0, 50000} { // what is given where the port is taken
			for cut := 0; cut <= len(c.line); cut++ {
				l := newLab(t, c.e, policy.Default()).login()
				if c.ask != "" {
					l.c2s(c.ask)
				}
				if l.taken[10120] = other; other != 0 && !c.e.SNAT && !c.e.DNAT {
					continue
				}
				got := l.pieces(c.from, c.line, cut)
				if l.open == nil {
					t.Errorf("%q cut at %d: nothing opened, refused %v", c.line, cut, l.said)
					continue
				}
				port := l.open.Dst.Port()
				l.wantArrived(c.line, got, withPort(c.shape, port))
				l.wantOpen(withPort(c.open, port))
				l.wantArrived("what follows", l.send(c.from, "200 next\r\n"), "200 next\r\n")
			}
		}
	}
}

func withPort(shape string, port uint16) string {
	shape = strings.ReplaceAll(shape, "%s", fmt.Sprintf("%d,%d", port>>8, port&255))
	return strings.ReplaceAll(shape, "%d", fmt.Sprint(port))
}

func TestRestartGoesOnWhereItWas(t *testing.T) {
	for _, c := range []struct {
		name  string
		segs  []string // "" restarts
		opens bool
	}{
		{"between PASS and 230", append(in[:4:4], "", in[4], port), true},
		{"between PASS and a 200 that may be for NOOP",
			append(in[:4:4], "", "c>NOOP\r\n", "s>200 in\r\n", port), false},
		{"between USER and 331", append(in[:2:2], "", in[2], in[3], in[4], port), true},
		{"behind a pipelined login", []string{in[0], "c>USER a\r\nPASS b\r\n", "", "s>331 pw\r\n230 in\r\n",
			port}, true},
		{"between PASS and 530", append(in[:4:4], "", "s>530 no\r\n", port), false},
		{"logged in", after("", port), true},
		{"while PASV waits", after("c>PASV\r\n", "", "s>227 (10,0,1,66,39,136)\r\n"), true},
		{"in the middle of a command", after("c>CWD a", "", port), false},
		{"after EPSV ALL", after("c>EPSV ALL\r\n", "s>200 x\r\n", "", port), false},
		{"while AUTH waits", after("c>AUTH TLS\r\n", "", "s>234 x\r\n", port), false},
		{"not logged in", []string{in[0], "", port}, false},
	} {
		l := newLab(t, routed, policy.Default())
		for _, seg := range c.segs {
			if seg == "" {
				l.restart()
			} else {
				l.talk(seg)
			}
		}
		if (l.open != nil) != c.opens {
			t.Errorf("%s: open %v, want open: %v; refused %v", c.name, l.open, c.opens, l.said)
		}
	}
}

func TestDialogueOlderThanTheProgramOpensOnlyIfTrustedOrSeenToLogIn(t *testing.T) {
	for _, c := range []struct {
		name  string
		trust bool
		segs  []string
		why   []policy.Reason
	}{
		{"unseen", false, []string{port}, []policy.Reason{policy.LoginUnseen}},
		{"a reply is no greeting", false, []string{"s>226 done\r\n", port},
			[]policy.Reason{policy.LoginUnseen}},
		{"a 230 after another reply is no greeting that takes a client for logged in", false,
			[]string{"s>331 password\r\n", "s>230 in\r\n", port}, []policy.Reason{policy.LoginUnseen}},
		{"the greeting came late", false, []string{in[0], port}, []policy.Reason{policy.LoginUnseen}},
		{"greeted and logging in", false, append(in[:4:4], port), []policy.Reason{policy.NotLoggedIn}},
		{"greets and logs in", false, append(in[:5:5], port), nil},
		{"logs in, but the greeting was not seen", false, append(in[1:5:5], port),
			[]policy.Reason{policy.LoginUnseen}},
		{"trusted", true, []string{port}, nil},
		{"trusted, a 227", true, []string{"c>PASV\r\n", "s>227 (10,0,1,66,39,136)\r\n"}, nil},
		{"trusted, but over", true, []string{"s>421 bye\r\n", port}, []policy.Reason{policy.SessionOver}},
	} {
		p := policy.Default()
		p.TrustRunning = c.trust
		l := newLab(t, routed, p)
		l.restart().talk(c.segs...)
		if l.wantRefused(c.name, c.why...); (l.open != nil) != (c.why == nil) {
			t.Errorf("%s: open is %v", c.name, l.open)
		}
	}
}

func TestEndOfTheConnectionShutsTheDoorAndDataAfterItBringsTheDialogueBack(t *testing.T) {
	l := newLab(t, routed, policy.Default()).login().talk(port)
	l.d.End(l)
	l.wantOpen("")
	if !l.d.Over() {
		t.Error("it is not over")
	}
	l.talk(port)
	l.wantRefused("after the end", policy.SessionOver)
	l.d.Revive()
	l.talk(port)
	l.wantOpen("10.0.1.66>10.0.13.222:10120=10.0.13.222:10120")
	l.talk("s>500 x\r\n500 x\r\n500 x\r\n", "s>421 bye\r\n")
	if l.d.Revive(); !l.d.Over() {
		t.Error("what the server ended is back")
	}
}

func TestBytesThatWereNotSeenCountForNothing(t *testing.T) {
	l := newLab(t, routed, policy.Default()).login()
	l.d.Lost(Client)
	l.talk(port)
	l.wantOpen("")
	l.talk(port)
	l.wantOpen("10.0.1.66>10.0.13.222:10120=10.0.13.222:10120")
	for skipped, opens := range map[string]bool{"CWD a": false, "CWD a\r\n": true} {
		l := newLab(t, routed, policy.Default()).login()
		l.d.Skip(Client, []byte(skipped))
		if l.talk(port); (l.open != nil) != opens {
			t.Errorf("behind %q open is %v", skipped, l.open)
		}
	}
	for atLine, opens := range map[bool]bool{true: true, false: false} {
		l := newLab(t, routed, policy.Default()).login()
		l.c2s("CWD a")
		l.d.Resume(Client, atLine)
		if l.talk(port); (l.open != nil) != opens {
			t.Errorf("resumed at a line: %v, open is %v", atLine, l.open)
		}
	}
}

func TestReplyToACommandThatNobodyReadAnswersNoLaterOne(t *testing.T) {
	for what, unread := range map[string]func(*lab){
		"its beginning went by": func(l *lab) { l.d.Lost(Client); l.c2s("WD a\r\n") },
		"it came untouched":     func(l *lab) { l.d.Skip(Client, []byte("CWD a\r\n")) },
	} {
		l := newLab(t, dnat, policy.Default()).login()
		unread(l)
		l.talk("c>PASV\r\n", "s>250 in a\r\n", "s>227 Entering Passive Mode (10,0,1,66,78,38).\r\n")
		if l.open == nil {
			t.Errorf("%s: the port that was asked for behind it is not opened", what)
		}
	}
}

func TestLineUnderWayIsUndecidedWhileItMayBeEdited(t *testing.T) {
	for _, c := range []struct {
		from Side
		line string
		want bool
	}{
		{Client, "", false}, {Client, "N", false}, {Client, "NOOP\r\n", false}, {Client, "P", true},
		{Client, "PA", false}, {Client, "PASS x", false}, {Client, "PORT ", true}, {Client, "ep", true},
		{Client, "EPRT |1|10.0", true}, {Client, "PORT 10,0,13,222,39,18\r\n", false},
		{Server, "22", false}, {Server, "220", false}, {Server, "227", true},
		{Server, "227 Entering (10,", true},
		{Server, "226 do", false}, {Server, "150", false},
	} {
		l := newLab(t, snat, policy.Default()).login()
		if len(c.line) > 0 {
			l.pieces(c.from, c.line, len(c.line))
		}
		if got := l.d.Undecided(c.from); got != c.want {
			t.Errorf("%q: %v", c.line, got)
		}
	}
}

func TestLoginIsNoticedThoughNobodyReadThePassword(t *testing.T) {
	l := newLab(t, routed, policy.Default()).talk(in[0], in[1], in[2], "c>PASS ")
	l.d.Resume(Client, false)
	l.talk("c>b\r\n", in[4], port)
	if l.open == nil {
		t.Error("the port is refused")
	}
}

func TestClientHasAnsweredOnlyBehindTheGreeting(t *testing.T) {
	l := newLab(t, routed, policy.Default())
	for _, c := range []struct {
		seg  string
		want bool
	}{{"c>USER a\r\n", false}, {"s>120 wait\r\n", false}, {in[0], false}, {"c>NOOP\r\n", true}} {
		if l.talk(c.seg); l.d.Answered() != c.want {
			t.Errorf("after %q: %v", c.seg, l.d.Answered())
		}
	}
}

func TestClearTextAfterCCCIsReadAgain(t *testing.T) {
	l := newLab(t, routed, policy.Default()).talk(in[0], "c>AUTH TLS\r\n", "s>234 go\r\n",
		"c>\x16\x03\x01\x00\x02aa", "s>\x16\x03\x03\x00\x02bb\x17\x03\x03\x00\x04PORT",
		"c>\x17\x03\x03\x00 \nPORT 10,0,13,222,39,136\r\n\x00\x00\x00\x00\x00\x00")
	if l.wantOpen(""); !l.d.Opaque() {
		t.Error("it is read")
	}
	l.talk("s>\x15\x03\x03\x00\x02xx", "c>\x15\x03\x03\x00\x02xx", "c>PASV\r\n",
		"s>227 (10,0,1,66,39,136)\r\n")
	l.wantOpen("10.0.13.222>10.0.1.66:10120=10.0.1.66:10120")
}

func TestIdleDialogueIsSmallAndALineWithoutEditAllocatesNothing(t *testing.T) {
	if n := unsafe.Sizeof(Dialogue{}); n > 200 {
		t.Errorf("a dialogue takes %d bytes", n)
	}
	l := newLab(t, snat, strictPolicy(policy.Strict{Enabled: true, Deny: []string{"SITE"}, ReadOnly: true,
		MaskBanner: true})).login()
	command, reply, half := []byte("NOOP\r\n"), []byte("200 ok\r\n"), []byte("ok\r\n")
	var g Gate = silent{}
	n := testing.AllocsPerRun(1000, func() {
		l.w.Begin(l.w.Now)
		l.d.Read(Client, command, g, &l.c, &l.w)
		l.d.Read(Server, reply[:4], g, &l.c, &l.w)
		l.d.Read(Server, half, g, &l.c, &l.w)
	})
	if n != 0 {
		t.Errorf("a command and its reply allocate %v times", n)
	}
}

// silent is a gate at which nothing happens.
type silent struct{}

func (silent) Open(Request) (uint16, policy.Reason) { return 0, policy.NoHelper }
func (silent) Swallow(Side, bool) bool              { return true }
func (silent) Shut(policy.Reason)                   {}
func (silent) Tell(Notice) policy.Reason            { return policy.None }
