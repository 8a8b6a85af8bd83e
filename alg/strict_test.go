package alg

import (
	"regexp"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
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
