package alg

import (
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

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

func TestKernelThatDropsTheOldestIsNotAskedToDropIt(t *testing.T) {
	for _, c := range []struct {
		helper string
		shut   int
	}{{conntrack.HelperCarrier, 0}, {conntrack.HelperOwn, 1}} {
		f := snatFlow()
		f.Helper = c.helper
		d := newTalk(t, f, policy.Default()).login()
		d.c("PORT 10,0,13,222,39,136\r\n")
		d.c("PORT 10,0,13,222,39,137\r\n")
		d.wantOpen("10.0.1.66>203.0.113.77:10121=10.0.13.222:10121")
		if n := d.g.Stats.Closed[policy.Superseded].Load(); d.k.shut != c.shut || n != 1 {
			t.Errorf("%s: %d expectations were taken back, %d count as superseded", c.helper, d.k.shut, n)
		}
	}
}

func TestDoorBeforeIsShutThoughTheNextIsRefused(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.k.fail = conntrack.ErrTableFull
	d.c("PORT 10,0,13,222,39,137\r\n")
	d.wantOpen()
}
