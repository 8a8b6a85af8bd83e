package alg

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// Where the scenes happen: a client inside and a server outside, with and without source NAT
// between them, or a published server and a stranger.
var (
	insideOut = func() conntrack.Flow {
		return flowOf("10.1.1.1:40000", "198.51.100.9:21", "198.51.100.9:21", "203.0.113.7:40000")
	}
	unnatted = func() conntrack.Flow {
		return flowOf("10.1.1.1:40000", "198.51.100.9:21", "198.51.100.9:21", "10.1.1.1:40000")
	}
	publicly = func() conntrack.Flow {
		return flowOf("198.51.100.66:40000", "203.0.113.7:21", "10.0.0.5:21", "198.51.100.66:40000")
	}
)

func flowOf(client, dialled, server, outside string) conntrack.Flow {
	p := netip.MustParseAddrPort
	return natFlow(p(client), p(dialled), p(server), p(outside))
}

// bytewise sends every byte of the segments in a segment of its own.
func (d *talk) bytewise(list ...string) {
	d.t.Helper()
	for _, seg := range list {
		for i := 2; i < len(seg); i++ {
			d.segments(seg[:2] + seg[i:i+1])
		}
	}
}

func (d *talk) setUp(stage setup) *talk {
	d.t.Helper()
	switch stage {
	case greeted:
		d.s("220 ready\r\n")
	case loggedIn:
		d.login()
	}
	return d
}

// scene is a dialogue that must open nothing, or a twin of one that must.
type scene struct {
	name  string
	flow  func() conntrack.Flow
	setup setup
	segs  []string
}

// play runs the dialogue whole and cut into single bytes, on the flow and, for clients inside, without
// NAT too.
func (a scene) play(t *testing.T, check func(t *testing.T, d *talk)) {
	flows := []conntrack.Flow{a.flow()}
	if a.flow().SNAT {
		flows = append(flows, unnatted())
	}
	for _, f := range flows {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/nat=%v/bytewise=%v", a.name, f.NAT(), cut), func(t *testing.T) {
				d := newTalk(t, f, policy.Default()).setUp(a.setup)
				if cut {
					d.bytewise(a.segs...)
				} else {
					d.segments(a.segs...)
				}
				check(t, d)
			})
		}
	}
}

const ownPort = "c>PORT 10,1,1,1,200,10\r\n" // what the client inside may always ask for

// Each class of attack has a twin that is as it should be, and opens one port.
func TestWhatIsAsItShouldBeOpensOnePort(t *testing.T) {
	pasv := []string{"c>PASV\r\n", "s>227 Entering Passive Mode (10,0,0,5,200,10).\r\n"}
	for _, a := range []scene{
		{"own address", insideOut, loggedIn, []string{ownPort, "s>200 ok\r\n"}},
		{"own address through EPRT", insideOut, loggedIn,
			[]string{"c>EPRT |1|10.1.1.1|51210|\r\n", "s>200 ok\r\n"}},
		{"lowest port", insideOut, loggedIn, []string{"c>PORT 10,1,1,1,4,0\r\n", "s>200 ok\r\n"}},
		{"highest port", insideOut, loggedIn, []string{"c>PORT 10,1,1,1,255,255\r\n", "s>200 ok\r\n"}},
		{"zeros in front", insideOut, loggedIn, []string{"c>PORT 010,001,001,001,200,010\r\n"}},
		{"blanks around the argument", insideOut, loggedIn, []string{"c>PORT \t 10,1,1,1,200,10 \r\n"}},
		{"bare LF throughout", insideOut, loggedIn, []string{"c>CWD foodir\nPORT 10,1,1,1,5,57\n"}},
		{"PORT in one segment with others", insideOut, loggedIn,
			[]string{"c>TYPE I\r\nPORT 10,1,1,1,5,57\r\nLIST\r\n"}},
		{"PORT behind Telnet controls", insideOut, loggedIn,
			[]string{"c>\xff\xf4\xff\xf2PORT 10,1,1,1,5,57\r\n"}},
		{"PORT after a long line", insideOut, loggedIn,
			[]string{"c>STOR " + strings.Repeat("a", 3000) + "\r\n" + ownPort[2:]}},
		{"EPSV ALL was refused", insideOut, loggedIn,
			[]string{"c>EPSV ALL\r\n", "s>502 unknown\r\n", ownPort}},
		// snort3_demo ftp_active_get_eicar.pcap
		{"TLS was refused", insideOut, loggedIn,
			[]string{"c>AUTH TLS\r\n", "s>530 Please login with USER and PASS.\r\n", ownPort,
				"s>200 ok\r\n"}},
		{"QUIT was refused", insideOut, loggedIn, []string{"c>QUIT\r\n", "s>500 not now\r\n", ownPort}},
		{"REIN, then a login", insideOut, loggedIn, []string{"c>REIN\r\n", "s>220 ready\r\n", "c>USER a\r\n",
			"s>331 pw\r\n", "c>PASS b\r\n", "s>230 in\r\n", ownPort}},
		{"HOST, then a login", insideOut, greeted, []string{"c>HOST a.example\r\n", "s>220 ready\r\n",
			"c>USER a\r\n", "s>331 pw\r\n", "c>PASS b\r\n", "s>230 in\r\n", ownPort}},
		{"a login at the second try", insideOut, greeted,
			[]string{"c>USER a\r\n", "s>331 pw\r\n", "c>PASS b\r\n", "s>530 no\r\n", "c>USER a\r\n",
				"s>331 pw\r\n", "c>PASS c\r\n", "s>230 in\r\n", ownPort}},
		{"500 times, each in place of the last", insideOut, loggedIn, manyPorts("10,1,1,1", 500)},
		{"227", publicly, loggedIn, pasv},
		{"227 behind lines like it", publicly, loggedIn,
			[]string{pasv[0], "s>227-first (1,2,3,4,5,6)\r\n 227 x (9,9,9,9,9,9)\r\n227 end " +
				"(10,0,0,5,200,10)\r\n"}},
		{"227 after an error that echoes one", publicly, loggedIn,
			[]string{"c>NLST 227 (10,0,0,5,200,10)\r\nPASV\r\n",
				"s>550 227 (10,0,0,5,200,10): No such file\r\n", pasv[1]}},
		{"227 after a listing with one", publicly, loggedIn,
			[]string{"c>STAT .\r\nPASV\r\n", "s>213-x\r\n227 (10,0,0,5,200,99)\r\n213 end\r\n", pasv[1]}},
		{"227 with no address", publicly, loggedIn,
			[]string{pasv[0], "s>227 Entering Passive Mode (0,0,0,0,200,10)\r\n"}},
		{"229", publicly, loggedIn, []string{"c>EPSV\r\n", "s>229 Entering Extended Passive Mode " +
			"(|||51210|)\r\n"}},
		// cpython issue 127478
		{"229 to PASV", publicly, loggedIn, []string{"c>PASV\r\n", "s>229 Entering Extended Passive Mode " +
			"(|||51210|)\r\n"}},
		{"229 after EPSV ALL", publicly, loggedIn, []string{"c>EPSV ALL\r\n", "s>200 ok\r\n", "c>EPSV\r\n",
			"s>229 Entering Extended Passive Mode (|||51210|)\r\n"}},
	} {
		a.play(t, func(t *testing.T, d *talk) {
			if len(d.k.expects) != 1 || len(d.refuse) > 0 {
				t.Errorf("open are %v, refused %v", d.k.expects, d.refuse)
			}
		})
	}
}

func TestRefusedPortIsClosedAtOnce(t *testing.T) {
	for _, a := range []scene{
		// kfki.hu/~kadlec ftp_security3
		{"PORT", insideOut, loggedIn, []string{ownPort, "s>500 Illegal PORT command.\r\n"}},
		{"EPRT", insideOut, loggedIn, []string{"c>EPRT |1|10.1.1.1|51210|\r\n", "s>522 family\r\n"}},
		{"PORT in pipe", insideOut, loggedIn,
			[]string{"c>TYPE I\r\nPORT 10,1,1,1,5,57\r\nNOOP\r\n", "s>200 ok\r\n501 no\r\n200 ok\r\n"}},
		{"the transfer", publicly, loggedIn,
			[]string{"c>PASV\r\n", "s>227 (10,0,0,5,200,10)\r\n", "c>RETR a\r\n", "s>550 none\r\n"}},
	} {
		a.play(t, func(t *testing.T, d *talk) {
			d.wantOpen()
			if len(d.opens) != 1 {
				t.Errorf("opened were %v, want one for a while", d.opens)
			}
		})
	}
}

func TestMoreSegmentsOutOfOrderThanAreHeldDoNoHarm(t *testing.T) {
	d := newTalk(t, insideOut(), policy.Default()).login()
	line := strings.Repeat("NOOP\r\n", 42)
	start, want := d.seq[toServer], string(d.got[toServer])+ownPort[2:7]+"203,0,113,7,200,10\r\n"+line
	at := start + uint32(len(ownPort)-2)
	for i := range 42 {
		d.packet(toServer, at+uint32(6*i), 0, []byte("NOOP\r\n"))
	}
	d.packet(toServer, start, 0, []byte(ownPort[2:]))
	for i := range 42 { // what was lost comes again
		d.packet(toServer, at+uint32(6*i), 0, []byte("NOOP\r\n"))
	}
	if got := string(d.got[toServer]); got != want {
		t.Errorf("the server has %q, want %q", got, want)
	}
}

func TestRefusalsNameTheirReason(t *testing.T) {
	for _, c := range []struct {
		scene
		why policy.Reason
	}{
		{scene{"third party", insideOut, loggedIn, []string{"c>PORT 203,0,113,25,200,10\r\n"}},
			policy.ForeignAddress},
		{scene{"privileged", insideOut, loggedIn, []string{"c>PORT 10,1,1,1,0,139\r\n"}}, policy.LowPort},
		{scene{"not logged in", insideOut, greeted, []string{ownPort}}, policy.NotLoggedIn},
		{scene{"not greeted", insideOut, nothing, []string{ownPort}}, policy.NotGreeted},
		{scene{"after QUIT", insideOut, loggedIn, []string{"c>QUIT\r\n", "s>221 bye\r\n", ownPort}},
			policy.SessionOver},
		{scene{"after EPSV ALL", insideOut, loggedIn, []string{"c>EPSV ALL\r\n", ownPort}},
			policy.AfterEPSVAll},
		{scene{"PASV after EPSV ALL", insideOut, loggedIn, []string{"c>EPSV ALL\r\n", "c>PASV\r\n"}},
			policy.AfterEPSVAll},
		{scene{"smuggled", insideOut, loggedIn, []string{"c>CWD a\n" + ownPort[2:]}}, policy.MixedLineEnds},
		{scene{"IPv6", insideOut, loggedIn, []string{"c>EPRT |2|2001:db8::1|51210|\r\n"}},
			policy.WrongFamily},
		{scene{"HTTP", insideOut, nothing, []string{"c>GET / HTTP/1.1\r\n"}}, policy.NotFTP},
		{scene{"foreign 227", publicly, loggedIn, []string{"c>PASV\r\n", "s>227 (10,0,0,99,200,10)\r\n"}},
			policy.ForeignAddress},
		{scene{"privileged 229", publicly, loggedIn, []string{"c>EPSV\r\n", "s>229 (|||22|)\r\n"}},
			policy.LowPort},
		{scene{"unsolicited 227", publicly, loggedIn, []string{"s>227 (10,0,0,5,200,10)\r\n"}},
			policy.Unsolicited},
	} {
		c.play(t, func(t *testing.T, d *talk) {
			if !slices.Equal(d.refuse, []policy.Reason{c.why}) {
				t.Errorf("refused because of %v, want %v", d.refuse, c.why)
			}
		})
	}
}

// RFC 854: a server may send Telnet controls too.
func TestReplyBehindTelnetControlsIsRewrittenWhereverItIsCut(t *testing.T) {
	for _, lead := range []string{"\xff\xf1", "\xff\xfb\x01\xff\xfd\x03"} {
		line := lead + "227 x (10,0,0,5,200,10).\r\n"
		for cut := 1; cut < len(line); cut++ {
			d := newTalk(t, publicly(), policy.Default()).login()
			d.c("PASV\r\n")
			got := d.s(line[:cut]) + d.s(line[cut:])
			if len(d.k.expects) != 1 {
				t.Fatalf("cut at %d open are %v, refused %v", cut, d.k.expects, d.refuse)
			}
			port := d.k.expects[0].Dst.Port()
			d.wantArrived(fmt.Sprintf("%q cut at %d", line, cut), got,
				fmt.Sprintf("%s227 x (203,0,113,7,%d,%d).\r\n", lead, port>>8, port&255))
		}
	}
}
