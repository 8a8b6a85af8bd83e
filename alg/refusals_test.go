package alg

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
)

func TestNothingOpensEvenForAWhile(t *testing.T) {
	for _, a := range []scene{
		// CERT tech tip 1998 "Problems With The FTP PORT Command", CA-97.27; nmap's ftp-bounce.
		{"bounce to a third party's web server", insideOut, loggedIn,
			[]string{"c>PORT 2,2,2,3,0,80\r\n", "s>200 Operation successful\r\n"}},
		{"bounce to a third party's mail server", insideOut, loggedIn,
			[]string{"c>PORT 203,0,113,25,0,25\r\n", "c>RETR mail.txt\r\n"}},
		{"bounce through EPRT", insideOut, loggedIn, []string{"c>EPRT |1|203.0.113.25|25|\r\n"}},
		{"bounce to a high port", insideOut, loggedIn,
			[]string{"c>PORT 203,0,113,25,200,10\r\n", "s>200 ok\r\n"}},
		{"bounce to the gateway", insideOut, loggedIn,
			[]string{"c>PORT 203,0,113,7,200,10\r\n", "s>200 ok\r\n"}},
		{"bounce to the server itself", insideOut, loggedIn,
			[]string{"c>PORT 198,51,100,9,200,10\r\n", "s>200 ok\r\n"}},
		// mscdex/node-ftp write-up
		{"PORT names loopback", insideOut, loggedIn, []string{"c>PORT 127,0,0,1,4,0\r\n"}},
		{"PORT names any address", insideOut, loggedIn, []string{"c>PORT 0,0,0,0,4,1\r\n"}},
		{"PORT names multicast", insideOut, loggedIn, []string{"c>PORT 224,0,0,1,4,1\r\n"}},
		{"PORT names broadcast", insideOut, loggedIn, []string{"c>PORT 255,255,255,255,4,1\r\n"}},
		{"EPRT names loopback", insideOut, loggedIn, []string{"c>EPRT |1|127.0.0.1|1024|\r\n"}},
		// liyihao17 RST_cluster
		{"port number 0", insideOut, loggedIn,
			[]string{"c>PORT 10,1,1,1,0,0\r\n", "s>500 Illegal PORT Command\r\n"}},
		// Olsson 2000
		{"own privileged port", insideOut, loggedIn, []string{"c>PORT 10,1,1,1,0,139\r\n", "s>200 ok\r\n"}},
		{"own highest privileged port", insideOut, loggedIn,
			[]string{"c>PORT 10,1,1,1,3,255\r\n", "s>200 ok\r\n"}},
		{"own privileged port through EPRT", insideOut, loggedIn,
			[]string{"c>EPRT |1|10.1.1.1|22|\r\n", "s>200 ok\r\n"}},
		// RFC 2428 section 4
		{"PORT after EPSV ALL", insideOut, loggedIn, []string{"c>EPSV ALL\r\n", "s>200 EPSV ALL ok.\r\n",
			ownPort, "s>501 PORT not allowed after EPSV ALL.\r\n"}},
		{"PORT in one segment with EPSV ALL", insideOut, loggedIn,
			[]string{"c>epsv all\r\nPORT 10,1,1,1,200,10\r\n"}},
		// oss-security 2017-02-20, Java and Python FTP injection.
		{"LF in a CWD", insideOut, loggedIn, []string{"c>CWD foodir\nPORT 10,1,1,1,5,57\r\n"}},
		{"LF in a CWD, a blank line between", insideOut, loggedIn,
			[]string{"c>CWD foodir\n\r\nPORT 10,1,1,1,5,57\r\n"}},
		{"LF in a CWD, then EPRT", insideOut, loggedIn, []string{"c>CWD foodir\nEPRT |1|10.1.1.1|1337|\r\n"}},
		{"CRLF in a user name", insideOut, greeted,
			[]string{"c>USER a\r\nPORT 10,1,1,1,200,10\r\n", "s>331 Password?\r\n"}},
		{"PORT is a file name", insideOut, loggedIn, []string{"c>STOR PORT 10,1,1,1,5,57\r\n"}},
		{"PORT is a user name", insideOut, greeted, []string{"c>USER PORT 10,1,1,1,5,57\r\n"}},
		{"PORT is a user name of a session logged in", insideOut, loggedIn,
			[]string{"c>USER PORT 10,1,1,1,5,57\r\n"}},
		{"PORT behind a bare CR", insideOut, loggedIn, []string{"c>NOOP\rPORT 10,1,1,1,5,57\r\n"}},
		{"PORT behind a bare CR in an argument", insideOut, loggedIn,
			[]string{"c>CWD a\rPORT 10,1,1,1,5,57\r\n"}},
		{"PORT behind NUL", insideOut, loggedIn, []string{"c>CWD a\x00PORT 10,1,1,1,5,57\r\n"}},
		// Numbers out of range: pyftpdlib test_functional.py, curl test237, Suricata mod.rs.
		{"octet 257", insideOut, loggedIn, []string{"c>PORT 10,1,1,1,257,1\r\n"}},
		{"octet beyond 32 bits", insideOut, loggedIn, []string{"c>PORT 10,1,1,1,4294967300,1\r\n"}},
		{"octet beyond 64 bits", insideOut, loggedIn, []string{"c>PORT 10,1,1,1,18446744073709551621,1\r\n"}},
		{"negative octet", insideOut, loggedIn, []string{"c>PORT 10,1,1,1,-1,0\r\n"}},
		{"seven numbers", insideOut, loggedIn, []string{"c>PORT 10,1,1,1,4,1,9\r\n"}},
		{"empty number", insideOut, loggedIn, []string{"c>PORT 10,1,,1,4,1\r\n"}},
		{"octal for another host", insideOut, loggedIn, []string{"c>PORT 012,1,1,1,4,1\r\n"}},
		{"EPRT port 65536", insideOut, loggedIn, []string{"c>EPRT |1|10.1.1.1|65536|\r\n"}},
		{"EPRT port beyond 32 bits", insideOut, loggedIn, []string{"c>EPRT |1|10.1.1.1|4294971296|\r\n"}},
		{"EPRT negative port", insideOut, loggedIn, []string{"c>EPRT |1|10.1.1.1|-1|\r\n"}},
		{"EPRT family 3", insideOut, loggedIn, []string{"c>EPRT |3|10.1.1.1|4000|\r\n"}},
		{"EPRT IPv4 as family 2", insideOut, loggedIn, []string{"c>EPRT |2|10.1.1.1|4000|\r\n"}},
		{"EPRT with a name", insideOut, loggedIn, []string{"c>EPRT |1|localhost|4000|\r\n"}},
		// suricata-verify ftp-too-long-command.
		{"long line of blanks", insideOut, loggedIn,
			[]string{"c>PORT " + strings.Repeat(" ", 3000) + "10,1,1,1,4,1\r\n"}},
		{"long line of zeros", insideOut, loggedIn,
			[]string{"c>PORT " + strings.Repeat("0", 3000) + "10,1,1,1,4,1\r\n"}},
		{"long line whose tail is a PORT", insideOut, loggedIn,
			[]string{"c>STOR " + strings.Repeat("a", 507) + "PORT 10,1,1,1,4,1\r\n"}},
		{"long EPRT", insideOut, loggedIn,
			[]string{"c>EPRT " + strings.Repeat(" ", 3000) + "|1|10.1.1.1|1025|\r\n"}},
		{"long 227", publicly, loggedIn,
			[]string{"c>PASV\r\n", "s>227 " + strings.Repeat("a", 3000) + " 1 (10,0,0,5,200,10)\r\n"}},
		{"long 227 of digits", publicly, loggedIn,
			[]string{"c>PASV\r\n", "s>227 " + strings.Repeat("1", 3000) + ",0,0,5,200,10\r\n"}},
		// CERT VU#328867 and CVE-2002-1978: the server is made to echo.
		{"227 echoed while a PASV waits", publicly, loggedIn,
			[]string{"c>NLST 227 (10,0,0,5,200,10)\r\nPASV\r\n",
				"s>550 227 (10,0,0,5,200,10): No such file\r\n"}},
		{"229 that nobody asked for", publicly, loggedIn,
			[]string{"s>229 Entering Extended Passive Mode (|||51210|)\r\n"}},
		{"227 to another command", publicly, loggedIn,
			[]string{"c>NOOP\r\n", "s>227 Entering Passive Mode (10,0,0,5,200,10).\r\n"}},
		{"227 in the banner, PASV sent ahead", publicly, nothing,
			[]string{"c>USER a\r\nPASS b\r\nPASV\r\n",
				"s>220-ftp\r\n227 Entering Passive Mode (10,0,0,5,200,10)\r\n220 ready\r\n"}},
		{"227 in a listing while a PASV waits", publicly, loggedIn,
			[]string{"c>STAT .\r\nPASV\r\n", "s>213-x\r\n227 (10,0,0,5,200,10)\r\n213 end\r\n"}},
		{"indented 227", publicly, loggedIn, []string{"c>PASV\r\n", "s> 227 (10,0,0,5,200,10)\r\n"}},
		{"227 names another inside host's high port", publicly, loggedIn,
			[]string{"c>PASV\r\n", "s>227 Entering Passive Mode (10,0,0,99,200,10)\r\n"}},
		{"227 names the client", publicly, loggedIn,
			[]string{"c>PASV\r\n", "s>227 Entering Passive Mode (198,51,100,66,200,10)\r\n"}},
		{"227 names port 0", publicly, loggedIn,
			[]string{"c>PASV\r\n", "s>227 Entering Passive Mode (10,0,0,5,0,0)\r\n"}},
		{"229 with a privileged port", publicly, loggedIn,
			[]string{"c>EPSV\r\n", "s>229 Entering Passive Mode (|||22|)\r\n"}},
		{"229 names another host", publicly, loggedIn,
			[]string{"c>EPSV\r\n", "s>229 Entering Passive Mode (|1|10.0.0.99|51210|)\r\n"}},
		{"227 from the client", publicly, loggedIn, []string{"c>PASV\r\n227 (10,0,0,5,200,10)\r\n"}},
		{"PORT from the server", insideOut, loggedIn, []string{"s>PORT 10,1,1,1,5,57\r\n"}},
		// NAT pinning and slipstreaming: samy.pl/natpin, samyk/slipstream.
		{"HTTP POST", insideOut, nothing, []string{"c>POST / HTTP/1.1\r\nHost: 198.51.100.9:21\r\n" +
			"Content-Type: text/plain\r\nContent-Length: 20\r\n\r\nPORT 10,1,1,1,0,139\r\n"}},
		{"HTTP POST to a server that plays FTP", insideOut, greeted,
			[]string{"c>POST / HTTP/1.1\r\nHost: a:21\r\n\r\nUSER a\r\nPASS b\r\n", "s>331 ok\r\n",
				"s>230 ok\r\n", ownPort}},
		{"HTTP POST whose body is a segment of its own", insideOut, greeted,
			[]string{"c>POST / HTTP/1.1\r\n\r\n", "s>500 ?\r\n", "c>USER a\r\n", "s>230 in\r\n", ownPort,
				"s>200 ok\r\n"}},
		{"HTTP answer with a 227", insideOut, nothing,
			[]string{"s>HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n227 Entering Passive Mode " +
				"(10,1,1,1,5,57)\r\n"}},
		{"body of a mail", insideOut, nothing,
			[]string{"c>DATA\r\n", "s>354 go\r\n",
				"c>PORT 10,1,1,1,5,57\r\n227 Entering Passive Mode (10,1,1,1,5,57)\r\n.\r\n"}},
		{"mail server that greets with 220", insideOut, greeted,
			[]string{"c>EHLO a\r\n", "s>250 ok\r\n", "c>USER a\r\n", "s>230 in\r\n", ownPort}},
		{"file contents", insideOut, nothing,
			[]string{"s>PORT 10,1,1,1,5,57\r\n227 Entering Passive Mode (10,1,1,1,5,57)\r\n"}},
		{"TLS at once", insideOut, nothing, []string{"c>\x16\x03\x01\x00\xa5\x01\x00", "s>220 hi\r\n",
			"c>\nUSER a\r\n", "s>230 in\r\n", ownPort}},
		// nDPI ftp-start-tls.pcap
		{"ciphertext with a PORT in it", insideOut, loggedIn,
			[]string{"c>AUTH TLS\r\n", "s>234 Proceed with negotiation.\r\n",
				"c>\x16\x03\x01\x00\xa5\x01\x00",
				"c>\x17\x03\x03\x00 \nPORT 10,1,1,1,5,57\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}},
		{"ciphertext with a 227 in it", publicly, loggedIn,
			[]string{"c>AUTH TLS\r\nPASV\r\n", "s>234 go\r\n227 (10,0,0,5,200,10)\r\n"}},
		// zeek ftp-many-port-expected.pcap
		{"third party's address 500 times", insideOut, loggedIn, manyPorts("10,0,0,200", 500)},
		{"PORT after QUIT", insideOut, loggedIn, []string{"c>QUIT\r\n", "s>221 Goodbye.\r\n", ownPort}},
		{"PORT after 421", insideOut, loggedIn, []string{"s>421 Timeout.\r\n", ownPort}},
		{"PORT before login", insideOut, greeted,
			[]string{ownPort, "s>530 Please login with USER and PASS.\r\n"}},
		{"PORT before the greeting", insideOut, nothing, []string{ownPort}},
		{"PORT after a failed login", insideOut, greeted,
			[]string{"c>USER a\r\n", "s>331 pw\r\n", "c>PASS b\r\n", "s>530 Login incorrect.\r\n", ownPort}},
		{"PORT after REIN", insideOut, loggedIn, []string{"c>REIN\r\n", "s>220 ready\r\n", ownPort}},
		{"PORT after HOST", insideOut, loggedIn,
			[]string{"c>HOST a.example\r\n", "s>220 ready\r\n", ownPort}},
	} {
		a.play(t, func(t *testing.T, d *talk) {
			d.wantOpen()
			if len(d.opens) > 0 {
				t.Errorf("opened for a while: %v", d.opens)
			}
			if f := d.k.flow; f.State&conntrack.StateOpaque == 0 {
				d.wantArrived("what follows from the client", d.c("\r\nNOOP\r\n"), "\r\nNOOP\r\n")
				d.wantArrived("what follows from the server", d.s("\r\n200 ok\r\n"), "\r\n200 ok\r\n")
			}
		})
	}
}

func manyPorts(host string, n int) (segs []string) {
	for i := range n {
		segs = append(segs, fmt.Sprintf("c>PORT %s,%d,%d\r\n", host, 78+i/256, i%256))
	}
	return segs
}
