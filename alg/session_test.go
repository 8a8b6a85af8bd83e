package alg

import (
	"fmt"
	"github.com/ftpalg/ftpalg/alg/policy"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

func (d *talk) wantArrived(what, got, want string) {
	d.t.Helper()
	if got != want {
		d.t.Errorf("%s arrived as %q, want %q", what, got, want)
	}
}

func (d *talk) wantOpen(want ...string) {
	d.t.Helper()
	var have []string
	for _, e := range d.k.expects {
		have = append(have, fmt.Sprintf("%v>%v=%v", e.Src, e.Dst, e.Target))
	}
	if strings.Join(have, " ") != strings.Join(want, " ") {
		d.t.Errorf("open is %q, want %q (refused: %v)", have, want, d.refuse)
	}
}

func TestSeedExampleOpensExactlyThePortNamed(t *testing.T) {
	d := newTalk(t, firewallFlow(), policy.Default()).login()
	d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,136\r\n"), "PORT 10,0,13,222,39,136\r\n")
	d.wantOpen("10.0.1.66>10.0.13.222:10120=10.0.13.222:10120")
	d.s("200 ok\r\n")
	d.c("PASV\r\n")
	d.wantArrived("227", d.s("227 Entering Passive Mode (10,0,1,66,39,136).\r\n"),
		"227 Entering Passive Mode (10,0,1,66,39,136).\r\n")
	d.wantOpen("10.0.13.222>10.0.1.66:10120=10.0.1.66:10120")
}

func TestActiveBehindSourceNATNamesTheOutsideAddress(t *testing.T) {
	for _, c := range []struct{ sent, arrives string }{
		{"PORT 10,0,13,222,39,136\r\n", "PORT 203,0,113,77,39,136\r\n"},
		{"port 10,0,13,222,39,136\n", "port 203,0,113,77,39,136\n"},
		{"EPRT |1|10.0.13.222|10120|\r\n", "EPRT |1|203.0.113.77|10120|\r\n"},
		{"eprt !1!10.0.13.222!10120! \r\n", "eprt !1!203.0.113.77!10120! \r\n"},
		{"\xff\xf4\xff\xf2PORT  10,0,13,222,39,136\t\r\n", "\xff\xf4\xff\xf2PORT  203,0,113,77,39,136\t\r\n"},
	} {
		d := newTalk(t, snatFlow(), policy.Default()).login()
		d.wantArrived(c.sent, d.c(c.sent), c.arrives)
		d.wantOpen("10.0.1.66>203.0.113.77:10120=10.0.13.222:10120")
		d.wantArrived("what follows", d.c("NOOP\r\n"), "NOOP\r\n")
	}
}

func TestPassiveBehindDestinationNATNamesTheDialledAddress(t *testing.T) {
	for _, c := range []struct{ ask, sent, arrives string }{
		{"PASV\r\n", "227 Entering Passive Mode (10,0,1,66,39,136).\r\n",
			"227 Entering Passive Mode (198,51,100,1,39,136).\r\n"},
		{"PASV\r\n", "227 Entering Passive Mode. 0,0,0,0,39,136\r\n",
			"227 Entering Passive Mode. 198,51,100,1,39,136\r\n"},
		{"PASV\r\n", "227 =198,51,100,1,39,136\r\n", "227 =198,51,100,1,39,136\r\n"},
		{"PASV\r\n", "227-listen (1,2,3,4,5,6)\r\n 227 x (9,9,9,9,9,9)\r\n227 (10,0,1,66,39,136)\r\n",
			"227-listen (1,2,3,4,5,6)\r\n 227 x (9,9,9,9,9,9)\r\n227 (198,51,100,1,39,136)\r\n"},
		{"EPSV\r\n", "229 Entering Extended Passive Mode (|||10120|)\r\n",
			"229 Entering Extended Passive Mode (|||10120|)\r\n"},
		{"EPSV\r\n", "227 Entering Passive Mode (10,0,1,66,39,136)\r\n",
			"227 Entering Passive Mode (198,51,100,1,39,136)\r\n"},
	} {
		d := newTalk(t, dnatFlow(), policy.Default()).login()
		d.c(c.ask)
		d.wantArrived(c.sent, d.s(c.sent), c.arrives)
		d.wantOpen("10.0.13.222>198.51.100.1:10120=10.0.1.66:10120")
		d.wantArrived("what follows", d.s("150 ok\r\n"), "150 ok\r\n")
	}
}

func TestIPv6NATIsRewrittenToo(t *testing.T) {
	d := newTalk(t, natFlow(client6, server6, server6, outside6), policy.Default()).login()
	d.wantArrived("EPRT", d.c("EPRT |2|2001:DB8:1:0::222|10120|\r\n"), "EPRT |2|2001:db8:ff::7|10120|\r\n")
	d.wantOpen("2001:db8:2::66>[2001:db8:ff::7]:10120=[2001:db8:1::222]:10120")
}

func TestTakenPortIsReplacedByAFreeOne(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.k.taken[10120] = true
	got := d.c("EPRT |1|10.0.13.222|10120|\r\n")
	e := d.k.expects[0]
	d.wantArrived("EPRT", got, fmt.Sprintf("EPRT |1|203.0.113.77|%d|\r\n", e.Dst.Port()))
	if e.Dst.Port() == 10120 || e.Target.Port() != 10120 {
		t.Errorf("expectation %+v", e)
	}
	d = newTalk(t, dnatFlow(), policy.Default()).login()
	d.k.taken[10120] = true
	d.c("EPSV\r\n")
	got = d.s("229 ok (|||10120|)\r\n")
	d.wantArrived("229", got, fmt.Sprintf("229 ok (|||%d|)\r\n", d.k.expects[0].Dst.Port()))
}

func TestExternalAddressIsShownInsteadOfOurs(t *testing.T) {
	p := policy.Default()
	p.External4 = netip.MustParseAddr("192.0.2.99")
	d := newTalk(t, snatFlow(), p).login()
	d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,136\r\n"), "PORT 192,0,2,99,39,136\r\n")
	d.wantOpen("10.0.1.66>203.0.113.77:10120=10.0.13.222:10120")
	d = newTalk(t, firewallFlow(), p).login()
	d.c("PASV\r\n")
	d.wantArrived("227", d.s("227 x (10,0,1,66,39,136)\r\n"), "227 x (192,0,2,99,39,136)\r\n")
	d.wantArrived("what follows", d.s("150 ok\r\n"), "150 ok\r\n")
	if d.k.flow.State&conntrack.StateBusy == 0 {
		t.Error("the program holds the offset but the kernel is not told to queue everything")
	}
}

// A command or reply may be cut anywhere, and the two ends still understand each other.
func TestLinesCutAnywhereAreRewritten(t *testing.T) {
	for _, c := range []struct {
		f           conntrack.Flow
		dir         conntrack.Dir
		ask, line   string
		shape, open string // with %d for the port chosen
	}{
		{snatFlow(), toServer, "", "PORT 10,0,13,222,39,136\r\n", "PORT 203,0,113,77,%s\r\n",
			"10.0.1.66>203.0.113.77:%d=10.0.13.222:10120"},
		{snatFlow(), toServer, "", "EPRT |1|10.0.13.222|10120|\r\n", "EPRT |1|203.0.113.77|%d|\r\n",
			"10.0.1.66>203.0.113.77:%d=10.0.13.222:10120"},
		{dnatFlow(), toClient, "PASV\r\n", "227 Entering Passive Mode (10,0,1,66,39,136).\r\n",
			"227 Entering Passive Mode (198,51,100,1,%s).\r\n",
			"10.0.13.222>198.51.100.1:%d=10.0.1.66:10120"},
		{dnatFlow(), toClient, "PASV\r\n", "227 10,0,1,66,39,136\r\n", "227 198,51,100,1,%s\r\n",
			"10.0.13.222>198.51.100.1:%d=10.0.1.66:10120"},
		{dnatFlow(), toClient, "EPSV\r\n", "229 x (|||10120|)\r\n", "229 x (|||%d|)\r\n",
			"10.0.13.222>198.51.100.1:%d=10.0.1.66:10120"},
		{firewallFlow(), toServer, "", "PORT 10,0,13,222,39,136\r\n", "PORT 10,0,13,222,39,136\r\n",
			"10.0.1.66>10.0.13.222:10120=10.0.13.222:10120"},
	} {
		for cut := 0; cut <= len(c.line); cut++ { // len: byte by byte
			d := newTalk(t, c.f, policy.Default()).login()
			d.c(c.ask)
			var got string
			if cut == len(c.line) {
				for i := range c.line {
					got += d.send(c.dir, c.line[i:i+1])
				}
			} else {
				got = d.send(c.dir, c.line[:cut])
				got += d.send(c.dir, c.line[cut:])
			}
			if len(d.k.expects) != 1 {
				t.Errorf("%q cut at %d: arrived as %q, open %v, refused %v", c.line, cut, got, d.k.expects,
					d.refuse)
				continue
			}
			port := d.k.expects[0].Dst.Port()
			want := c.shape
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, fmt.Sprintf("%d,%d", port>>8, port&255))
			} else if strings.Contains(want, "%d") {
				want = fmt.Sprintf(want, port)
			}
			if got != want {
				t.Errorf("%q cut at %d arrived as %q, want %q", c.line, cut, got, want)
			}
			if strings.Contains(c.open, "%d") {
				d.wantOpen(fmt.Sprintf(c.open, port))
			} else {
				d.wantOpen(c.open)
			}
			d.wantArrived("what follows", d.send(c.dir, "200 next\r\n"), "200 next\r\n")
		}
	}
}

func TestSeveralLinesInOneSegmentAreAllRewritten(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.wantArrived("the segment",
		d.c("TYPE I\r\nPORT 10,0,13,222,39,136\r\nPORT 10,0,13,222,39,137\r\nLIST\r\n"),
		"TYPE I\r\nPORT 203,0,113,77,39,136\r\nPORT 203,0,113,77,39,137\r\nLIST\r\n")
	d.wantOpen("10.0.1.66>203.0.113.77:10121=10.0.13.222:10121")
	d.s("200 type\r\n200 port\r\n200 port\r\n")
	d.wantOpen("10.0.1.66>203.0.113.77:10121=10.0.13.222:10121")
}

func TestHundredRewritesStayInStep(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	for i := range 100 {
		port := fmt.Sprintf("%d,%d", 4+i, i)
		d.wantArrived("PORT", d.c("PORT 10,0,13,222,"+port+"\r\n"), "PORT 203,0,113,77,"+port+"\r\n")
		d.wantArrived("200", d.s("200 ok\r\n"), "200 ok\r\n")
	}
	if d.k.flow.State&conntrack.StateBusy != 0 {
		t.Error("all edits are acknowledged, but pure acknowledgements are still queued")
	}
	if off := d.k.flow.Seq[0].After; off != 100 {
		t.Errorf("the kernel holds an offset of %d, want 100", off)
	}
}

func TestKilledGatewayIsTakenUpWhereItWas(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	d.restart()
	d.wantArrived("NOOP", d.c("NOOP\r\n"), "NOOP\r\n")
	d.wantArrived("its reply", d.s("200 ok\r\n"), "200 ok\r\n")
	d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,137\r\n"), "PORT 203,0,113,77,39,137\r\n")
	d.wantOpen("10.0.1.66>203.0.113.77:10121=10.0.13.222:10121")
}

func TestRetransmissionAfterARestartIsRewrittenAlike(t *testing.T) {
	for _, port := range []uint16{10120, 10121} {
		d := newTalk(t, snatFlow(), policy.Default()).login()
		d.k.taken[10121] = true
		line := fmt.Sprintf("EPRT |1|10.0.13.222|%d|\r\n", port)
		first := d.c(line)
		// It was lost behind the gateway, which died.
		d.lose(toServer, first)
		d.seq[toServer] -= uint32(len(line))
		d.restart()
		d.wantArrived("the repetition", d.c(line), first)
		d.wantArrived("what follows", d.c("LIST\r\n"), "LIST\r\n")
	}
	d := newTalk(t, dnatFlow(), policy.Default()).login()
	d.c("PASV\r\n")
	line := "227 x (10,0,1,66,39,136)\r\n"
	first := d.s(line)
	d.lose(toClient, first)
	d.seq[toClient] -= uint32(len(line))
	d.restart()
	d.wantArrived("the repetition", d.s(line), first)
	d.wantArrived("what follows", d.s("150 x\r\n"), "150 x\r\n")
}

func TestReorderedSegmentsWaitForEachOther(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	a, b := "PORT 10,0,13,222,39,136\r\n", "LIST\r\n"
	d.packet(toServer, d.seq[toServer]+uint32(len(a)), 0, []byte(b))
	if had := string(d.got[toServer]); strings.Contains(had, "LIST") {
		t.Fatal("LIST went on before what precedes it")
	}
	d.packet(toServer, d.seq[toServer], 0, []byte(a))
	if got := string(d.got[toServer]); !strings.HasSuffix(got, "PORT 203,0,113,77,39,136\r\nLIST\r\n") {
		t.Errorf("the server has %q", got)
	}
}

// The sender takes its time to repeat what was lost, and sends it together with what came after it.
func TestLostSegmentArrivesHoweverLateItIsRepeated(t *testing.T) {
	d := newTalk(t, dnatFlow(), policy.Default()).login()
	d.c("PASV\r\n")
	d.s("227 x (10,0,1,66,39,136)\r\n")
	lost, next := "150 x\r\n", "226 y\r\n"
	had := len(d.got[toClient])
	for range 3 {
		d.packet(toClient, d.seq[toClient]+uint32(len(lost)), 0, []byte(next))
		d.now = d.now.Add(2 * time.Second)
		d.tick(toClient)
	}
	if got := d.got[toClient][had:]; len(got) > 0 {
		t.Fatalf("%q went on before what precedes it", got)
	}
	d.wantArrived("the repetition", d.s(lost+next), lost+next)
	d.wantArrived("what follows", d.s("200 z\r\n"), "200 z\r\n")
}

// While the queue was full a line passed by unseen. When the receiver, asked, says that it has
// it, the next one goes on.
func TestSegmentThatPassedUnseenIsNotWaitedForAnyLonger(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	unseen, next := "NOOP\r\n", "LIST\r\n"
	d.seq[toServer] += uint32(len(unseen))
	d.rcv[toServer] += uint32(len(unseen))
	d.wantArrived("what follows at first", d.c(next), "")
	d.seq[toServer] -= uint32(len(next))
	d.now = d.now.Add(3 * time.Second)
	d.tick(toServer)
	d.packet(toClient, d.seq[toClient], 0, nil) // the answer
	d.wantArrived("what follows", d.c(next), next)
}

func TestRetransmissionWithOtherBordersGivesTheSameBytes(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	line := "PORT 10,0,13,222,39,136\r\n"
	start := d.seq[toServer]
	first := d.c(line)
	for from := range len(line) {
		d.lose(toServer, first)
		d.packet(toServer, start, 0, []byte(line[:from]))
		d.packet(toServer, start+uint32(from), 0, []byte(line[from:]))
		if !strings.HasSuffix(string(d.got[toServer]), first) {
			t.Fatalf("cut at %d the server has %q, first it was %q", from, d.got[toServer], first)
		}
	}
}

func TestRefusalsAreVisibleAndOpenNothing(t *testing.T) {
	for _, c := range []struct {
		send, arrives string
		why           policy.Reason
	}{
		{"PORT 10,0,13,223,39,136\r\n", "PORT xxxxxxxxxxxxxxxxxx\r\n", policy.ForeignAddress},
		{"PORT 127,0,0,1,4,0\r\n", "PORT xxxxxxxxxxxxx\r\n", policy.ForeignAddress},
		{"PORT 10,0,13,222,0,22\r\n", "PORT xxxxxxxxxxxxxxxx\r\n", policy.LowPort},
		{"EPRT |1|10.0.13.222|139|\r\n", "EPRT xxxxxxxxxxxxxxxxxxx\r\n", policy.LowPort},
		{"EPRT |2|2001:db8::1|4000|\r\n", "EPRT xxxxxxxxxxxxxxxxxxxx\r\n", policy.WrongFamily},
	} {
		d := newTalk(t, snatFlow(), policy.Default()).login()
		d.wantArrived(c.send, d.c(c.send), c.arrives)
		d.wantOpen()
		if len(d.refuse) != 1 || d.refuse[0] != c.why {
			t.Errorf("%q was refused because of %v, want %v", c.send, d.refuse, c.why)
		}
		for i := range c.send { // cut anywhere it must not open either
			d := newTalk(t, firewallFlow(), policy.Default()).login()
			d.c(c.send[:i])
			d.c(c.send[i:])
			d.wantOpen()
		}
	}
	d := newTalk(t, dnatFlow(), policy.Default()).login()
	d.c("PASV\r\n")
	if got := d.s("227 Entering Passive Mode (10,0,1,99,39,136).\r\n"); !strings.HasPrefix(got, "425 ") {
		t.Errorf("a 227 that names another host arrived as %q", got)
	}
	d.wantOpen()
}

// The dialogue decides whether anything may open at all.
func TestStateOfTheSessionDecides(t *testing.T) {
	in := []string{"s>220 hi\r\n", "c>USER a\r\n", "s>331 pw\r\n", "c>PASS b\r\n", "s>230 in\r\n"}
	port := "c>PORT 10,0,13,222,39,136\r\n"
	for _, c := range []struct {
		name  string
		segs  []string
		opens bool
	}{
		{"logged in", append(in[:5:5], port), true},
		{"120 before 220", []string{"s>120 wait\r\n", "s>220 hi\r\n", in[1], in[4], port}, true},
		{"multi-line greeting", append([]string{"s>220-a\r\n227 (1,2,3,4,5,6)\r\n220 b\r\n"},
			append(in[1:5:5], port)...), true},
		{"230 at USER", []string{in[0], in[1], in[4], port}, true},
		{"202 to PASS", []string{in[0], in[1], in[2], in[3], "s>202 fine\r\n", port}, true},
		{"ACCT", []string{in[0], in[1], in[2], in[3], "s>332 account\r\n", "c>ACCT x\r\n", "s>230 in\r\n",
			port}, true},
		{"pipelined login", []string{in[0], "c>USER a\r\nPASS b\r\n", "s>331 pw\r\n230 in\r\n", port}, true},
		{"no greeting", append(in[1:5:5], port), false},
		{"greeted with 421", []string{"s>421 no\r\n", in[1], in[4], port}, false},
		{"before login", []string{in[0], port}, false},
		{"after USER", append(in[:3:3], port), false},
		{"after a failed PASS", append(in[:4:4], "s>530 no\r\n", port), false},
		{"230 that nobody asked for", []string{in[0], "c>NOOP\r\n", "s>230 in\r\n", port}, false},
		{"in one segment with USER", []string{in[0], "c>USER a\r\nPORT 10,0,13,222,39,136\r\n"}, false},
		{"after REIN", append(in[:5:5], "c>REIN\r\n", "s>220 again\r\n", port), false},
		{"after REIN was refused", append(in[:5:5], "c>REIN\r\n", "s>502 no\r\n", port), true},
		{"after QUIT", append(in[:5:5], "c>QUIT\r\n", "s>221 bye\r\n", port), false},
		{"after 421", append(in[:5:5], "s>421 timeout\r\n", port), false},
		{"after EPSV ALL", append(in[:5:5], "c>EPSV ALL\r\n", "s>200 ok\r\n", port), false},
		{"EPSV ALL was refused", append(in[:5:5], "c>EPSV ALL\r\n", "s>502 no\r\n", port), true},
		{"227 to EPSV ALL", append(in[:5:5], "c>EPSV ALL\r\n", "s>227 (10,0,1,66,39,136)\r\n"), false},
		{"another USER", append(in[:5:5], "c>USER b\r\n", "s>331 pw\r\n", port), false},
		{"AUTH TLS accepted", append(in[:5:5], "c>AUTH TLS\r\n", "s>234 go\r\n", port), false},
		{"AUTH TLS refused", append(in[:5:5], "c>AUTH TLS\r\n", "s>530 no\r\n", port), true},
		{"HTTP first", append([]string{in[0], "c>POST / HTTP/1.1\r\nHost: x\r\n\r\n"},
			append(in[1:5:5], port)...), false},
		{"TLS first", append([]string{"c>\x16\x03\x01\x00\x05hello", in[0]}, append(in[1:5:5], port)...),
			false},
		{"the server refused it", append(in[:5:5], port, "s>500 no\r\n"), false},
		{"the transfer failed", append(in[:5:5], port, "s>200 ok\r\n", "c>RETR a\r\n", "s>425 cannot\r\n"),
			false},
		{"a later command failed", append(in[:5:5], port, "s>200 ok\r\n", "c>SIZE a\r\n", "s>550 none\r\n"),
			true},
		{"as an argument", append(in[:5:5], "c>STOR PORT 10,0,13,222,39,136\r\n"), false},
		{"behind a bare CR", append(in[:5:5], "c>NOOP\rPORT 10,0,13,222,39,136\r\n"), false},
		{"behind a smuggled LF", append(in[:5:5], "c>CWD a\nPORT 10,0,13,222,39,136\r\n"), false},
		{"from a client of bare LFs", append(in[:5:5], "c>CWD a\nPORT 10,0,13,222,39,136\n"), true},
		{"from the server", append(in[:5:5], "s>PORT 10,0,13,222,39,136\r\n"), false},
		{"unsolicited 227", append(in[:5:5], "s>227 x (10,0,1,66,39,136)\r\n"), false},
		{"227 echoed in an error", append(in[:5:5], "c>NLST 227 (10,0,1,66,39,136)\r\n",
			"s>550 227 (10,0,1,66,39,136): no\r\n"), false},
		{"227 inside a 211",
			append(in[:5:5], "c>PASV\r\n", "s>211-x\r\n227 (10,0,1,66,39,136)\r\n211 end\r\n"), false},
		{"PASV answered by 227", append(in[:5:5], "c>PASV\r\n", "s>227 (10,0,1,66,39,136)\r\n"), true},
		{"PASV before login", []string{in[0], "c>PASV\r\n", "s>227 (10,0,1,66,39,136)\r\n"}, false},
		{"one PASV, two 227", append(in[:5:5], "c>PASV\r\n", "s>227 (10,0,1,66,39,136)\r\n", "c>RETR a\r\n",
			"s>425 no\r\n", "s>227 (10,0,1,66,39,137)\r\n"), false},
		{"PASV answered late",
			append(in[:5:5], "c>NOOP\r\nPASV\r\n", "s>200 ok\r\n227 (10,0,1,66,39,136)\r\n"), true},
	} {
		for _, f := range []conntrack.Flow{firewallFlow()} {
			d := newTalk(t, f, policy.Default())
			d.segments(c.segs...)
			if (len(d.k.expects) > 0) != c.opens {
				t.Errorf("%s: open %v, want open: %v; refused %v", c.name, d.k.expects, c.opens, d.refuse)
			}
		}
	}
}

func TestLastNegotiationCounts(t *testing.T) {
	d := newTalk(t, firewallFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	d.c("PASV\r\n")
	d.s("227 (10,0,1,66,39,136)\r\n")
	d.wantOpen("10.0.13.222>10.0.1.66:10120=10.0.1.66:10120")
}

func TestEndOfTheConnectionClosesWhatItOpened(t *testing.T) {
	const open = "10.0.1.66>10.0.13.222:10120=10.0.13.222:10120"
	for _, c := range []struct {
		name string
		dir  conntrack.Dir
		flag byte
		want []string
	}{
		{"reset by the client", toServer, rewrite.RST, nil},
		{"reset by the server", toClient, rewrite.RST, nil},
		{"the server ends it", toClient, rewrite.FIN, nil},
		{"the client has no more commands", toServer, rewrite.FIN, []string{open}},
	} {
		d := newTalk(t, firewallFlow(), policy.Default()).login()
		d.c("PORT 10,0,13,222,39,136\r\n")
		d.wantOpen(open)
		d.packet(c.dir, d.seq[c.dir], c.flag, nil)
		if d.wantOpen(c.want...); t.Failed() {
			t.Fatal(c.name)
		}
	}
}

func TestClearTextAfterCCCIsReadAgain(t *testing.T) {
	p := policy.Default()
	p.TLS = policy.TLSWatch
	d := newTalk(t, firewallFlow(), p)
	d.segments("s>220 hi\r\n", "c>AUTH TLS\r\n", "s>234 go\r\n",
		"c>\x16\x03\x01\x00\x02aa", "s>\x16\x03\x03\x00\x02bb\x17\x03\x03\x00\x04PORT",
		"c>\x17\x03\x03\x00 \nPORT 10,0,13,222,39,136\r\n\x00\x00\x00\x00\x00\x00")
	d.wantOpen()
	d.segments("s>\x15\x03\x03\x00\x02xx", "c>\x15\x03\x03\x00\x02xx", "c>PASV\r\n",
		"s>227 (10,0,1,66,39,136)\r\n")
	d.wantOpen("10.0.13.222>10.0.1.66:10120=10.0.1.66:10120")
}

func TestDeniedTLSIsRefusedByTheServer(t *testing.T) {
	p := policy.Default()
	p.TLS = policy.TLSDeny
	d := newTalk(t, firewallFlow(), p)
	d.s("220 hi\r\n")
	d.wantArrived("AUTH", d.c("AUTH TLS\r\n"), "AUTH xxx\r\n")
}

// The server may speak first after a restart, whatever numbers the client counts with.
func TestRestartInOneDirectionLeavesTheOthersOffsetAlone(t *testing.T) {
	for isn := uint32(0); isn < 8; isn++ {
		d := newTalk(t, snatFlow(), policy.Default())
		d.seq[toServer] = isn << 29
		d.rcv[toServer] = isn << 29
		d.k.flow.State = conntrack.StateControl
		d.restart()
		d.packet(toClient, d.seq[toClient]-1, rewrite.SYN, nil)
		d.login()
		d.c("PORT 10,0,13,222,39,136\r\n")
		d.s("200 ok\r\n")
		want := d.k.flow.Seq[toServer]
		d.restart()
		d.s("226 done\r\n")
		if got := d.k.flow.Seq[toServer]; got != want {
			t.Errorf("with numbers from %d the kernel's offset became %+v, want %+v", isn<<29, got, want)
		}
	}
}

// Several edits are lost behind a gateway that then dies: its successor repeats them alike.
func TestSeveralLostEditsAreRepeatedAlikeAfterARestart(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	lines := []string{"PORT 10,0,13,222,39,136\r\n", "PORT 010,000,013,222,39,137\r\n", "NOOP\r\n",
		"PORT 10,0,13,222,39,138\r\n"}
	var first, all string
	for _, l := range lines {
		first += d.c(l)
		all += l
	}
	d.lose(toServer, first)
	start := d.seq[toServer] - uint32(len(all))
	d.restart()
	d.packet(toServer, start, 0, []byte(lines[0]))
	d.packet(toServer, start+uint32(len(lines[0])), 0, []byte(all[len(lines[0]):]))
	if got := string(d.got[toServer]); !strings.HasSuffix(got, first) {
		t.Errorf("the server has %q, want what the first gateway sent: %q", got, first)
	}
	d.wantArrived("what follows", d.c("LIST\r\n"), "LIST\r\n")
}

func TestNewConnectionWithTheSamePortsBeginsAnew(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.k.flow = snatFlow()
	d.k.expects = nil
	d.seq = [2]uint32{700, 900}
	d.rcv = d.seq
	d.packet(toClient, d.seq[toClient]-1, rewrite.SYN, nil)
	d.packet(toClient, d.seq[toClient]-1, rewrite.SYN, nil)
	d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,136\r\n"), "PORT xxxxxxxxxxxxxxxxxx\r\n")
	d.wantOpen()
	d.login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.wantOpen("10.0.1.66>203.0.113.77:10120=10.0.13.222:10120")
}
