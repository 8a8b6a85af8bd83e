package alg

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
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
