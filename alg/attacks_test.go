package alg

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// Where the dialogue of an attack begins.
type setup uint8

const (
	nothing  setup = iota // nobody has spoken
	greeted               // the server sent its 220
	loggedIn              // the client is logged in
)

// How the two are connected.
type path bool

const (
	routed    path = false // the client is inside, no NAT
	forwarded path = true  // the server is inside, its control port is forwarded
)

// Bytes that must not open a port, as published with attacks on FTP gateways: CERT tech tip 1998
// and VU#328867, RFC 2577, nmap's ftp-bounce, the URL injections of 2017 (Blindspot), NAT pinning
// and slipstreaming, and the test suites of Suricata, Zeek, curl and pyftpdlib.
var attacks = []struct {
	name           string
	path           path
	client, server string
	from           setup
	segments       []string
	opens          bool // a twin that must work
}{
	{"bounce-third-party", routed, "1.1.1.2", "2.2.2.1", loggedIn,
		[]string{"c>PORT 2,2,2,3,0,80\r\n", "s>200 Operation successful\r\n"}, false},
	{"bounce-smtp", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>PORT 203,0,113,25,0,25\r\n", "c>RETR mail.txt\r\n"}, false},
	{"eprt-third-party", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>EPRT |1|203.0.113.25|25|\r\n"}, false},
	{"port-loopback", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>PORT 127,0,0,1,4,0\r\n"},
		false},
	{"port-zero", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>PORT 0,0,0,0,4,1\r\n"}, false},
	{"port-multicast", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>PORT 224,0,0,1,4,1\r\n"},
		false},
	{"port-number-zero", routed, "82.143.24.12", "198.51.100.9", loggedIn,
		[]string{"c>PORT 82,143,24,12,0,0\r\n", "s>500 Illegal PORT Command\r\n"}, false},
	{"port-privileged", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>PORT 10,1,1,1,0,139\r\n", "s>200 ok\r\n"}, false},
	{"port-refused", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>PORT 10,1,1,1,200,10\r\n", "s>500 Illegal PORT command.\r\n"}, false},
	{"port-after-epsv-all", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>EPSV ALL\r\n", "s>200 EPSV ALL ok.\r\n", "c>PORT 10,1,1,1,200,10\r\n",
			"s>501 PORT not allowed after EPSV ALL.\r\n"}, false},
	{"url-lf-in-cwd", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>CWD foodir\nPORT 10,1,1,1,5,57\r\n"}, false},
	{"arg-not-command-1", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>STOR PORT 10,1,1,1,5,57\r\n"}, false},
	{"arg-not-command-2", routed, "10.1.1.1", "198.51.100.9", greeted,
		[]string{"c>USER PORT 10,1,1,1,5,57\r\n"}, false},
	{"cr-only", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>NOOP\rPORT 10,1,1,1,5,57\r\n"},
		false},
	{"port-octet-257", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>PORT 10,1,1,1,257,1\r\n"},
		false},
	{"port-wrap-32", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>PORT 10,1,1,1,4294967300,1\r\n"}, false},
	{"port-negative", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>PORT 10,1,1,1,-1,0\r\n"},
		false},
	{"port-seven", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>PORT 10,1,1,1,4,1,9\r\n"},
		false},
	{"port-empty-field", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>PORT 10,1,,1,4,1\r\n"},
		false},
	{"eprt-65536", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>EPRT |1|10.1.1.1|65536|\r\n"},
		false},
	{"eprt-neg", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>EPRT |1|10.1.1.1|-1|\r\n"}, false},
	{"eprt-family3", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>EPRT |3|10.1.1.1|4000|\r\n"},
		false},
	{"eprt-v4-as-2", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>EPRT |2|10.1.1.1|4000|\r\n"},
		false},
	{"eprt-name", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"c>EPRT |1|localhost|4000|\r\n"},
		false},
	{"echo-nlst", forwarded, "198.51.100.66", "10.0.0.5", loggedIn,
		[]string{"c>NLST 227 Entering Passive Mode (10,0,0,5,0,23)\r\n",
			"s>550 227 Entering Passive Mode (10,0,0,5,0,23): No such file or directory.\r\n"}, false},
	{"unsolicited-227", forwarded, "198.51.100.66", "10.0.0.5", loggedIn,
		[]string{"s>227 Entering Passive Mode (10,0,0,5,200,10).\r\n"}, false},
	{"227-in-banner", forwarded, "198.51.100.66", "10.0.0.5", nothing,
		[]string{"s>220-ftp\r\n227 Entering Passive Mode (10,0,0,5,0,22)\r\n220 ready\r\n"}, false},
	{"227-in-help", forwarded, "198.51.100.66", "10.0.0.5", loggedIn,
		[]string{"c>HELP PASV\r\n", "s>214 Reply is 227 Entering Passive Mode (10,0,0,5,0,22)\r\n"}, false},
	{"227-other-inside-host", forwarded, "198.51.100.66", "10.0.0.5", loggedIn,
		[]string{"c>PASV\r\n", "s>227 Entering Passive Mode (10,0,0,99,0,22)\r\n"}, false},
	{"227-privileged", forwarded, "198.51.100.66", "10.0.0.5", loggedIn,
		[]string{"c>PASV\r\n", "s>227 Entering Passive Mode (10,0,0,5,0,22)\r\n"}, false},
	{"229-port-overflow", forwarded, "198.51.100.66", "10.0.0.5", loggedIn,
		[]string{"c>EPSV\r\n", "s>229 Entering Passive Mode (|||1000000|)\r\n"}, false},
	{"wrong-direction-1", routed, "10.1.1.1", "198.51.100.9", loggedIn, []string{"s>PORT 10,1,1,1,5,57\r\n"},
		false},
	{"http-post-port21", routed, "10.1.1.1", "198.51.100.9", nothing,
		[]string{"c>POST / HTTP/1.1\r\nHost: 198.51.100.9:21\r\nContent-Type: text/plain\r\n" +
			"Content-Length: 20\r\n\r\nPORT 10,1,1,1,0,139\r\n"}, false},
	{"http-response-227", routed, "10.1.1.1", "198.51.100.9", nothing,
		[]string{"s>HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n227 Entering Passive Mode " +
			"(10,1,1,1,5,57)\r\n"}, false},
	{"smtp-body", routed, "10.1.1.1", "198.51.100.9", nothing,
		[]string{"c>DATA\r\n", "s>354 go\r\n",
			"c>PORT 10,1,1,1,5,57\r\n227 Entering Passive Mode (10,1,1,1,5,57)\r\n.\r\n"}, false},
	{"data-channel", routed, "10.1.1.1", "198.51.100.9", nothing,
		[]string{"s>PORT 10,1,1,1,5,57\r\n227 Entering Passive Mode (10,1,1,1,5,57)\r\n"}, false},
	{"tls-ciphertext", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>AUTH TLS\r\n", "s>234 Proceed with negotiation.\r\n", "c>\x16\x03\x01\x00\xa5\x01\x00",
			"c>\x17\x03\x03\x00 \nPORT 10,1,1,1,5,57\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}, false},
	{"tls-refused-then-port", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>AUTH TLS\r\n", "s>530 Please login with USER and PASS.\r\n", "c>PORT 10,1,1,1,200,10\r\n",
			"s>200 ok\r\n"}, true},
	{"port-after-quit", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>QUIT\r\n", "s>221 Goodbye.\r\n", "c>PORT 10,1,1,1,200,10\r\n"}, false},
	{"port-before-login", routed, "10.1.1.1", "198.51.100.9", greeted,
		[]string{"c>PORT 10,1,1,1,200,10\r\n", "s>530 Please login with USER and PASS.\r\n"}, false},
	{"the twin of PORT", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>PORT 10,1,1,1,200,10\r\n", "s>200 ok\r\n"}, true},
	{"the twin of EPRT", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>EPRT |1|10.1.1.1|4000|\r\n"}, true},
	{"the twin of 227", forwarded, "198.51.100.66", "10.0.0.5", loggedIn,
		[]string{"c>PASV\r\n", "s>227 Entering Passive Mode (10,0,0,5,200,10)\r\n"}, true},
	{"the twin of 229", forwarded, "198.51.100.66", "10.0.0.5", loggedIn,
		[]string{"c>EPSV\r\n", "s>229 Entering Passive Mode (|||51210|)\r\n"}, true},
	{"a line without end", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>PORT " + strings.Repeat(" ", 5000) + "10,1,1,1,4,1\r\n"}, false},
	{"injected into USER", routed, "10.1.1.1", "198.51.100.9", greeted,
		[]string{"c>USER a\r\nPORT 10,1,1,1,200,10\r\n"}, false},
	{"in the argument of RETR", routed, "10.1.1.1", "198.51.100.9", loggedIn,
		[]string{"c>RETR x PORT 10,1,1,1,200,10\r\n"}, false},
	{"HTTP, then all that FTP asks for", routed, "10.1.1.1", "198.51.100.9", greeted,
		[]string{"c>GET / HTTP/1.1\r\nHost: a\r\n\r\n", "s>331 x\r\n", "c>USER a\r\n", "s>230 in\r\n",
			"c>PORT 10,1,1,1,200,10\r\n"}, false},
}

func attackFlow(p path, client, server string) conntrack.Flow {
	c := netip.AddrPortFrom(netip.MustParseAddr(client), 40000)
	s := netip.AddrPortFrom(netip.MustParseAddr(server), 21)
	if p == forwarded {
		return natFlow(c, netip.MustParseAddrPort("203.0.113.1:21"), s, c)
	}
	return natFlow(c, s, s, c)
}

func TestAttacksOpenNothingAndTheirTwinsWork(t *testing.T) {
	for _, a := range attacks {
		for _, piece := range []int{1 << 16, 7, 1} { // bytes a segment
			d := newTalk(t, attackFlow(a.path, a.client, a.server), policy.Default())
			switch a.from {
			case loggedIn:
				d.login()
			case greeted:
				d.s("220 ready\r\n")
			}
			for _, seg := range a.segments {
				dir := toServer
				if seg[0] == 's' {
					dir = toClient
				}
				for text := seg[2:]; text != ""; {
					n := min(piece, len(text))
					d.send(dir, text[:n])
					text = text[n:]
				}
			}
			if opened := len(d.k.expects) > 0; opened != a.opens {
				t.Errorf("%s, in pieces of %d: open is %+v, want it to be open: %v", a.name, piece,
					d.k.expects, a.opens)
			}
		}
	}
}

// Zeek's capture ftp-many-port-expected has 500 of them, without a reply.
func TestFloodOfPORTsLeavesOneOpenAtMost(t *testing.T) {
	for _, host := range []int{222, 200} { // the client's own address, and another's
		d := newTalk(t, firewallFlow(), policy.Default()).login()
		for i := range 500 {
			d.c(fmt.Sprintf("PORT 10,0,13,%d,78,%d\r\n", host, i%256))
			if len(d.k.expects) > 1 {
				t.Fatalf("open are %+v", d.k.expects)
			}
		}
		if own := host == 222; (len(d.k.expects) == 1) != own {
			t.Errorf("open are %+v", d.k.expects)
		}
	}
}
