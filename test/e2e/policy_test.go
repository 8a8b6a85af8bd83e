package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
	"golang.org/x/sys/unix"
)

// What was said before the case begins.
const (
	nothing  = iota
	greeted  // the server sent its 220
	loggedIn // and the client is logged in
)

var opening = []string{nothing: "", greeted: "s>220 ready\r\n",
	loggedIn: "s>220 ready\r\n|c>USER u\r\n|s>331 password\r\n|c>PASS p\r\n|s>230 in\r\n"}

// start begins a session as far as a case wants it.
func (d *dialogue) start(from int) *dialogue {
	d.Helper()
	if text := opening[from]; text != "" {
		d.play(strings.Split(text, "|")...)
	}
	return d
}

// ruling is a dialogue, and whether a port may be open after it.
type ruling struct {
	name     string
	from     int
	segments []string
	port     uint16 // the one named; 0: none that one can connect to
	opens    bool
	closed   uint16 // another one that must be closed; 0: none
}

const (
	own   = "PORT 10,0,13,222,120,10\r\n" // the client's own address, port 30730
	other = "PORT 10,0,13,222,120,11\r\n" // the same with 30731
	offer = "227 Entering Passive Mode (10,0,1,66,120,10).\r\n"
	shut  = false
	opens = true
)

// activeRulings are about PORT and EPRT: the client 10.0.13.222 is to be protected, and
// its neighbour 10.0.13.99.
var activeRulings = []ruling{
	// The server greets first.
	{"PORT before the greeting", nothing, []string{"c>" + own}, 30730, shut, 0},
	{"login without a greeting", nothing, []string{"c>USER u\r\n", "s>331 x\r\n", "c>PASS p\r\n",
		"s>230 in\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"a delay is no greeting", nothing, []string{"s>120 wait\r\n", "c>USER u\r\nPASS p\r\n",
		"s>331 x\r\n230 in\r\n", "c>" + own}, 30730, shut, 0},
	{"an error is no greeting", nothing, []string{"s>421 busy\r\n", "c>USER u\r\nPASS p\r\n",
		"s>331 x\r\n230 in\r\n", "c>" + own}, 30730, shut, 0},
	{"a delay and the greeting", nothing, []string{"s>120 wait\r\n", "s>220 ready\r\n", "c>USER u\r\n",
		"s>331 x\r\n", "c>PASS p\r\n", "s>230 in\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},

	// The client logs in.
	// vsftpd's words
	{"PORT before the login", greeted, []string{"c>" + own, "s>530 Please login with USER and PASS.\r\n"},
		30730, shut, 0},
	{"PORT before the login, accepted", greeted, []string{"c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"PORT between USER and PASS", greeted,
		[]string{"c>USER u\r\n", "s>331 x\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"PORT after a login that failed", greeted, []string{"c>USER u\r\n", "s>331 x\r\n", "c>PASS p\r\n",
		"s>530 no\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"PORT in one segment with the login", greeted,
		[]string{"c>USER u\r\nPASS p\r\n" + own, "s>331 x\r\n230 in\r\n200 ok\r\n"}, 30730, shut, 0},
	{"PORT injected into USER", greeted, []string{"c>USER a\r\n" + own, "s>331 x\r\n200 ok\r\n"}, 30730, shut,
		0},
	{"PORT as a user name", greeted, []string{"c>USER " + own, "s>331 x\r\n"}, 30730, shut, 0},
	{"230 that nobody asked for", greeted, []string{"s>230 in\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut,
		0},
	{"login without a password", greeted,
		[]string{"c>USER u\r\n", "s>230 in\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},
	{"superfluous password", greeted, []string{"c>USER u\r\n", "s>331 x\r\n", "c>PASS p\r\n",
		"s>202 superfluous\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},
	{"account", greeted, []string{"c>USER u\r\n", "s>331 x\r\n", "c>PASS p\r\n", "s>332 account\r\n",
		"c>ACCT a\r\n", "s>230 in\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},
	{"account missing", greeted, []string{"c>USER u\r\n", "s>331 x\r\n", "c>PASS p\r\n", "s>332 account\r\n",
		"c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"login taken back by REIN", loggedIn,
		[]string{"c>REIN\r\n", "s>220 ready\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"REIN refused", loggedIn, []string{"c>REIN\r\n", "s>502 no\r\n", "c>" + own, "s>200 ok\r\n"}, 30730,
		opens, 0},
	{"login taken back by HOST", loggedIn, []string{"c>HOST a.example\r\n", "s>220 ready\r\n", "c>" + own,
		"s>200 ok\r\n"}, 30730, shut, 0},
	{"login taken back by another USER", loggedIn,
		[]string{"c>USER v\r\n", "s>331 x\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"open port closed by REIN", loggedIn,
		[]string{"c>" + own, "s>200 ok\r\n", "c>REIN\r\n", "s>220 ready\r\n"}, 30730, shut, 0},
	{"after QUIT", loggedIn, []string{"c>QUIT\r\n", "s>221 Goodbye.\r\n", "c>" + own, "s>200 ok\r\n"}, 30730,
		shut, 0},
	{"after 421", loggedIn, []string{"s>421 Timeout.\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"after QUIT was refused", loggedIn, []string{"c>QUIT\r\n", "s>500 no\r\n", "c>" + own, "s>200 ok\r\n"},
		30730, opens, 0},

	// It speaks FTP: NAT pinning (samy.pl/natpin, 2010) and slipstreaming.
	{"PORT in the body of a POST", nothing, []string{"c>POST / HTTP/1.1\r\nHost: 10.0.1.66:21\r\n" +
		"Content-Type: text/plain\r\nContent-Length: 25\r\n\r\n" + own}, 30730, shut, 0},
	{"PORT at the start of a segment of a POST", greeted,
		[]string{"c>POST / HTTP/1.1\r\nHost: a\r\n\r\n" + strings.Repeat("x", 3000), "c>\r\n", "c>" + own},
		30730, shut, 0},
	{"HTTP to a server that plays along", greeted,
		[]string{"c>POST / HTTP/1.1\r\nHost: a\r\n\r\n", "s>331 x\r\n", "c>USER u\r\n", "s>331 x\r\n",
			"c>PASS p\r\n", "s>230 in\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"HTTP after the login", loggedIn, []string{"c>GET / HTTP/1.1\r\nHost: a\r\n\r\n", "s>500 x\r\n",
		"c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"a header of HTTP after the login", loggedIn,
		[]string{"c>Host: a\r\n", "s>500 x\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"a wrong command after the login", loggedIn,
		[]string{"c>POSTS\r\n", "s>500 x\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},
	{"SMTP", greeted, []string{"c>EHLO a\r\n", "s>250 a\r\n", "c>MAIL FROM:<a@b>\r\nDATA\r\n",
		"s>250 ok\r\n354 go\r\n", "c>" + own + ".\r\n"}, 30730, shut, 0},
	{"TLS at once", greeted, []string{"c>\x16\x03\x01\x00\xa5\x01\x00", "c>\r\nUSER u\r\nPASS p\r\n",
		"s>331 x\r\n230 in\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"binary bytes", greeted, []string{"c>\x80\x2e\x01\x00\x02\n", "c>USER u\r\nPASS p\r\n",
		"s>331 x\r\n230 in\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},

	// Only its own address: the CERT tech tip of 1998 on PORT, nmap's ftp-bounce.
	{"own address", loggedIn, []string{"c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},
	{"own address by EPRT", loggedIn, []string{"c>EPRT |1|10.0.13.222|30730|\r\n", "s>200 ok\r\n"}, 30730,
		opens, 0},
	{"a third party", loggedIn,
		[]string{"c>PORT 203,0,113,25,0,25\r\n", "s>200 ok\r\n", "c>RETR mail.txt\r\n"}, 25, shut, 0},
	{"a neighbour", loggedIn, []string{"c>PORT 10,0,13,99,120,10\r\n", "s>200 ok\r\n"}, 30730, shut, 0},
	{"a neighbour by EPRT", loggedIn, []string{"c>EPRT |1|10.0.13.99|30730|\r\n", "s>200 ok\r\n"}, 30730,
		shut, 0},
	{"the server", loggedIn, []string{"c>PORT 10,0,1,66,120,10\r\n", "s>200 ok\r\n"}, 30730, shut, 0},
	{"the gateway, inside", loggedIn, []string{"c>PORT 10,0,13,1,120,10\r\n", "s>200 ok\r\n"}, 30730, shut,
		0},
	{"the gateway, outside", loggedIn, []string{"c>PORT 203,0,113,1,120,10\r\n", "s>200 ok\r\n"}, 30730, shut,
		0},
	{"the gateway, outside of a firewall", loggedIn, []string{"c>PORT 10,0,1,1,120,10\r\n", "s>200 ok\r\n"},
		30730, shut, 0},
	{"loopback", loggedIn, []string{"c>PORT 127,0,0,1,4,0\r\n", "s>200 ok\r\n"}, 1024, shut, 0},
	{"the address zero", loggedIn, []string{"c>PORT 0,0,0,0,4,1\r\n", "s>200 ok\r\n"}, 1025, shut, 0},
	{"multicast", loggedIn, []string{"c>PORT 224,0,0,1,4,1\r\n", "s>200 ok\r\n"}, 1025, shut, 0},
	{"broadcast", loggedIn, []string{"c>PORT 255,255,255,255,4,1\r\n", "s>200 ok\r\n"}, 1025, shut, 0},
	{"broadcast of its network", loggedIn, []string{"c>PORT 10,0,13,255,4,1\r\n", "s>200 ok\r\n"}, 1025, shut,
		0},
	{"an IPv6 address on IPv4", loggedIn, []string{"c>EPRT |2|fd00:13::222|30730|\r\n", "s>200 ok\r\n"},
		30730, shut, 0},
	{"its address in IPv6 form", loggedIn,
		[]string{"c>EPRT |2|::ffff:10.0.13.222|30730|\r\n", "s>200 ok\r\n"}, 30730, opens, 0},
	{"a neighbour in IPv6 form", loggedIn, []string{"c>EPRT |2|::ffff:10.0.13.99|30730|\r\n", "s>200 ok\r\n"},
		30730, shut, 0},

	// Ports of services: Blindspot's advisory of 2017 and those before it.
	{"port 139", loggedIn, []string{"c>PORT 10,0,13,222,0,139\r\n", "s>200 ok\r\n"}, 139, shut, 0},
	{"port 22 by EPRT", loggedIn, []string{"c>EPRT |1|10.0.13.222|22|\r\n", "s>200 ok\r\n"}, 22, shut, 0},
	{"port 1023", loggedIn, []string{"c>PORT 10,0,13,222,3,255\r\n", "s>200 ok\r\n"}, 1023, shut, 0},
	{"port 1024", loggedIn, []string{"c>PORT 10,0,13,222,4,0\r\n", "s>200 ok\r\n"}, 1024, opens, 0},
	{"port 0", loggedIn, []string{"c>PORT 10,0,13,222,0,0\r\n", "s>200 ok\r\n"}, 0, shut, 0},
	{"port 0 by EPRT", loggedIn, []string{"c>EPRT |1|10.0.13.222|0|\r\n", "s>200 ok\r\n"}, 0, shut, 0},

	// Numbers: the tests of pyftpdlib, curl and Suricata. The port is what a careless
	// reader would make of them.
	{"octet 257", loggedIn, []string{"c>PORT 10,0,13,222,257,1\r\n", "s>200 ok\r\n"}, 257, shut, 0},
	{"octet 376 for 120", loggedIn, []string{"c>PORT 10,0,13,222,376,10\r\n", "s>200 ok\r\n"}, 30730, shut,
		0},
	{"octet 478 for 222", loggedIn, []string{"c>PORT 10,0,13,478,120,10\r\n", "s>200 ok\r\n"}, 30730, shut,
		0},
	{"a number beyond 32 bits", loggedIn, []string{"c>PORT 10,0,13,222,4294967300,1\r\n", "s>200 ok\r\n"},
		1025, shut, 0},
	{"a number beyond 64 bits", loggedIn, []string{"c>PORT 10,0,13,222,18446744073709551620,1\r\n",
		"s>200 ok\r\n"}, 1025, shut, 0},
	{"a negative number", loggedIn, []string{"c>PORT 10,0,13,222,-1,0\r\n", "s>200 ok\r\n"}, 65280, shut, 0},
	{"seven numbers", loggedIn, []string{"c>PORT 10,0,13,222,4,1,9\r\n", "s>200 ok\r\n"}, 1025, shut, 0},
	{"five numbers", loggedIn, []string{"c>PORT 10,0,13,222,120\r\n", "s>200 ok\r\n"}, 30720, shut, 0},
	{"a number missing", loggedIn, []string{"c>PORT 10,0,,222,4,1\r\n", "s>200 ok\r\n"}, 1025, shut, 0},
	{"hexadecimal", loggedIn, []string{"c>PORT 10,0,13,222,0x78,10\r\n", "s>200 ok\r\n"}, 30730, shut, 0},
	{"leading zeros are decimal", loggedIn, []string{"c>PORT 010,000,013,222,120,010\r\n", "s>200 ok\r\n"},
		30730, opens, 0},
	{"leading zeros are not octal", loggedIn, []string{"c>PORT 012,0,015,0336,120,10\r\n", "s>200 ok\r\n"},
		30730, shut, 0},
	{"EPRT beyond 16 bits", loggedIn, []string{"c>EPRT |1|10.0.13.222|96266|\r\n", "s>200 ok\r\n"}, 30730,
		shut, 0},
	{"EPRT 65536", loggedIn, []string{"c>EPRT |1|10.0.13.222|65536|\r\n", "s>200 ok\r\n"}, 0, shut, 0},
	{"EPRT with a negative port", loggedIn, []string{"c>EPRT |1|10.0.13.222|-1|\r\n", "s>200 ok\r\n"}, 65535,
		shut, 0},
	{"EPRT of family 3", loggedIn, []string{"c>EPRT |3|10.0.13.222|30730|\r\n", "s>200 ok\r\n"}, 30730, shut,
		0},
	{"EPRT of the wrong family", loggedIn, []string{"c>EPRT |2|10.0.13.222|30730|\r\n", "s>200 ok\r\n"},
		30730, shut, 0},
	{"EPRT with a name", loggedIn, []string{"c>EPRT |1|localhost|30730|\r\n", "s>200 ok\r\n"}, 30730, shut,
		0},
	{"a line without end", loggedIn,
		[]string{"c>PORT " + strings.Repeat(" ", 5000) + "10,0,13,222,120,10\r\n", "s>200 ok\r\n"}, 30730,
		shut, 0},

	// Only a command is a command.
	{"PORT as a file name", loggedIn, []string{"c>STOR " + own, "s>150 ok\r\n"}, 30730, shut, 0},
	{"PORT in a file name", loggedIn, []string{"c>RETR x " + own, "s>550 no\r\n"}, 30730, shut, 0},
	{"PORT behind a carriage return", loggedIn, []string{"c>NOOP\r" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	// Blindspot's advisory of 2017: ftp://…/foodir%0APORT%2010,… in a URL library.
	{"PORT injected by a line feed", loggedIn, []string{"c>CWD foodir\n" + own, "s>250 ok\r\n200 ok\r\n"},
		30730, shut, 0},
	{"PORT after a line feed was answered", loggedIn,
		[]string{"c>CWD foodir\n", "s>250 ok\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},
	{"line feeds alone", loggedIn,
		[]string{"c>CWD foodir\nPORT 10,0,13,222,120,10\n", "s>250 ok\r\n200 ok\r\n"}, 30730, opens, 0},
	{"PORT from the server", loggedIn, []string{"s>" + own}, 30730, shut, 0},
	{"227 from the client", loggedIn, []string{"c>227 Entering Passive Mode (10,0,13,222,120,10).\r\n",
		"s>500 x\r\n"}, 30730, shut, 0},
	{"227 of the server with the client's address", loggedIn,
		[]string{"c>PASV\r\n", "s>227 Entering Passive Mode (10,0,13,222,120,10).\r\n"}, 30730, shut, 0},

	// EPSV ALL ends it (RFC 2428 section 4).
	{"PORT after EPSV ALL", loggedIn, []string{"c>EPSV ALL\r\n", "s>200 ok\r\n", "c>" + own, "s>200 ok\r\n"},
		30730, shut, 0},
	{"EPRT after EPSV ALL", loggedIn,
		[]string{"c>EPSV ALL\r\n", "s>200 ok\r\n", "c>EPRT |1|10.0.13.222|30730|\r\n", "s>200 ok\r\n"}, 30730,
		shut, 0},
	{"PORT in one segment with EPSV ALL", loggedIn,
		[]string{"c>EPSV ALL\r\n" + own, "s>200 ok\r\n200 ok\r\n"}, 30730, shut, 0},
	{"PORT after EPSV ALL was refused", loggedIn,
		[]string{"c>EPSV ALL\r\n", "s>502 no\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},

	// The last one counts, and an error closes.
	{"another PORT", loggedIn, []string{"c>" + own, "s>200 ok\r\n", "c>" + other, "s>200 ok\r\n"}, 30731,
		opens, 30730},
	{"another PORT at once", loggedIn, []string{"c>" + own + other, "s>200 ok\r\n200 ok\r\n"}, 30731, opens,
		30730},
	{"EPRT after PORT", loggedIn, []string{"c>" + own, "s>200 ok\r\n", "c>EPRT |1|10.0.13.222|30731|\r\n",
		"s>200 ok\r\n"}, 30731, opens, 30730},
	// kfki.hu/~kadlec, ftp_security3
	{"PORT refused by the server", loggedIn, []string{"c>" + own, "s>500 Illegal PORT command.\r\n"}, 30730,
		shut, 0},
	{"PORT refused for now", loggedIn, []string{"c>" + own, "s>421 bye\r\n"}, 30730, shut, 0},
	{"transfer refused", loggedIn, []string{"c>" + own, "s>200 ok\r\n", "c>RETR x\r\n", "s>550 no\r\n"},
		30730, shut, 0},
	{"transfer begun", loggedIn, []string{"c>" + own, "s>200 ok\r\n", "c>RETR x\r\n", "s>150 opening\r\n"},
		30730, opens, 0},
	{"an error to the command before", loggedIn, []string{"c>CWD x\r\n" + own, "s>550 no\r\n200 ok\r\n"},
		30730, opens, 0},
	{"an error to a command between", loggedIn,
		[]string{"c>" + own, "s>200 ok\r\n", "c>SIZE x\r\n", "s>550 no\r\n"}, 30730, opens, 0},

	// So does the end of the control connection.
	{"both hang up", loggedIn, []string{"c>" + own, "s>200 ok\r\n", "c!FIN", "s!FIN"}, 30730, shut, 0},
	{"the server hangs up first", loggedIn, []string{"c>" + own, "s>200 ok\r\n", "s!FIN", "c!FIN"}, 30730,
		shut, 0},
	{"reset by the client", loggedIn, []string{"c>" + own, "s>200 ok\r\n", "c!RST"}, 30730, shut, 0},
	{"reset by the server", loggedIn, []string{"c>" + own, "s>200 ok\r\n", "s!RST"}, 30730, shut, 0},
	{"QUIT", loggedIn, []string{"c>" + own, "s>200 ok\r\n", "c>QUIT\r\n", "s>221 bye\r\n"}, 30730, shut, 0},

	// TLS: nDPI's ftp-start-tls, and snort3_demo's ftp_active_get_eicar for the refusal.
	{"ciphertext that looks like PORT", loggedIn,
		[]string{"c>AUTH TLS\r\n", "s>234 Proceed with negotiation.\r\n", "c>\x16\x03\x01\x00\xa5\x01\x00",
			"c>\x17\x03\x03\x00 \n" + own + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}, 30730, shut, 0},
	{"PORT right behind AUTH TLS", loggedIn,
		[]string{"c>AUTH TLS\r\n", "s>234 ok\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"PORT in one segment with AUTH TLS", loggedIn, []string{"c>AUTH TLS\r\n" + own, "s>234 ok\r\n"}, 30730,
		shut, 0},
	{"AUTH GSSAPI accepted", loggedIn, []string{"c>AUTH GSSAPI\r\n", "s>334 ok\r\n", "c>" + own,
		"s>200 ok\r\n"}, 30730, shut, 0},
	{"a port open before TLS", loggedIn,
		[]string{"c>" + own, "s>200 ok\r\n", "c>AUTH TLS\r\n", "s>234 ok\r\n"}, 30730, shut, 0},
	{"AUTH TLS refused", loggedIn, []string{"c>AUTH TLS\r\n", "s>530 Please login with USER and PASS.\r\n",
		"c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},
}

// passiveRulings are about 227 and 229: the server 10.0.1.66 is to be protected, and
// its neighbour 10.0.1.99.
var passiveRulings = []ruling{
	{"227", loggedIn, []string{"c>PASV\r\n", "s>" + offer}, 30730, opens, 0},
	{"229", loggedIn, []string{"c>EPSV\r\n", "s>229 Entering Extended Passive Mode (|||30730|)\r\n"}, 30730,
		opens, 0},
	{"227 in several lines", loggedIn, []string{"c>PASV\r\n", "s>227-first\r\n227 Entering Passive Mode " +
		"(10,0,1,66,120,10).\r\n"}, 30730, opens, 0},
	{"227 before the login", greeted, []string{"c>PASV\r\n", "s>" + offer}, 30730, shut, 0},
	{"227 before the greeting", nothing, []string{"c>PASV\r\n", "s>" + offer}, 30730, shut, 0},
	{"227 to another protocol", greeted, []string{"c>GET / HTTP/1.1\r\nPASV\r\n", "s>" + offer}, 30730, shut,
		0},

	// Only the answer to PASV or EPSV: kfki.hu/~kadlec, ftp_security3.
	{"227 that nobody asked for", loggedIn, []string{"s>" + offer}, 30730, shut, 0},
	{"229 that nobody asked for", loggedIn, []string{"s>229 Entering Extended Passive Mode (|||30730|)\r\n"},
		30730, shut, 0},
	{"227 to another command", loggedIn, []string{"c>NOOP\r\n", "s>" + offer}, 30730, shut, 0},
	{"a second 227", loggedIn, []string{"c>PASV\r\n", "s>500 no\r\n", "s>" + offer}, 30730, shut, 0},
	{"two 227 to one PASV", loggedIn, []string{"c>PASV\r\n", "s>" + offer, "s>227 Entering Passive Mode " +
		"(10,0,1,66,120,11).\r\n"}, 30730, opens, 30731},
	{"227 in the greeting", nothing, []string{"s>220-ftp\r\n" + offer + "220 ready\r\n", "c>USER u\r\n",
		"s>331 x\r\n", "c>PASS p\r\n", "s>230 in\r\n"}, 30730, shut, 0},
	{"227 in a text while PASV waits", loggedIn,
		[]string{"c>HELP\r\nPASV\r\n", "s>214-help\r\n" + offer + "214 end\r\n"}, 30730, shut, 0},
	// Novell's TID 10076230: the words of HELP.
	{"227 in the words of HELP", loggedIn, []string{"c>HELP PASV\r\n", "s>214 Reply is " + offer}, 30730,
		shut, 0},
	// CERT VU#328867, with an argument that comes back.
	{"227 in an echo", loggedIn, []string{"c>NLST " + offer, "s>550 " + offer}, 30730, shut, 0},
	{"227 in an echo while PASV waits", loggedIn,
		[]string{"c>PASV\r\nNLST " + offer, "s>550 227 Entering Passive Mode (10,0,1,66,120,10)\r\n"}, 30730,
		shut, 0},
	{"227 behind a carriage return", loggedIn,
		[]string{"c>PASV\r\n", "s>500 x\r227 Entering Passive Mode (10,0,1,66,120,10)\r\n"}, 30730, shut, 0},
	{"227 in the first of several lines", loggedIn,
		[]string{"c>PASV\r\n", "s>227-Entering Passive Mode (10,0,1,66,120,10)\r\n"}, 30730, shut, 0},

	// The server's own address and no port of a service: D-Link's manual of its FTP ALG.
	{"another host", loggedIn, []string{"c>PASV\r\n", "s>227 Entering Passive Mode (10,0,1,99,120,10)\r\n"},
		30730, shut, 0},
	{"another host, port 22", loggedIn, []string{"c>PASV\r\n", "s>227 Entering Passive Mode " +
		"(10,0,1,99,0,22)\r\n"}, 22, shut, 0},
	{"the client", loggedIn, []string{"c>PASV\r\n", "s>227 Entering Passive Mode (203,0,113,222,120,10)\r\n"},
		30730, shut, 0},
	{"multicast", loggedIn, []string{"c>PASV\r\n", "s>227 Entering Passive Mode (224,0,0,1,120,10)\r\n"},
		30730, shut, 0},
	{"port 22", loggedIn, []string{"c>PASV\r\n", "s>227 Entering Passive Mode (10,0,1,66,0,22)\r\n"}, 22,
		shut, 0},
	{"port 23 by 229", loggedIn, []string{"c>EPSV\r\n", "s>229 Entering Extended Passive Mode (|||23|)\r\n"},
		23, shut, 0},
	{"port 0", loggedIn, []string{"c>PASV\r\n", "s>227 Entering Passive Mode (10,0,1,66,0,0)\r\n"}, 0, shut,
		0},
	{"octet 376 for 120", loggedIn, []string{"c>PASV\r\n", "s>227 Entering Passive Mode " +
		"(10,0,1,66,376,10)\r\n"}, 30730, shut, 0},
	// curl's test238
	{"229 beyond 16 bits", loggedIn, []string{"c>EPSV\r\n", "s>229 Entering Passive Mode (|||1000000|)\r\n"},
		16960, shut, 0},

	{"PASV after EPSV ALL", loggedIn, []string{"c>EPSV ALL\r\n", "s>200 ok\r\n", "c>PASV\r\n", "s>" + offer},
		30730, shut, 0},
	{"EPSV after EPSV ALL", loggedIn, []string{"c>EPSV ALL\r\n", "s>200 ok\r\n", "c>EPSV\r\n",
		"s>229 Entering Extended Passive Mode (|||30730|)\r\n"}, 30730, opens, 0},
	{"another PASV", loggedIn, []string{"c>PASV\r\n", "s>" + offer, "c>PASV\r\n",
		"s>227 Entering Passive Mode (10,0,1,66,120,11).\r\n"}, 30731, opens, 30730},
	{"transfer refused", loggedIn, []string{"c>PASV\r\n", "s>" + offer, "c>RETR x\r\n", "s>550 no\r\n"},
		30730, shut, 0},
	{"transfer begun", loggedIn, []string{"c>PASV\r\n", "s>" + offer, "c>RETR x\r\n"}, 30730, opens, 0},
	{"both hang up", loggedIn, []string{"c>PASV\r\n", "s>" + offer, "c!FIN", "s!FIN"}, 30730, shut, 0},
	{"the server hangs up", loggedIn, []string{"c>PASV\r\n", "s>" + offer, "s!FIN"}, 30730, shut, 0},
	{"the client has no more commands", loggedIn,
		[]string{"c>PASV\r\n", "s>" + offer, "c>RETR x\r\n", "c!FIN"}, 30730, opens, 0},
	{"reset by the client", loggedIn, []string{"c>PASV\r\n", "s>" + offer, "c!RST"}, 30730, shut, 0},
	{"reset by the server", loggedIn, []string{"c>PASV\r\n", "s>" + offer, "s!RST"}, 30730, shut, 0},
	{"ciphertext that looks like 227", loggedIn,
		[]string{"c>AUTH TLS\r\n", "s>234 ok\r\n", "c>PASV\r\n", "s>" + offer}, 30730, shut, 0},
}

// activeRulings6 are what differs for IPv6, for the client fd00:13::222.
var activeRulings6 = []ruling{
	{"own address", loggedIn, []string{"c>EPRT |2|fd00:13::222|30730|\r\n", "s>200 ok\r\n"}, 30730, opens, 0},
	{"a neighbour", loggedIn, []string{"c>EPRT |2|fd00:13::63|30730|\r\n", "s>200 ok\r\n"}, 30730, shut, 0},
	{"the gateway", loggedIn, []string{"c>EPRT |2|2001:db8:113::1|30730|\r\n", "s>200 ok\r\n"}, 30730, shut,
		0},
	{"loopback", loggedIn, []string{"c>EPRT |2|::1|30730|\r\n", "s>200 ok\r\n"}, 30730, shut, 0},
	{"the address zero", loggedIn, []string{"c>EPRT |2|::|30730|\r\n", "s>200 ok\r\n"}, 30730, shut, 0},
	{"multicast", loggedIn, []string{"c>EPRT |2|ff02::1|30730|\r\n", "s>200 ok\r\n"}, 30730, shut, 0},
	{"an IPv4 address", loggedIn, []string{"c>EPRT |1|10.0.13.222|30730|\r\n", "s>200 ok\r\n"}, 30730, shut,
		0},
	{"PORT", loggedIn, []string{"c>" + own, "s>200 ok\r\n"}, 30730, shut, 0},
	{"a zone", loggedIn, []string{"c>EPRT |2|fd00:13::222%eth0|30730|\r\n", "s>200 ok\r\n"}, 30730, shut, 0},
	{"port 22", loggedIn, []string{"c>EPRT |2|fd00:13::222|22|\r\n", "s>200 ok\r\n"}, 22, shut, 0},
}

// passiveRulings6 are the same for the server fd00:1::66.
var passiveRulings6 = []ruling{
	{"229", loggedIn, []string{"c>EPSV\r\n", "s>229 ok (|||30730|)\r\n"}, 30730, opens, 0},
	{"229, port 22", loggedIn, []string{"c>EPSV\r\n", "s>229 ok (|||22|)\r\n"}, 22, shut, 0},
	{"227", loggedIn, []string{"c>PASV\r\n", "s>" + offer}, 30730, shut, 0},
}

// otherPorts are dialogues on connections that are not FTP's control connection.
var otherPorts = map[uint16]ruling{
	80: {"HTTP reply", nothing, []string{"c>GET / HTTP/1.1\r\n\r\n", "s>HTTP/1.1 200 OK\r\nContent-Type: " +
		"text/plain\r\n\r\n227 Entering Passive Mode (10,0,13,222,120,10)\r\n"}, 30730, shut, 0},
	587: {"mail", nothing, []string{"s>220 mail\r\n", "c>DATA\r\n", "s>354 go\r\n",
		"c>" + own + offer + ".\r\n"}, 30730, shut, 0},
}

// judge plays a dialogue and checks what is open then to from.
func (n *guarded) judge(t *testing.T, k ruling, ipv6 bool, control uint16, host, from *lab.Host) {
	t.Helper()
	for _, port := range []uint16{k.port, k.closed} {
		if port != 0 {
			n.listen(t, port)
		}
	}
	d := n.connect(t, n.Client, ipv6, control).start(k.from)
	if n.restart != nil {
		d.play(n.restart...)
		n.g.kill()
		n.g.start()
		time.Sleep(n.pause)
	}
	d.play(k.segments...)
	if k.opens {
		es := n.g.expectations()
		if len(es) != 1 || es[0].Target.Port() != k.port && es[0].Dst.Port() != k.port {
			t.Errorf("open is %+v, want port %d alone", es, k.port)
			return
		}
		if k.closed != 0 {
			n.wantClosed(t, from, ipv6, k.closed)
		}
		if who := reachAnew(from, es[0].Dst); who != host.String() {
			t.Errorf("%s reaches %q at %s, want the %s", from, who, es[0].Dst, host)
		}
	}
	if es := n.g.expectations(); len(es) != 0 {
		t.Errorf("open is %+v, want nothing", es)
	}
	if k.port != 0 {
		n.wantClosed(t, from, ipv6, k.port)
	}
}

// What opens a port is used by the peer once; everything else leaves no way in.
func TestPortOpensForAReasonAlone(t *testing.T) {
	for _, k := range kinds {
		if k.active {
			t.Run("active/"+k.name, func(t *testing.T) {
				t.Parallel()
				n := newGuarded(t, k, "")
				for _, c := range activeRulings {
					t.Run(c.name, func(t *testing.T) { n.judge(t, c, false, 21, n.Client, n.Server) })
				}
				for _, c := range activeRulings6 {
					t.Run("IPv6/"+c.name, func(t *testing.T) { n.judge(t, c, true, 21, n.Client, n.Server) })
				}
				for port, c := range otherPorts {
					t.Run(c.name, func(t *testing.T) { n.judge(t, c, false, port, n.Client, n.Server) })
				}
			})
		}
		if k.passive {
			t.Run("passive/"+k.name, func(t *testing.T) {
				t.Parallel()
				n := newGuarded(t, k, "")
				for _, c := range passiveRulings {
					t.Run(c.name, func(t *testing.T) { n.judge(t, c, false, 21, n.Server, n.Client) })
				}
				for _, c := range passiveRulings6 {
					t.Run("IPv6/"+c.name, func(t *testing.T) { n.judge(t, c, true, 21, n.Server, n.Client) })
				}
			})
		}
	}
}

// CRLF injection cannot be told from a client that does not wait, but in a network
// of clients that do.
func TestInjectedCommandOpensNothingWhereClientsWaitForReplies(t *testing.T) {
	n := newGuarded(t, kinds[1], "strict:\n  wait_for_reply: true\n")
	for _, c := range []ruling{
		{"in one segment", loggedIn, []string{"c>CWD foodir\r\n" + own, "s>250 ok\r\n500 x\r\n"}, 30730, shut,
			0},
		{"in two", loggedIn, []string{"c>CWD foodir\r\n", "c>" + own, "s>250 ok\r\n500 x\r\n"}, 30730, shut,
			0},
		{"after the reply", loggedIn,
			[]string{"c>CWD foodir\r\n", "s>250 ok\r\n", "c>" + own, "s>200 ok\r\n"}, 30730, opens, 0},
	} {
		t.Run(c.name, func(t *testing.T) { n.judge(t, c, false, 21, n.Client, n.Server) })
	}
}

// The cases of a port that is open to one, for both sides.
var openers = []struct {
	name     string
	active   bool
	ipv6     bool
	segments []string
}{
	{"PORT", true, false, []string{"c>" + own, "s>200 ok\r\n"}},
	{"EPRT", true, true, []string{"c>EPRT |2|fd00:13::222|30730|\r\n", "s>200 ok\r\n"}},
	{"PASV", false, false, []string{"c>PASV\r\n", "s>" + offer}},
	{"EPSV", false, true, []string{"c>EPSV\r\n", "s>229 ok (|||30730|)\r\n"}},
}

// eachOpener opens port 30730 in all ways; peer is whom it is for, and stranger the one beside.
func eachOpener(t *testing.T, yaml string,
	f func(t *testing.T, n *guarded, ipv6 bool, e conntrack.Expectation, host, peer, stranger *lab.Host)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, k, yaml)
			for _, o := range openers {
				if o.active && !k.active || !o.active && !k.passive {
					continue
				}
				t.Run(o.name, func(t *testing.T) {
					n.listen(t, 30730)
					d := n.connect(t, n.Client, o.ipv6, 21).start(loggedIn)
					d.play(o.segments...)
					es := n.g.expectations()
					if len(es) != 1 {
						t.Fatalf("open is %+v, want one port", es)
					}
					if o.active {
						f(t, n, o.ipv6, es[0], n.Client, n.Server, n.serverNeighbour)
					} else {
						f(t, n, o.ipv6, es[0], n.Server, n.Client, n.clientNeighbour)
					}
					d.play("c>QUIT\r\n", "s>221 bye\r\n")
				})
			}
		})
	}
}

func TestOpenPortIsForItsPeerAloneAndOnce(t *testing.T) {
	eachOpener(t, "", func(t *testing.T, n *guarded, ipv6 bool, e conntrack.Expectation, host, peer,
		stranger *lab.Host) {
		if who := reach(stranger, e.Dst, soon); who != "" {
			t.Errorf("%s reaches %s at %s", stranger, who, e.Dst)
		}
		n.wantClosed(t, stranger, ipv6, e.Dst.Port())
		if who := reachAnew(peer, e.Dst); who != host.String() {
			t.Errorf("%s reaches %q at %s, want the %s", peer, who, e.Dst, host)
		}
		n.g.wantNothingOpen()
		n.wantClosed(t, peer, ipv6, e.Dst.Port())
	})
}

func TestOpenPortExpires(t *testing.T) {
	eachOpener(t, "pinhole_timeout: 2s\n", func(t *testing.T, n *guarded, ipv6 bool, e conntrack.Expectation,
		_, peer, _ *lab.Host) {
		begin := time.Now()
		if e.Timeout > 2*time.Second {
			t.Errorf("it is open for %v, want 2s at most", e.Timeout)
		}
		for len(n.g.expectations()) != 0 {
			if time.Sleep(20 * time.Millisecond); time.Since(begin) > patience {
				t.Fatalf("it is open for longer than %s, want 2s", patience)
			}
		}
		n.wantClosed(t, peer, ipv6, e.Dst.Port())
	})
}

// Zeek's capture ftp-many-port-expected has 500, with a third party's address.
func TestFloodOfPORTsLeavesOnePortOpenAtMost(t *testing.T) {
	for address, want := range map[string]int{"10,0,13,222": 1, "10,0,13,99": 0} {
		t.Run(address, func(t *testing.T) {
			n := newGuarded(t, kinds[1], "")
			d := n.connect(t, n.Client, false, 21).start(loggedIn)
			var text strings.Builder
			for i := range 500 {
				fmt.Fprintf(&text, "PORT %s,78,%d\r\n", address, i%256)
			}
			d.play("c>" + text.String())
			if es := n.g.expectations(); len(es) != want {
				t.Errorf("open are %+v, want %d", es, want)
			}
		})
	}
}

func TestBytesOfADataConnectionOpenNothing(t *testing.T) {
	for _, m := range []ftptest.Mode{ftptest.PORT, ftptest.EPSV} {
		t.Run(string(m), func(t *testing.T) {
			r := routed(t, (*lab.Lab).Firewall)
			s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
			s.Put("lines", []byte("220 ready\r\n230 in\r\n"+own+offer))
			g := startGateway(t, r.Gateway)
			get(t, login(t, r.Client, r.Server.AddrPort(false, 21)), s, m, "lines")
			g.wantNothingOpen()
			if who := reach(r.Server, netip.MustParseAddrPort("10.0.13.222:30730"), soon); who != "" {
				t.Errorf("the server reaches %s", who)
			}
		})
	}
}

// The session must go on without the program, with the offset that a longer PORT left behind.
func TestTLSSessionIsOpaqueAndLeavesTheQueue(t *testing.T) {
	n := newGuarded(t, kinds[1], "")
	for _, c := range []struct {
		name string
		from int
		say  []string
	}{
		{"before the login", greeted, nil},
		{"after a PORT that was rewritten", loggedIn, []string{"c>" + own, "s>200 ok\r\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n.listen(t, 30730)
			d := n.connect(t, n.Client, false, 21).start(c.from)
			d.play(c.say...)
			n.g.wantState(t, d.original(), conntrack.StateOpaque, 0)
			d.play("c>AUTH TLS\r\n", "s>234 Proceed with negotiation.\r\n", "c>\x16\x03\x01\x00\xa5\x01\x00")
			n.g.wantState(t, d.original(), conntrack.StateOpaque|conntrack.StateBusy, conntrack.StateOpaque)
			n.g.frozen(func() {
				for i := range uint64(4) {
					text := string(ftptest.Random(60_000, i)) + "\n" + own + offer
					if got := d.play("c>" + text); got != text {
						t.Errorf("the server received %d bytes, other than the %d sent", len(got), len(text))
					}
					if got := d.play("s>" + text); got != text {
						t.Errorf("the client received %d bytes, other than the %d sent", len(got), len(text))
					}
				}
			})
			n.g.wantNothingOpen()
			n.wantClosed(t, n.Server, false, 30730)
		})
	}
	t.Run("twin in clear text waits for the program", func(t *testing.T) {
		d := n.connect(t, n.Client, false, 21).start(loggedIn)
		n.g.frozen(func() {
			_, err := d.client.Write([]byte("NOOP\r\n"))
			must(t, err)
			must(t, d.server.SetReadDeadline(time.Now().Add(soon)))
			if k, err := d.server.Read(make([]byte, 100)); err == nil {
				t.Errorf("%d bytes came past the program: the test proves nothing", k)
			}
		})
	})
}

func TestTLSDenied(t *testing.T) {
	n := newGuarded(t, kinds[1], "tls: deny\n")
	for _, command := range []string{"AUTH TLS\r\n", "AUTH SSL\r\n", "auth tls\r\n", "AUTH TLS-C\r\n"} {
		t.Run(strings.TrimSpace(command), func(t *testing.T) {
			d := n.connect(t, n.Client, false, 21).start(greeted)
			got := d.play("c>" + command)
			if strings.Contains(strings.ToUpper(got), "TLS") ||
				strings.Contains(strings.ToUpper(got), "SSL") {
				t.Errorf("the server received %q", got)
			}
			d.play("s>504 no\r\n")
			n.g.wantState(t, d.original(), conntrack.StateOpaque, 0)
		})
	}
	n.judge(t, ruling{"", loggedIn, []string{"c>AUTH TLS\r\n", "s>504 no\r\n", "c>" + own, "s>200 ok\r\n"},
		30730, opens, 0}, false, 21, n.Client, n.Server)
	n.g.wantRefusals(t, 0, "tls_denied", "tls_denied", "tls_denied", "tls_denied", "tls_denied")
}

// wantRefusal sends a command that must be answered by one of these codes.
func wantRefusal(t testing.TB, c *ftptest.Client, command string, codes ...int) {
	t.Helper()
	r, err := c.Cmd(command)
	if err != nil || !slices.Contains(codes, r.Code) {
		t.Errorf("%s is answered by %s, %v, want %d", command, r, err, codes)
	}
}

// The server here would connect to whomever it is told, so it is the gateway that has it refuse.
func TestRefusedPORTIsAnsweredByAnErrorAtOnce(t *testing.T) {
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			r := routed(t, k.make)
			s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
			g := startGateway(t, r.Gateway)
			for _, c := range []struct {
				before, command, reason string
			}{
				{"", "PORT 10,0,13,99,120,10", "foreign_address"},
				{"", "PORT 127,0,0,1,4,0", "foreign_address"},
				{"", "PORT 224,0,0,1,4,1", "foreign_address"},
				{"", "PORT 10,0,13,1,120,10", "foreign_address"},
				{"", "EPRT |1|10.0.13.99|30730|", "foreign_address"},
				{"", "EPRT |2|fd00:13::222|30730|", "wrong_family"},
				{"", "PORT 10,0,13,222,0,139", "low_port"},
				{"", "EPRT |1|10.0.13.222|22|", "low_port"},
				{"EPSV ALL", "PORT 10,0,13,222,120,10", "after_epsv_all"},
				{"EPSV ALL", "PASV", "after_epsv_all"},
			} {
				t.Run(c.before+" "+c.command, func(t *testing.T) {
					client := login(t, r.Client, r.Server.AddrPort(false, 21))
					if c.before != "" {
						_, err := client.Cmd(c.before)
						must(t, err)
					}
					had := len(g.refusals())
					wantRefusal(t, client, c.command, 500, 501)
					g.wantRefusals(t, had, c.reason)
					g.wantNothingOpen()
					mode := ftptest.PORT
					if c.before != "" {
						mode = ftptest.EPSV
					}
					get(t, client, s, mode, "small") // the session goes on
				})
			}
		})
	}
}

func TestRefusedPassiveReplyIs425(t *testing.T) {
	for _, k := range []kind{kinds[0], kinds[2]} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			r := routed(t, k.make)
			at := r.Server.AddrPort(false, 21)
			if !k.active {
				at = r.Outside.AddrPort(false, 21)
			}
			g := startGateway(t, r.Gateway)
			for _, c := range []struct{ command, reply, reason string }{
				{"PASV", "227 Entering Passive Mode (10,0,1,99,120,10).", "foreign_address"},
				{"PASV", "227 Entering Passive Mode (10,0,1,66,0,22).", "low_port"},
				{"EPSV", "229 Entering Extended Passive Mode (|||22|)", "low_port"},
				{"NOOP", "227 Entering Passive Mode (10,0,1,66,120,10).", ""},
			} {
				t.Run(c.reply, func(t *testing.T) {
					told := func(netip.AddrPort) string { return c.reply }
					s := serve(t, &ftptest.Server{Format227: told, Format229: told}, r.Server,
						r.Server.AddrPort(false, 21))
					defer s.Close()
					client := login(t, r.Client, at)
					had := len(g.refusals())
					if c.reason == "" {
						wantRefusal(t, client, c.command, 200)
					} else {
						wantRefusal(t, client, c.command, 425)
						g.wantRefusals(t, had, c.reason)
					}
					g.wantNothingOpen()
				})
			}
			s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
			get(t, login(t, r.Client, at), s, ftptest.PASV, "small")
		})
	}
}

func TestLimitsOfAClientAreClearRefusals(t *testing.T) {
	command := func(i int) string { return fmt.Sprintf("PORT 10,0,13,222,120,%d", i) }
	for _, c := range []struct {
		name, yaml, reason string
		// over goes beyond the limit, and the last command of it is to be refused.
		over func(t *testing.T, session func() *ftptest.Client, refused func(*ftptest.Client))
	}{
		{"sessions", "limits: {per_client: {sessions: 2}}\n", "session_limit",
			func(t *testing.T, session func() *ftptest.Client, refused func(*ftptest.Client)) {
				first := session()
				session()
				refused(session())
				accepted(t, first, command(1))
			}},
		{"open ports", "limits: {per_client: {open: 2}}\n", "pinhole_limit",
			func(t *testing.T, session func() *ftptest.Client, refused func(*ftptest.Client)) {
				for i := range 2 {
					c := session()
					accepted(t, c, command(i))
					accepted(t, c, command(i+2)) // takes the place of the other
				}
				refused(session())
			}},
		{"new ports a minute", "limits: {per_client: {new_per_minute: 3}}\n", "rate_limit",
			func(t *testing.T, session func() *ftptest.Client, refused func(*ftptest.Client)) {
				c := session()
				for i := range 3 {
					accepted(t, c, command(i))
				}
				refused(c)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := routed(t, (*lab.Lab).ClientBehindNAT)
			s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
			g := withConfig(t, r.Gateway, c.yaml)
			session := func() *ftptest.Client { return login(t, r.Client, r.Server.AddrPort(false, 21)) }
			c.over(t, session, func(client *ftptest.Client) {
				before := g.expectations()
				wantRefusal(t, client, "PORT 10,0,13,222,120,99", 500, 501)
				g.wantRefusals(t, 0, c.reason)
				for _, e := range g.expectations() {
					if e.Target.Port() == 30819 {
						t.Errorf("open is %+v beside %+v", e, before)
					}
				}
				if reply, err := client.Cmd("NOOP"); err != nil || reply.Code != 200 {
					t.Errorf("then NOOP is answered by %s, %v", reply, err)
				}
			})
			// Another client has limits of its own.
			get(t, login(t, neighbour(t, r.Inside, "neighbour"), r.Server.AddrPort(false, 21)), s,
				ftptest.PORT, "small")
		})
	}
}

// A policy of some networks is for these alone, and a reload changes it for sessions that run.
func TestPolicyOfSomeNetworksIsForTheseAlone(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	at := r.Server.AddrPort(false, 21)
	guest := neighbour(t, r.Inside, "guest")
	file := filepath.Join(t.TempDir(), "ftpalg.yaml")
	configure := func(entry string) {
		t.Helper()
		must(t, os.WriteFile(file, []byte("strict: {deny: [SITE]}\npolicies:\n"+entry), 0o644))
	}
	client := r.Client.AddrPort(false, 21).Addr()
	configure(fmt.Sprintf("- clients: [%s]\n  servers: [%s]\n  active: false\n  strict: {read_only: true}\n",
		client, at.Addr()))
	g := startGateway(t, r.Gateway, "--config", file)
	one, two := login(t, r.Client, at), login(t, guest, at)
	const command = "PORT 10,0,13,222,120,10"
	wantRefusal(t, one, command, 500, 501)
	wantRefusal(t, one, "STOR x", 500, 500)
	wantRefusal(t, one, "SITE HELP", 500, 500) // as for all
	g.wantNothingOpen()
	get(t, one, s, ftptest.PASV, "small")
	get(t, two, s, ftptest.PORT, "small")
	wantRefusal(t, two, "SITE HELP", 500, 500)

	configure(fmt.Sprintf("- servers: [%s]\n  passive: false\n", at.Addr()))
	g.reload()
	get(t, one, s, ftptest.PORT, "small")
	if reply, err := one.Cmd("PASV"); err != nil || reply.Code != 425 {
		t.Errorf("PASV is answered by %s, %v", reply, err)
	}
	g.wantRefusals(t, 0, "active_off", "read_only", "read_only", "command_denied", "passive_off")
	g.wantNothingOpen()
}

// accepted sends a command that must be answered by 200.
func accepted(t testing.TB, c *ftptest.Client, command string) {
	t.Helper()
	if r, err := c.Cmd(command); err != nil || r.Code != 200 {
		t.Errorf("%s is answered by %s, %v", command, r, err)
	}
}

func TestPortThatIsUsedMakesRoomInTheLimit(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	g := withConfig(t, r.Gateway, "limits: {per_client: {open: 1}}\n")
	for range 3 {
		get(t, login(t, r.Client, r.Server.AddrPort(false, 21)), s, ftptest.PORT, "small")
	}
	g.wantNothingOpen()
}

func TestProcessCanDoNoMoreThanItMust(t *testing.T) {
	r := routed(t, (*lab.Lab).Firewall)
	for _, c := range []struct{ metrics, listens string }{{"", ""}, {"127.0.0.1:9821", "0100007F:265D"}} {
		t.Run("metrics at "+c.metrics, func(t *testing.T) {
			g := startGateway(t, r.Gateway, "--metrics-address", c.metrics)
			for _, thread := range g.threads() {
				wantRestricted(t, thread)
			}
			if got := strings.Join(listening(t, g.cmd.Process.Pid), " "); got != c.listens {
				t.Errorf("it listens on %q, want %q", got, c.listens)
			}
			g.stop()
		})
	}
}

// wantRestricted checks the status of a thread.
func wantRestricted(t *testing.T, status string) {
	t.Helper()
	text, err := os.ReadFile(status)
	must(t, err)
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	admin := fmt.Sprintf("%016x", 1<<unix.CAP_NET_ADMIN)
	none := fmt.Sprintf("%016x", 0)
	for key, want := range map[string]string{
		"CapEff": admin, "CapPrm": admin, "CapBnd": admin, "CapInh": none, "CapAmb": none, "NoNewPrivs": "1",
	} {
		if fields[key] != want {
			t.Errorf("%s: %s is %q, want %q", status, key, fields[key], want)
		}
	}
}

// listening lists what a process' network has of sockets to which others can send, as /proc does.
func listening(t *testing.T, process int) (local []string) {
	t.Helper()
	const listen, anyState = "0A", ""
	for file, state := range map[string]string{
		"tcp": listen, "tcp6": listen, "udp": anyState, "udp6": anyState, "raw": anyState, "raw6": anyState,
	} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", process, file))
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); f[0] != "sl" && (state == anyState || f[3] == state) {
				local = append(local, f[1])
			}
		}
	}
	return local
}
