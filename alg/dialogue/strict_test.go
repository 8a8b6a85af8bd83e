package dialogue

import (
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
)

func TestRulesRefuseWholeLinesByTheirVerbAndPiecesByTheirTail(t *testing.T) {
	for _, c := range []struct {
		rule      policy.Strict
		bad, good string
		why       policy.Reason
	}{
		{policy.Strict{Deny: []string{"SITE"}}, "SITE CHMOD 777 a\r\n", "SIZE a\r\n", policy.CommandDenied},
		{policy.Strict{Deny: []string{"DELE"}}, "DE\xff\xf1LE a\r\n", "NOOP\r\n", policy.CommandDenied},
		{policy.Strict{Allow: []string{"RETR", "NOOP"}}, "STOR a\r\n", "RETR a\r\n", policy.CommandDenied},
		{policy.Strict{ReadOnly: true}, "stou\r\n", "list\r\n", policy.ReadOnly},
		{policy.Strict{MaxLine: 510}, "RETR " + strings.Repeat("a", 506) + "\r\n",
			"RETR " + strings.Repeat("a", 505) + "\r\n", policy.OverMaxLine},
		{policy.Strict{NeedCRLF: true}, "CWD a\rDELE b\r\n", "CWD a\r\n", policy.NoCRLF},
		{policy.Strict{Direction: true}, "227 x (10,0,13,222,39,136)\r\n", "226 x\r\n",
			policy.WrongDirection},
		{policy.Strict{MaxTrailing: 8}, "EPRT |1|10.0.13.222|10120|123456789\r\n",
			"EPRT |1|10.0.13.222|10120|12345678\r\n", policy.TrailingText},
		{policy.Strict{DenyFiles: patterns(`\.exe$`)}, "RNTO a.e\xff\xf1xe\r\n", "RNTO a.exe2\r\n",
			policy.FileDenied},
		{policy.Strict{DenyUsers: patterns(`^(?i:anonymous)$`)}, "USER Anonymous\r\n",
			"USER anonymous2\r\n", policy.UserDenied},
		{policy.Strict{Enabled: true}, "RETR " + strings.Repeat("a", 600) + "\r\n", "RETR a\r\n",
			policy.OverMaxLine},
	} {
		for cut := 0; cut <= len(c.bad); cut++ {
			l := newLab(t, routed, policy.Default()).login()
			p := strictPolicy(c.rule.Whole())
			l.d.SetPolicy(&p)
			got := l.pieces(Client, c.bad, cut)
			spoilt := strings.HasPrefix(got, "xxx")
			if cut > 0 { // a PORT or EPRT waits, and is judged whole
				spoilt = strings.Contains(got, strings.Repeat("x", 256)) || got == "EPRT "+
					strings.Repeat("x", len(c.bad)-len("EPRT \r\n"))+"\r\n"
			}
			if !spoilt {
				t.Errorf("%.40q cut at %d arrived as %.40q", c.bad, cut, got)
			}
			l.wantRefused(c.bad, c.why)
			l = newLab(t, routed, policy.Default()).login()
			l.d.SetPolicy(&p)
			got = l.pieces(Client, c.good, min(cut, len(c.good)))
			if c.rule.MaxTrailing == 0 { // what stands behind a port is the standard policy's
				l.wantArrived(c.good, got, c.good)
			}
			for _, why := range l.said {
				if why.Strict() {
					t.Errorf("%q: refused because of %v", c.good, why)
				}
			}
		}
	}
}

func TestCommandMustWaitForTheReplyButABORNeverAndNothingForWhatItCutsShort(t *testing.T) {
	for _, c := range []struct {
		name  string
		segs  []string
		first Reasons
	}{
		{"two at once", []string{"c>TYPE I\r\nNOOP\r\n"}, Reasons{policy.ReplyAwaited}},
		{"one after the other", []string{"c>TYPE I\r\n", "s>200 ok\r\n", "c>NOOP\r\n"}, nil},
		{"ABOR in a transfer", []string{"c>RETR a\r\n", "s>150 x\r\n", "c>ABOR\r\n",
			"s>426 cut\r\n226 done\r\n", "c>QUIT\r\n"}, nil},
		{"QUIT behind it", []string{"c>RETR a\r\n", "s>150 x\r\n", "c>ABOR\r\nQUIT\r\n"}, nil},
		{"QUIT between its replies", []string{"c>RETR a\r\n", "s>150 x\r\n", "c>ABOR\r\n", "s>426 cut\r\n",
			"c>QUIT\r\n"}, nil},
		{"STAT and QUIT in a transfer", []string{"c>RETR a\r\n", "s>150 x\r\n", "c>STAT\r\n", "c>QUIT\r\n"},
			nil},
		{"QUIT while NOOP waits", []string{"c>NOOP\r\n", "c>QUIT\r\n"}, Reasons{policy.ReplyAwaited}},
		{"ABOR while PASV waits", []string{"c>PASV\r\n", "c>abor\r\n"}, nil},
		{"one reply to both", []string{"c>RETR a\r\n", "c>ABOR\r\n", "s>226 done\r\n", "c>NOOP\r\n",
			"s>200 x\r\n", "c>NOOP\r\n", "s>200 x\r\n", "c>CWD a\r\n"}, nil},
		{"three at once behind ABOR", []string{"c>RETR a\r\n", "c>ABOR\r\nNOOP\r\nNOOP\r\nNOOP\r\n"},
			Reasons{policy.ReplyAwaited}},
		{"all are answered, then two at once", []string{"c>RETR a\r\n", "c>ABOR\r\n",
			"s>426 a\r\n226 b\r\n", "c>NOOP\r\nNOOP\r\n"}, Reasons{policy.ReplyAwaited}},
	} {
		l := newLab(t, routed, strictPolicy(policy.Strict{WaitForReply: true})).login().talk(c.segs...)
		l.wantRefused(c.name, c.first...)
	}
}

func TestOneReplyAtMostIsTakenForTheGreeting(t *testing.T) {
	dialogue := []string{"c>EPSV\r\n", "s>502 no\r\n", "c>PASV\r\n", "s>502 no\r\n", "c>QUIT\r\n"}
	for _, greeting := range []string{"s>220 hi\r\n", "s>230 welcome\r\n", "s>200 hello\r\n"} {
		l := newLab(t, routed, strictPolicy(policy.Strict{WaitForReply: true})).talk(greeting)
		l.talk(dialogue...)
		l.wantRefused(greeting)
	}
	l := newLab(t, routed, strictPolicy(policy.Strict{WaitForReply: true})).restart()
	l.talk("s>226 done\r\n").talk(dialogue...)
	l.wantRefused("picked up in the middle")
}

// Reasons are those of several lines.
type Reasons = []policy.Reason

func TestMasks(t *testing.T) {
	both := policy.Strict{MaskBanner: true, MaskSYST: true}
	for sent, want := range map[string]string{
		"220 vsFTPd 3.0\r\n": "220 XXXXXXXXXX\r\n",
		"220-Pure\r\n\r\n 2 at\r\n220-b\r\n227 (1,2,3,4,5,6)\n220 end\r\n": "" +
			"220-XXXX\r\n\r\nXXXXX\r\n220-X\r\n22XXXXXXXXXXXXXXX\n220 XXX\r\n",
		"211-215 a\r\n220 b\r\n211 c\r\n": "211-215 a\r\n220 b\r\n211 c\r\n",
		"2200 a\r\n":                      "2200 a\r\n",
	} {
		for cut := 0; cut <= len(sent); cut++ {
			got := newLab(t, routed, strictPolicy(both)).pieces(Server, sent, cut)
			// Digits that may still become the code of the last line pass.
			if got != want && strings.ReplaceAll(got, " 2X", " XX") != want {
				t.Errorf("%q cut at %d arrived as %q, want %q", sent, cut, got, want)
			}
		}
	}
}

func TestForeignLineIsNoWayAroundTheStrictPolicy(t *testing.T) {
	get := "GET / HTTP/1.1\r\n"
	for cut := range get {
		l := newLab(t, routed, strictPolicy(policy.Strict{ReadOnly: true})).talk(in[0])
		l.pieces(Client, get, cut)
		l.talk("s>500 what\r\n", "c>USER joe\r\n", "s>230 in\r\n")
		l.wantArrived("DELE", l.c2s("DELE a\r\n"), "xxxx a\r\n")
		l.talk("s>500 what\r\n", port)
		l.wantRefused("all", policy.NotFTP, policy.ReadOnly, policy.SessionOver)
	}
}

func TestRuleWithResetBreaksTheConnectionAndEndsTheLogin(t *testing.T) {
	l := newLab(t, routed, strictPolicy(policy.Strict{Reset: true,
		ReadOnly: true})).login().talk("c>NOOP\r\nDELE a\r\nNOOP\r\n")
	if !l.w.Reset || !l.d.Over() || l.d.Memory()&LoggedIn != 0 {
		t.Errorf("reset %v, over %v, remembered %x", l.w.Reset, l.d.Over(), l.d.Memory())
	}
	if l.talk("c>NOOP\r\n"); l.w.Reset {
		t.Error("every packet is a reset")
	}
}

// The command that waited for its reply may have been lost, and comes again: then one reply never comes.
func TestCommandThatIsRepeatedAfterARestartDeniesNothingForEver(t *testing.T) {
	rule := strictPolicy(policy.Strict{WaitForReply: true})
	l := newLab(t, routed, rule).login().talk("c>PASV\r\n").restart()
	l.talk("c>PASV\r\n", "s>227 Entering Passive Mode (10,0,1,66,78,38).\r\n", "c>NOOP\r\n", "s>200 ok\r\n",
		"c>NOOP\r\n", "s>200 ok\r\n")
	if len(l.said) > 0 {
		t.Errorf("refused: %v", l.said)
	}
	l = newLab(t, routed, rule).login()
	l.d.Lost(Client)
	if l.talk("c>OP\r\n", "c>NOOP\r\n", "s>200 ok\r\n", "c>NOOP\r\n"); len(l.said) > 0 {
		t.Errorf("behind a line that nobody read refused: %v", l.said)
	}
}
