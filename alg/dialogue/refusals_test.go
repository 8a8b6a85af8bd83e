package dialogue

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

func TestRefusedCommandsAreVisibleAtEveryCut(t *testing.T) {
	low := policy.Default()
	low.DenyPorts, low.MaxPort = []policy.PortRange{{First: 6000, Last: 6063}}, 50000
	for _, c := range []struct {
		send, arrives string
		fail, why     policy.Reason
	}{
		{"PORT 10,0,13,223,39,136\r\n", "PORT xxxxxxxxxxxxxxxxxx\r\n", 0, policy.ForeignAddress},
		{"PORT 127,0,0,1,4,0\r\n", "PORT xxxxxxxxxxxxx\r\n", 0, policy.ForeignAddress},
		{"PORT 10,0,13,222,0,22\r\n", "PORT xxxxxxxxxxxxxxxx\r\n", 0, policy.LowPort},
		{"PORT 10,0,13,222,23,112\r\n", "PORT xxxxxxxxxxxxxxxxxx\r\n", 0, policy.DeniedPort},
		{"EPRT |1|10.0.13.222|50001|\r\n", "EPRT xxxxxxxxxxxxxxxxxxxxx\r\n", 0, policy.HighPort},
		{"EPRT |2|2001:db8::1|4000|\r\n", "EPRT xxxxxxxxxxxxxxxxxxxx\r\n", 0, policy.WrongFamily},
		{"PORT 10,0,13,222,39,136\r\n", "PORT xxxxxxxxxxxxxxxxxx\r\n", policy.SessionLimit,
			policy.SessionLimit},
		{"EPRT |1|10.0.13.222|10120|\r\n", "EPRT xxxxxxxxxxxxxxxxxxxxx\r\n", policy.NoHelper,
			policy.NoHelper},
	} {
		for _, e := range []Endpoints{routed, snat} {
			for cut := 0; cut <= len(c.send); cut++ {
				l := newLab(t, e, low).login()
				l.fail = c.fail
				got := l.pieces(Client, c.send, cut)
				if cut == 0 {
					l.wantArrived(c.send, got, c.arrives)
				}
				verb, arg, _ := strings.Cut(strings.TrimRight(got, "\r\n"), " ")
				if _, ok := parseActive(ftp.ParseCommand([]byte(verb)).Verb, []byte(arg)); ok ||
					!strings.HasSuffix(got, "\n") {
					t.Errorf("%q cut at %d arrived as %q", c.send, cut, got)
				}
				l.wantRefused(c.send, c.why)
				l.wantOpen("")
			}
		}
	}
}

// clients read six numbers anywhere, or the port between three delimiters and one.
var clients = regexp.MustCompile(`^227.*\d+,\d+,\d+,\d+,\d*,\d*|^229.*\|\d+\|`)

func TestRefusedRepliesAreVisibleAtEveryCut(t *testing.T) {
	for _, c := range []struct {
		before    []string
		line      string
		fail, why policy.Reason
	}{
		{after("c>PASV\r\n"), "227 Passive (10,0,1,99,39,136).\r\n", 0, policy.ForeignAddress},
		{after("c>PASV\r\n"), "227 Passive mode #2 10,0,1,66,0,22\r\n", 0, policy.LowPort},
		{after("c>PASV\r\n"), "227 x (10,0,1,66,39,136) or (10,0,1,66,39,137)\r\n", policy.PinholeLimit,
			policy.PinholeLimit},
		{after("c>EPSV\r\n"), "229 Extended (|||10120|)\r\n", policy.TableFull, policy.TableFull},
		{after("c>EPSV\r\n"), "229 Extended (|||22|)\r\n", 0, policy.LowPort},
		{[]string{in[0], "c>PASV\r\n"}, "227 x (10,0,1,66,39,136)\r\n", 0, policy.NotLoggedIn},
		{[]string{"s>421 no\r\n", "c>EPSV\r\n"}, "229 x (|||10120|)\r\n", 0, policy.SessionOver},
		{[]string{"s>530 no\r\n", "c>EPSV\r\n"}, "229 x (|||10120|)\r\n", 0, policy.NotGreeted},
		{[]string{"c>EPSV\r\n"}, "229 x (|||10120|)\r\n", 0, policy.NotGreeted},
		{after("c>PASV\r\nAUTH TLS\r\n"), "227 x (10,0,1,66,39,136)\r\n", 0, policy.AuthPending},
	} {
		for _, e := range []Endpoints{routed, snat, dnat} {
			for cut := 0; cut <= len(c.line); cut++ {
				l := newLab(t, e, policy.Default()).talk(c.before...)
				l.fail = c.fail
				got := l.pieces(Server, c.line, cut)
				if clients.MatchString(got) || len(got) != len(c.line) || !strings.HasSuffix(got, "\r\n") {
					t.Errorf("%q cut at %d arrived as %q", c.line, cut, got)
				}
				if cut == 0 && !strings.HasPrefix(got, "425 ") {
					t.Errorf("%q arrived as %q", c.line, got)
				}
				l.wantRefused(fmt.Sprintf("%q cut at %d", c.line, cut), c.why)
				l.wantOpen("")
				l.wantArrived("what follows", l.s2c("200 next\r\n"), "200 next\r\n")
			}
		}
	}
}

// The command may have gone by unseen while no program ran.
func TestUnsolicitedReplyOpensNothingAndPassesAsItIs(t *testing.T) {
	line := "227 x (10,0,1,66,39,136)\r\n"
	for cut := 0; cut <= len(line); cut++ {
		l := newLab(t, dnat, policy.Default()).login()
		l.wantArrived(line, l.pieces(Server, line, cut), line)
		l.wantRefused(line, policy.Unsolicited)
		l.wantOpen("")
	}
}

func TestRefusedMultiLineReplyLosesItsAddress(t *testing.T) {
	l := newLab(t, dnat, policy.Default()).talk(after("c>PASV\r\n")...)
	got := l.s2c("227-hi\r\n227 x 10,0,1,99,39,136 or 10,0,1,66,39,136\r\n")
	l.wantArrived("the reply", got, "227-hi\r\n227 x "+strings.Repeat("x", 36)+"\r\n")
	l.wantRefused("the reply", policy.ForeignAddress)
}

func TestTextWithoutAddressDoesNoHarmAtAnyCut(t *testing.T) {
	long := "227 see 1 " + strings.Repeat("a", 600) + "\r\n"
	for _, line := range []string{"227 Logout.\r\n", "229 see page 7\r\n", "227\r\n",
		"227-x\r\n 227 (1,2,3,4,5,6)\r\n227 7 bye\r\n", "150 1,2,3\r\n"} {
		for cut := 0; cut <= len(line); cut++ {
			l := newLab(t, dnat, policy.Default()).login()
			l.wantArrived(line, l.pieces(Server, line, cut), line)
			l.wantRefused(line)
		}
	}
	for cut := 1; cut <= len(long); cut++ {
		l := newLab(t, dnat, policy.Default()).login()
		got := l.pieces(Server, long, cut)
		if !strings.HasPrefix(got, "227 see ") || !strings.HasSuffix(got, "\r\n") ||
			clients.MatchString(got) { // what was swallowed of it is left out
			t.Errorf("cut at %d it arrived as %q", cut, got)
		}
		l.wantArrived("what follows", l.s2c("200 ok\r\n"), "200 ok\r\n")
	}
}

func TestRatesRefuseTheWholeCommandVisibly(t *testing.T) {
	for verb, line := range map[ftp.Verb]string{ftp.Pass: "PASS x\r\n", ftp.Other: "NOOP\r\n",
		ftp.Port: "PORT 10,0,13,222,39,136\r\n"} {
		for cut := 0; cut <= len(line); cut++ {
			l := newLab(t, routed, policy.Default()).login()
			l.refer[verb] = policy.CommandRate
			got := l.pieces(Client, line, cut)
			if cut == 0 {
				l.wantArrived(line, got, "xxxx"+line[4:])
			} else if verb != ftp.Port && !strings.Contains(got, strings.Repeat("x", 256)) ||
				verb == ftp.Port && got != "PORT xxxxxxxxxxxxxxxxxx\r\n" { // it waits, and is judged whole
				t.Errorf("%q cut at %d arrived as %q", line, cut, got)
			}
			l.wantRefused(line, policy.CommandRate)
			l.wantOpen("")
		}
	}
}

func TestFailedLoginIsTold(t *testing.T) {
	for _, c := range []struct {
		segs []string
		want int
	}{
		{append(in[:4:4], "s>530 no\r\n"), 1},
		{append(in[:2:2], "s>530 no\r\n"), 1},
		{in, 0},
		{after("c>SIZE a\r\n", "s>530 no\r\n"), 0},
	} {
		l, n := newLab(t, routed, policy.Default()).talk(c.segs...), 0
		for _, k := range l.note {
			if k == LoginFailed {
				n++
			}
		}
		if n != c.want {
			t.Errorf("%q: told %d times, want %d", c.segs, n, c.want)
		}
	}
}

func TestCommandSmuggledInBehindALongLineOpensNothing(t *testing.T) {
	for _, n := range []int{1, 507, 508, 600} {
		line := "CWD " + strings.Repeat("a", n) + "\nPORT 10,0,13,222,39,136\r\n"
		for cut := 0; cut <= len(line); cut++ {
			l := newLab(t, routed, policy.Default()).login()
			l.pieces(Client, line, cut)
			l.wantRefused(fmt.Sprintf("%d bytes cut at %d", n, cut), policy.MixedLineEnds)
			l.wantOpen("")
		}
	}
}

func TestLineThatMayNotBeKeptBackKeepsItsLength(t *testing.T) {
	for _, c := range []struct {
		from   Side
		before []string
		line   string
		why    policy.Reason
		asks   bool
	}{
		{Client, in, "PORT 10,0,13,222,39,136\r\n", policy.NoHelper, true},
		{Client, after("c>NOOP\r\n"), "PORT 10,0,13,222,39,136\r\n", policy.NoHelper, false},
		{Client, in[:1], "EPRT |1|10.0.13.222|10120|\r\n", policy.NotLoggedIn, false},
		{Server, after("c>PASV\r\n"), "227 x (10,0,1,66,39,136)\r\n", policy.NoHelper, true},
		{Server, after("c>PASV\r\nNOOP\r\n"), "227 x (10,0,1,66,39,136)\r\n", policy.NoHelper, false},
		{Server, after("c>EPSV\r\n"), "229 x (|||10120|)\r\n", policy.NoHelper, true},
	} {
		for cut := 1; cut <= len(c.line); cut++ {
			l := newLab(t, snat, policy.Default()).talk(c.before...)
			l.bar = true
			got := ""
			for _, piece := range piecesOf(c.line, cut) {
				at := l.send(c.from, piece)
				if got += at; len(at) != len(piece) {
					t.Errorf("%q cut at %d: %q became %q", c.line, cut, piece, at)
				}
			}
			if name := c.line[:4]; !strings.HasPrefix(got, name) || !strings.HasSuffix(got, "\r\n") ||
				strings.ContainsAny(got[4:], "0123456789") {
				t.Errorf("%q cut at %d arrived as %q", c.line, cut, got)
			}
			l.wantRefused(fmt.Sprintf("%q cut at %d", c.line, cut), c.why)
			l.wantOpen("")
			if fmt.Sprint(l.asks) != fmt.Sprint([]bool{c.asks}) {
				t.Errorf("%q cut at %d: it asks for a door: %v", c.line, cut, l.asks)
			}
		}
	}
}
