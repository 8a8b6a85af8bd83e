package alg

import (
	"github.com/ftpalg/ftpalg/alg/policy"
	"regexp"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

func strictPolicy(r policy.Strict) policy.Policy {
	p := policy.Default()
	p.Strict = r
	return p
}

func patterns(exprs ...string) []*regexp.Regexp {
	var list []*regexp.Regexp
	for _, e := range exprs {
		list = append(list, regexp.MustCompile(e))
	}
	return list
}

func (d *talk) wantRefused(what string, want ...policy.Reason) {
	d.t.Helper()
	if len(d.refuse) != len(want) {
		d.t.Errorf("%q: refused because of %v, want %v", what, d.refuse, want)
		return
	}
	for i, why := range want {
		if d.refuse[i] != why || d.g.Stats.Refused[why].Load() == 0 {
			d.t.Errorf("%q: refused because of %v, want %v, counted", what, d.refuse, want)
		}
	}
}

func (d *talk) wantNoStrictRefusal(what string) {
	d.t.Helper()
	for _, why := range d.refuse {
		if why.Strict() {
			d.t.Errorf("%q: refused because of %v", what, why)
		}
	}
}

const portLine1 = "PORT 10,0,13,222,39,136"

// commandRules has, for each rule, a line that breaks it and one much like it that does not.
var commandRules = []struct {
	rule policy.Strict
	bad  string
	good string
	why  policy.Reason
}{
	{policy.Strict{Deny: []string{"SITE"}}, "SITE CHMOD 777 a\r\n", "SIZE a\r\n", policy.CommandDenied},
	{policy.Strict{Deny: []string{"SITE"}}, "site\r\n", "SITES\r\n", policy.CommandDenied},
	{policy.Strict{Deny: []string{"DELE"}}, "DE\xff\xf1LE a\r\n", "NOOP\r\n", policy.CommandDenied},
	{policy.Strict{Allow: []string{"RETR", "NOOP"}}, "STOR a\r\n", "RETR a\r\n", policy.CommandDenied},
	{policy.Strict{Allow: []string{"RETR", "NOOP"}}, "QUIT\r\n", "noop\r\n", policy.CommandDenied},
	{policy.Strict{ReadOnly: true}, "DELE a\r\n", "RETR a\r\n", policy.ReadOnly},
	{policy.Strict{ReadOnly: true}, "stou\r\n", "list\r\n", policy.ReadOnly},
	{policy.Strict{MaxLine: 10}, "RETR 123456\r\n", "RETR 12345\r\n", policy.OverMaxLine},
	{policy.Strict{MaxLine: 510}, "RETR " + strings.Repeat("a", 506) + "\r\n",
		"RETR " + strings.Repeat("a", 505) + "\r\n", policy.OverMaxLine},
	{policy.Strict{NeedCRLF: true}, "RETR a\n", "RETR a\r\n", policy.NoCRLF},
	{policy.Strict{NeedCRLF: true}, "CWD a\rDELE b\r\n", "CWD a\r\n", policy.NoCRLF},
	{policy.Strict{NeedCRLF: true}, portLine1 + "\n", portLine1 + "\r\n", policy.NoCRLF},
	{policy.Strict{NeedCRLF: true}, "PWD\n", "PWD\r\n", policy.NoCRLF},
	{policy.Strict{Direction: true}, "227 Entering Passive Mode (10,0,13,222,39,136)\r\n",
		"226 x (10,0,13,222,39,136)\r\n", policy.WrongDirection},
	{policy.Strict{Direction: true}, "229-x (|||10120|)\r\n", "2290 x (|||10120|)\r\n",
		policy.WrongDirection},
	{policy.Strict{MaxTrailing: 8}, portLine1 + " 12345678\r\n", portLine1 + " 1234567\r\n",
		policy.TrailingText},
	{policy.Strict{MaxTrailing: 8}, "EPRT |1|10.0.13.222|10120|123456789\r\n",
		"EPRT |1|10.0.13.222|10120|12345678\r\n", policy.TrailingText},
	{policy.Strict{MaxTrailing: 1}, "PORT 10, 0,13,222,39,136,1\r\n", "PORT 10, 0, 13,222,39,136\r\n",
		policy.TrailingText},
	{policy.Strict{DenyFiles: patterns(`\.exe$`, `^/etc/`)}, "RETR a.exe\r\n", "RETR a.exe.txt\r\n",
		policy.FileDenied},
	{policy.Strict{DenyFiles: patterns(`\.exe$`, `^/etc/`)}, "MDTM  /etc/x \r\n", "SIZE etc/x\r\n",
		policy.FileDenied},
	{policy.Strict{DenyFiles: patterns(`\.exe$`)}, "RNTO a.e\xff\xf1xe\r\n", "RNTO a.e\xff\xffxe\r\n",
		policy.FileDenied},
	{policy.Strict{DenyFiles: patterns(`^x$`)}, "MKD x\r\n", "TYPE x\r\n", policy.FileDenied},
	{policy.Strict{DenyUsers: patterns(`^(?i:anonymous|ftp)$`)}, "USER Anonymous\r\n", "USER anonymous2\r\n",
		policy.UserDenied},
	{policy.Strict{Enabled: true}, portLine1 + "\n", portLine1 + "\r\n", policy.NoCRLF},
	{policy.Strict{Enabled: true}, "RETR " + strings.Repeat("a", 600) + "\r\n", "RETR a\r\n",
		policy.OverMaxLine},
	{policy.Strict{Enabled: true}, "227 x\r\n", "XYZ x\r\n", policy.WrongDirection},
	{policy.Strict{Enabled: true}, portLine1 + " and so on\r\n", portLine1 + "\r\n", policy.TrailingText},
}

func TestStrictRulesRefuseWhatBreaksThemAndNothingElse(t *testing.T) {
	for _, c := range commandRules {
		d := newTalk(t, firewallFlow(), strictPolicy(c.rule))
		d.s("220 ready\r\n")
		d.c("USER joe\r\n")
		d.s("331 password\r\n230 in\r\n")
		d.refuse = nil // some rules forbid USER
		got := d.c(c.bad)
		verb := len(c.bad) - len(strings.TrimLeft(c.bad, "x"))
		if len(got) != len(c.bad) || got[verb:verb+3] != "xxx" ||
			!strings.HasSuffix(c.bad, strings.TrimLeft(got, "x")) {
			t.Errorf("%q arrived as %q", c.bad, got)
		}
		d.wantRefused(c.bad, c.why)
		d.wantOpen()

		d = newTalk(t, firewallFlow(), strictPolicy(c.rule)).loginAs(c.rule)
		d.wantArrived(c.good, d.c(c.good), c.good)
		d.wantNoStrictRefusal(c.good)
		d = newTalk(t, firewallFlow(), policy.Default()).login()
		d.wantArrived("with the rule off "+c.bad, d.c(c.bad), c.bad)
	}
}

// loginAs logs in where the rules may forbid the commands for it.
func (d *talk) loginAs(r policy.Strict) *talk {
	d.t.Helper()
	d.g.SetPolicy(policy.Default())
	d.login()
	d.g.SetPolicy(strictPolicy(r))
	return d
}

// What a server gets of a line in pieces must be nothing that it obeys: a whole refusal, a verb or
// a name that is too long, or a PORT without a port.
func TestStrictRulesHoldForLinesInPieces(t *testing.T) {
	for _, f := range []conntrack.Flow{firewallFlow(), snatFlow()} {
		for _, c := range commandRules {
			for cut := 1; cut <= len(c.bad); cut++ { // len: byte by byte
				d := newTalk(t, f, strictPolicy(c.rule)).loginAs(c.rule)
				got := d.inPieces(toServer, c.bad, cut)
				// a packet never grows beyond what paths carry: the rest goes with the repetition
				for range 2 {
					had, last := len(d.got[toServer]), c.bad[len(c.bad)-1:]
					d.packet(toServer, d.seq[toServer]-1, rewrite.PSH, []byte(last))
					got += string(d.got[toServer][had:])
				}
				early := regexp.MustCompile(`^(PORT|EPRT) x+\r?\n$`).MatchString(got)
				if !early && !strings.Contains(got, strings.Repeat("x", 256)) ||
					!strings.HasSuffix(got, "\n") {
					t.Errorf("%.60q cut at %d arrived as %q", c.bad, cut, got)
				}
				d.wantRefused(c.bad, c.why)
				d.wantOpen()
				if why := d.s("500 no\r\n"); why != "500 no\r\n" {
					t.Errorf("the answer arrived as %q", why)
				}
				if f.SNAT && strings.HasPrefix(c.good, "PORT") {
					continue
				}
				d = newTalk(t, f, strictPolicy(c.rule)).loginAs(c.rule)
				got = d.inPieces(toServer, c.good, min(cut, len(c.good)))
				// what stands behind a port is the standard policy's
				if got != c.good && c.rule.MaxTrailing == 0 {
					t.Errorf("%.60q cut at %d arrived as %q", c.good, cut, got)
				}
				d.wantNoStrictRefusal(c.good)
			}
		}
	}
}

// inPieces sends a text in two segments, or byte by byte if cut is its length.
func (d *talk) inPieces(dir conntrack.Dir, text string, cut int) string {
	d.t.Helper()
	if cut < len(text) {
		return d.send(dir, text[:cut]) + d.send(dir, text[cut:])
	}
	var got string
	for i := range text {
		got += d.send(dir, text[i:i+1])
	}
	return got
}

func TestCommandMustWaitForTheReply(t *testing.T) {
	rule := strictPolicy(policy.Strict{WaitForReply: true})
	d := newTalk(t, snatFlow(), rule).login()
	d.wantArrived("the segment", d.c("TYPE I\r\n"+portLine1+"\r\n"), "TYPE I\r\nxxxx 10,0,13,222,39,136\r\n")
	d.wantRefused("PORT", policy.ReplyAwaited)
	d.wantOpen()
	d.s("200 ok\r\n")
	d.c("NOOP\r\n") // the refused one waits too
	d.wantRefused("NOOP", policy.ReplyAwaited, policy.ReplyAwaited)
	d.s("500 what\r\n500 what\r\n")
	d.wantArrived("PORT", d.c(portLine1+"\r\n"), "PORT 203,0,113,77,39,136\r\n")
	d.s("200 ok\r\n")
	d.c("RETR a\r\n")
	d.s("150 here\r\n")
	d.wantArrived("ABOR", d.c("ABOR\r\n"), "ABOR\r\n") // as RFC 959 has it
	d.s("426 cut\r\n226 done\r\n")
	d.wantArrived("QUIT", d.c("QUIT\r\n"), "QUIT\r\n")
	d.wantRefused("the rest", policy.ReplyAwaited, policy.ReplyAwaited)

	d = newTalk(t, snatFlow(), policy.Default()).login()
	d.wantArrived("the segment", d.c("TYPE I\r\nNOOP\r\n"), "TYPE I\r\nNOOP\r\n")
}

func TestNothingOpensAfterALineThatTheOtherSideShouldSend(t *testing.T) {
	for _, c := range []struct {
		rule  policy.Strict
		seg   string
		opens bool
	}{
		{policy.Strict{Direction: true}, "s>PORT 10,0,1,66,39,136\r\n", false},
		{policy.Strict{Direction: true}, "s>EPRT |1|10.0.1.66|10120|\r\n", false},
		{policy.Strict{Direction: true}, "c>227 x (10,0,13,222,39,136)\r\n", false},
		{policy.Strict{Enabled: true}, "s>PORT 10,0,1,66,39,136\r\n", false},
		{policy.Strict{}, "s>PORT 10,0,1,66,39,136\r\n", true},
		{policy.Strict{Direction: true}, "s>200 PORT 10,0,1,66,39,136\r\n", true},
		{policy.Strict{Direction: true}, "s>214-\r\n PORT EPRT\r\nPORT a\r\n214 end\r\n", true},
		{policy.Strict{Direction: true}, "c>RETR 227 x\r\n", true},
	} {
		d := newTalk(t, firewallFlow(), strictPolicy(c.rule)).login()
		d.c(portLine1 + "\r\n")
		d.s("200 ok\r\n")
		d.segments(c.seg)
		if (len(d.k.expects) == 1) != c.opens {
			t.Errorf("after %q open is %v", c.seg, d.k.expects)
		}
		if c.opens {
			d.wantRefused(c.seg)
			continue
		}
		d.wantRefused(c.seg, policy.WrongDirection)
		d.s("500 what\r\n")
		d.c(portLine1 + "\r\n")
		d.wantRefused(c.seg, policy.WrongDirection, policy.SessionOver)
		d.s("501 no\r\n")
		d.restart()
		d.c(portLine1 + "\r\n")
		d.wantOpen()
	}
}

func TestMasks(t *testing.T) {
	both := policy.Strict{MaskBanner: true, MaskSYST: true}
	long := strings.Repeat("a", 600)
	for _, c := range []struct {
		rule       policy.Strict
		sent, want string
	}{
		{both, "220 vsFTPd 3.0\r\n", "220 XXXXXXXXXX\r\n"},
		{both, "220\r\n", "220\r\n"},
		{both, "220 " + long + "\r\n", "220 " + strings.Repeat("X", 600) + "\r\n"},
		{both, "220-Pure\r\n\r\n 2 at\r\n220-b\r\n227 (1,2,3,4,5,6)\n220 end\r\n",
			"220-XXXX\r\n\r\nXXXXX\r\n220-X\r\n22XXXXXXXXXXXXXXX\n220 XXX\r\n"},
		{both, "215 UNIX Type: L8\r\n", "215 XXXXXXXXXXXXX\r\n"},
		{both, "211-215 a\r\n220 b\r\n211 c\r\n", "211-215 a\r\n220 b\r\n211 c\r\n"},
		{both, "2200 a\r\n", "2200 a\r\n"},
		{policy.Strict{MaskSYST: true}, "220 a\r\n", "220 a\r\n"},
		{policy.Strict{MaskBanner: true}, "215 a\r\n", "215 a\r\n"},
		{policy.Strict{Enabled: true}, "215 a\r\n", "215 X\r\n"},
		{policy.Strict{Enabled: true}, "220 a\r\n", "220 a\r\n"},
		{policy.Strict{}, "220 a\r\n215 b\r\n", "220 a\r\n215 b\r\n"},
	} {
		p := strictPolicy(c.rule)
		d := newTalk(t, firewallFlow(), p)
		d.wantArrived(c.sent, d.s(c.sent), c.want)
		for cut := 1; cut <= len(c.sent); cut++ {
			d := newTalk(t, firewallFlow(), p)
			got := d.inPieces(toClient, c.sent, cut)
			// Digits that may still become the code of the last line pass.
			if got != c.want && strings.ReplaceAll(got, " 2X", " XX") != c.want {
				t.Errorf("%q cut at %d arrived as %q, want %q", c.sent, cut, got, c.want)
			}
		}
	}
	d := newTalk(t, firewallFlow(), strictPolicy(both))
	d.s("220-a\r\n b\r\n")
	d.s("220 c\r")
	d.s("\n")
	d.c("SYST\r\n")
	d.s("215 d\r\n")
	if banner, syst := d.g.Stats.Masked[0].Load(), d.g.Stats.Masked[1].Load(); banner != 3 || syst != 1 {
		t.Errorf("%d lines of the banner and %d of the reply to SYST are counted, want 3 and 1", banner, syst)
	}
	d = newTalk(t, firewallFlow(), strictPolicy(both)).login()
	d.c(portLine1 + "\r\n")
	d.wantOpen("10.0.1.66>10.0.13.222:10120=10.0.13.222:10120")
}

func TestForeignLineIsNoWayAroundTheStrictPolicy(t *testing.T) {
	for cut := range len("GET / HTTP/1.1\r\n") {
		d := newTalk(t, firewallFlow(), strictPolicy(policy.Strict{ReadOnly: true}))
		d.s("220 ready\r\n")
		get := "GET / HTTP/1.1\r\n"
		d.c(get[:cut])
		d.c(get[cut:])
		d.wantRefused(get, policy.NotFTP)
		d.s("500 what\r\n")
		d.c("USER joe\r\n")
		d.s("230 in\r\n")
		d.wantArrived("DELE", d.c("DELE a\r\n"), "xxxx a\r\n")
		d.s("500 what\r\n")
		d.c(portLine1 + "\r\n")
		d.wantRefused("PORT", policy.NotFTP, policy.ReadOnly, policy.SessionOver)
		d.wantOpen()
	}
	d := newTalk(t, firewallFlow(), strictPolicy(policy.Strict{ReadOnly: true}))
	d.s("220 ready\r\n")
	d.inPieces(toServer, "GET /"+strings.Repeat("a", 600)+" HTTP/1.1\r\n", 300)
	d.wantRefused("a long line", policy.NotFTP)
}

func TestResetTakesThePlaceOfTheViolation(t *testing.T) {
	for _, c := range []struct {
		rule  policy.Strict
		dir   conntrack.Dir
		line  string
		reset bool
	}{
		{policy.Strict{Reset: true, ReadOnly: true}, toServer, "DELE a\r\n", true},
		{policy.Strict{Reset: true, ReadOnly: true}, toServer, "NOOP\r\nDELE a\r\n", true},
		{policy.Strict{Reset: true, ReadOnly: true}, toServer, "RETR a\r\n", false},
		{policy.Strict{Reset: true, Direction: true}, toClient, "PORT 1,2,3,4,5,6\r\n", true},
		// refused, but not by a strict rule
		{policy.Strict{Reset: true}, toServer, "PORT 1,2,3,4,5,6\r\n", false},
		{policy.Strict{ReadOnly: true}, toServer, "DELE a\r\n", false},
	} {
		d := newTalk(t, snatFlow(), strictPolicy(c.rule)).login()
		d.c(portLine1 + "\r\n") // from here on the numbers differ
		d.s("200 ok\r\n")
		want := d.rcv
		pkt := tcpPacket(d.k.flow.Tuple[c.dir], d.seq[c.dir], d.ackOf(c.dir), rewrite.PSH|rewrite.ACK,
			[]byte(c.line))
		v, out := d.g.Handle(d.now, 99, pkt, false)
		if v == Accept {
			out = pkt
		}
		var p rewrite.Packet
		if !p.Parse(out) || !p.ChecksumOK() {
			t.Fatalf("%q became % x", c.line, out)
		}
		if got := p.Flags()&rewrite.RST != 0; got != c.reset {
			t.Errorf("%q: flags %#x", c.line, p.Flags())
		}
		if !c.reset {
			continue
		}
		seq := adjusted(d.k.flow.Seq[c.dir], p.Seq())
		if v != Rewrite || p.Flags() != rewrite.RST|rewrite.ACK || len(p.Payload()) != 0 ||
			seq != want[c.dir] {
			t.Errorf("%q: verdict %v, flags %#x, payload %q, number %d, want %d", c.line, v, p.Flags(),
				p.Payload(), seq, want[c.dir])
		}
		d.wantOpen()
		// Its repetition is refused as without a reset.
		if got := d.send(c.dir, c.line); c.dir == toServer && !strings.Contains(got, "xxxx a\r\n") {
			t.Errorf("%q came again and arrived as %q", c.line, got)
		}
	}
}

func TestStrictRulesAllocateNothing(t *testing.T) {
	s := newSteady(t)
	s.d.g.SetPolicy(strictPolicy(policy.Strict{
		Enabled: true, Deny: []string{"SITE"}, ReadOnly: true, MaskBanner: true,
		DenyFiles: patterns(`\.exe$`), DenyUsers: patterns(`^ftp$`),
	}))
	pkt, answer := s.packets()
	if n := testing.AllocsPerRun(1000, func() { s.noop(pkt, answer) }); n != 0 {
		t.Errorf("a command and its reply allocate %v times", n)
	}
}
