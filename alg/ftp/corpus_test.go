package ftp

import (
	"net/netip"
	"testing"
)

// The tables in this file are lines that real servers and clients send, and lines of known
// attacks; the comment says whose.

func TestPassiveRepliesOfRealServers(t *testing.T) {
	for _, tt := range []struct {
		line, want string
	}{
		// dagwieers/vsftpd postlogin.c
		{"227 Entering Passive Mode (203,0,113,7,117,135).\r\n", "203.0.113.7:30087"},
		// proftpd/proftpd modules/mod_core.c:4046
		{"227 Entering Passive Mode (203,0,113,7,156,65).\r\n", "203.0.113.7:40001"},
		// jedisct1/pure-ftpd src/ftpd.c:2195
		{"227 Entering Passive Mode (203,0,113,7,173,235)\r\n", "203.0.113.7:44523"},
		// giampaolo/pyftpdlib docs/tutorial.rst:128
		{"227 Entering passive mode (127,0,0,1,233,208).\r\n", "127.0.0.1:59856"},
		// fclairamb/ftpserverlib log in nextcloud/server issue 43750
		{"227 Entering Passive Mode (172,17,0,5,195,101)\r\n", "172.17.0.5:50021"},
		// apache/mina-ftpserver PasvUsedPortTest.java:65
		{"227 Entering Passive Mode (127,0,0,1,48,157)\r\n", "127.0.0.1:12445"},
		// mirror/busybox networking/ftpd.c:519
		{"227 PASV ok (203,0,113,7,200,10)\r\n", "203.0.113.7:51210"},
		// drftpd-ng/drftpd DataConnectionHandler.java:289
		{"227 Entering Passive Mode (203,0,113,7,219,195).\r\n", "203.0.113.7:56259"},
		// jlaffaye/ftp issue 236 (ProFTPD over IPv6, Hetzner storage box)
		{"227 Entering Passive Mode (2,233,252).\r\n", ""},
		// ghaerr/elks elkscmd/inet/ftpd.c:554
		{"227 Entering Passive Mode (172,20,5,88,192,0)\r\n", "172.20.5.88:49152"},
		// bolcom/libunftp src/server/controlchan/commands/pasv.rs:99
		{"227 Entering Passive Mode (203,0,113,7,200,10)\r\n", "203.0.113.7:51210"},
		// troglobit/uftpd src/ftpcmd.c:1068
		{"227 Entering Passive Mode (203,0,113,7,200,11)\r\n", "203.0.113.7:51211"},
		// RTEMS/rtems cpukit/ftpd/ftpd.c:1552
		{"227 Entering passive mode (203,0,113,7,4,1).\r\n", "203.0.113.7:1025"},
		// Distrotech/inetutils ftpd/ftpd.c:1795
		{"227 Entering Passive Mode (203,0,113,7,128,7)\r\n", "203.0.113.7:32775"},
		// squid-cache/squid src/servers/FtpServer.cc:939
		{"227 Entering Passive Mode (203,0,113,7,9,255).\r\n", "203.0.113.7:2559"},
		// FubarDevelopment/FtpServer PasvCommandHandler.cs:125
		{"227 Entering Passive Mode (203,0,113,7,9,255).\r\n", "203.0.113.7:2559"},
		// IndySockets/Indy IdResourceStringsProtocols.pas:672
		{"227 Entering Passive Mode (203,0,113,7,9,255).\r\n", "203.0.113.7:2559"},
		// RFC 4217 sections 11-12 "227 (w,x,y,z,a,b)"
		{"227 (203,0,113,7,4,51)\r\n", "203.0.113.7:1075"},
		// ruby/net-ftp test_ftp.rb:78
		{"227 192,168,0,1,12,34\r\n", "192.168.0.1:3106"},
		// ruby/net-ftp issue 16 (B4X FTP Server, Android)
		{"227 192,168,7,97,199,99\r\n", "192.168.7.97:51043"},
		// robinrodricks/FluentFTP PR 654 (octets masked in the thread)
		{"227 Entering Passive Mode( 10, 0, 0, 5, 143,225).\r\n", "10.0.0.5:36833"},
		// chromium/chromium net/ftp/ftp_network_transaction_unittest.cc
		{"227 Passive Mode 127,0,0,1,123,456\r\n", ""},
		{"227 Passive mode = 10,0,0,5,4,1\r\n", "10.0.0.5:1025"},
		// ftp.mozilla.org
		{"227 Entered Passive Mode (63,245,215,56,204,223)\r\n", "63.245.215.56:52447"},
		// fake FTP server (Ruby)
		{"227 PASV command successful.\r\n", ""},
		// Microsoft FTP Service, capture aliawa_saved_pcaps/ftp_passive.pcap frame 27
		{"227 Entering Passive Mode (10,65,4,122,246,158).\r\n", "10.65.4.122:63134"},
		// FileZilla Server, capture chrissanders_packets/wrongdissector.pcapng frame 35
		{"227 Entering Passive Mode (192,168,0,53,4,77)\r\n", "192.168.0.53:1101"},
		// wu-ftpd 2.6.2, capture miguelmota_wos/samples__ftp.pcap frame 28
		{"227 Entering Passive Mode (172,26,0,6,225,147)\r\n", "172.26.0.6:57747"},
		// Synology Disk Station, capture heracek_36los-uloha-1/ftp.dump frame 46
		{"227 Entering Passive Mode (85,71,135,84,6,72)\r\n", "85.71.135.84:1608"},
		// NetBSD-ftpd 20100320, capture zeek/ftp__ipv4.pcap frame 20
		{"227 Entering Passive Mode (199,233,217,249,221,90)\r\n", "199.233.217.249:56666"},
		// capture nDPI/ftp-start-tls.pcap frame 46
		{"227 Entering Passive Mode (10,220,50,76,64,155).\r\n", "10.220.50.76:16539"},
		// OISF/suricata rust/src/ftp/mod.rs:206
		{"227 Entering Passive Mode (212,27,32,66,221,243).\r\n", "212.27.32.66:56819"},
		// OISF/suricata rust/src/ftp/mod.rs:241
		{"227 Entering Passive Mode (212,27,32,66,255,65535).\r\n", ""},
		// Go client test server
		{"227 ok no parens here\r\n", ""},
		// danos/vyatta-dataplane dp_test_npf_alg_ftp.c:1305
		{"227 Entering Passive Mode 2,2,2,11,38,91\r\n", "2.2.2.11:9819"},
		// CERT VU#328867: for the policy to refuse
		{"227 Entering Passive Mode (10,0,0,5,0,23)\r\n", "10.0.0.5:23"},
		// CERT VU#328867
		{"550 227 Entering Passive Mode (10,0,0,5,0,23): No such file or directory.\r\n", ""},
		// Novell TID 10076230
		{"214 Reply is 227 Entering Passive Mode (10,0,0,5,0,22)\r\n", ""},
	} {
		p, ok := ParsePassive([]byte(tt.line))
		checkAddr(t, tt.line, p.Addr, ok, tt.want)
	}
}

func TestExtendedRepliesOfRealServers(t *testing.T) {
	for _, tt := range []struct {
		line string
		want uint16
	}{
		{"229 Entering Extended Passive Mode (|||37021|).\r\n", 37021}, // dagwieers/vsftpd postlogin.c:595
		// vsFTPd 3.0.5, capture ps-interactive FTP.pcapng frame 19
		{"229 Entering Extended Passive Mode (|||40778|)\r\n", 40778},
		// ProFTPD, Castaglia/proftpd-mod_proxy issue 128
		{"229 Entering Extended Passive Mode (|||41164|)\r\n", 41164},
		{"229 Extended Passive mode OK (|||33693|)\r\n", 33693}, // pure-ftpd session
		// apache/mina-ftpserver FtpStatus.properties:67
		{"229 Entering Passive Mode (|||12445|)\r\n", 12445},
		// BulletProof FTP Server, robinrodricks/FluentFTP issue 1793
		{"229 Entering Extended Passive Mode (||50123|)\r\n", 0},
		// Serv-U 15.1.3.3, aio-libs/aioftp issue 69
		{"229 Entering Extended Passive Mode (|||50006|).\r\n", 50006},
		{"229 Entering Passive Mode (\x7f\x7f\x7f3106\x7f)\r\n", 0},   // ruby/net-ftp test_ftp.rb
		{"229 Entering Extended Passive Mode (|||49152|)\r\n", 49152}, // ghaerr/elks PR 2800
		{"229 Entering Passive Mode (127,0,0,1,4,1) \n", 0},           // student server
		{"229 Entering Extended Passive Mode (|||4242)\r\n", 0},       // jlaffaye/ftp ftp_test.go:38
		// NetBSD-ftpd over IPv6, capture zeek/ftp__ipv6.pcap frame 28
		{"229 Entering Extended Passive Mode (|||57086|)\r\n", 57086},
		// python/cpython issue 127478 (464XLAT/CLAT)
		{"229 Entering Extended Passive Mode (|||50006|)\r\n", 50006},
		// danos/vyatta-dataplane dp_test_npf_alg_ftp.c:2311
		{"229 Entering Extended Passive Mode (|||2559|)\r\n", 2559},
		{"229 Entering Passive Mode (|||1000000|)\r\n", 0}, // curl test238
		{"200 EPSV ALL ok.\r\n", 0},                        // vsftpd
	} {
		e, ok := ParseExtended([]byte(tt.line))
		if ok != (tt.want != 0) || ok && (e.Port != tt.want || e.HasAddr) {
			t.Errorf("%q: %+v, %v; want %d", tt.line, e, ok, tt.want)
		}
	}
}

func TestPortAndEPRTOfRealClientsAndAttacks(t *testing.T) {
	for _, tt := range []struct {
		line, want string
	}{
		// fclairamb/ftpserverlib PR 6 (FileZilla client)
		{"PORT 192,168,150,80,14,178\r\n", "192.168.150.80:3762"},
		// curl/curl tests/data/test101
		{"PORT 127,0,0,1,243,212\r\n", "127.0.0.1:62420"},
		// danos/vyatta-dataplane dp_test_npf_alg_ftp.c:1502
		{"PORT 1,1,1,11,38,91\r\n", "1.1.1.11:9819"},
		// mainframe client to AS/400, capture aliawa_saved_pcaps/ftp_active.pcap frame 29
		{"PORT 198,20,10,121,219,57\r\n", "198.20.10.121:56121"},
		// capture markofu_pcaps/wrongdissector.dmp frame 19
		{"PORT 207,137,7,104,5,5\r\n", "207.137.7.104:1285"},
		// capture snort3_demo/ftp__client__ftp_port_non_match_ip.pcap frame 10
		{"PORT 10,4,11,135,123,123\r\n", "10.4.11.135:31611"},
		// OISF/suricata src/app-layer-ftp.c:1537
		{"PORT 192,168,1,1,0,80\r\n", "192.168.1.1:80"},
		// giampaolo/pyftpdlib tests/test_functional.py:2234-2240
		{"port 127,0,0,1\r\n", ""},
		// capture zeek/ftp__fake-server-delays-all.pcap frame 16
		{"PORT 114,115\r\n", ""},
		// hfiref0x/LightFTP issue 47
		{"PORT 300,0,0,1,4,1\r\n", ""},
		// RFC 2428 section 2
		{"EPRT |1|132.235.1.2|6275|\r\n", "132.235.1.2:6275"},
		// RFC 2428 section 2
		{"EPRT |2|1080::8:800:200C:417A|5282|\r\n", "[1080::8:800:200c:417a]:5282"},
		// OISF/suricata rust/src/ftp/mod.rs:223
		{"EPRT |2|2a01:e34:ee97:b130:8c3e:45ea:5ac6:e301|41813|\r\n",
			"[2a01:e34:ee97:b130:8c3e:45ea:5ac6:e301]:41813"},
		// ppareit/swiftp issue 53 (FileZilla); server answers 502
		{"EPRT |2|2a01:e35:8a04:870:5246:5dff:feb8:a42b|48257|\r\n",
			"[2a01:e35:8a04:870:5246:5dff:feb8:a42b]:48257"},
		// drftpd-ng/drftpd issue 19; server answers 502
		{"EPRT |2|::1|1838|\r\n", "[::1]:1838"},
		// capture aliawa_saved_pcaps/ftp_eprt.pcap frame 41
		{"EPRT |1|10.9.50.1|56115|\r\n", "10.9.50.1:56115"},
		// CTF write-up
		{"EPRT |1|172.21.0.1|9999|\r\n", "172.21.0.1:9999"},
		// capture suricata-verify/firewall 117 frame 144
		{"EPRT |2|fd00:10:16:1::3|40467|\r\n", "[fd00:10:16:1::3]:40467"},
		// giampaolo/pyftpdlib tests/test_functional.py:2142-2291
		{"eprt ||||\r\n", ""},
		// giampaolo/pyftpdlib tests/test_functional.py:2142-2291
		{"eprt |3|127.0.0.1|2121|\r\n", ""},
		// giampaolo/pyftpdlib tests/test_functional.py:2142-2291
		{"eprt |2|::foo|2222|\r\n", ""},
		// Well formed: whose address it is decides somebody else.
		// capture suricata-verify/ftp__ftp-bounce__test.pcap
		{"PORT 2,2,2,3,0,80\r\n", "2.2.2.3:80"},
		{"PORT 203,0,113,25,0,25\r\n", "203.0.113.25:25"},   // CERT tech tip 1998
		{"EPRT |1|203.0.113.25|25|\r\n", "203.0.113.25:25"}, // nmap/nmap scripts/ftp-bounce.nse
		{"PORT 127,0,0,1,4,0\r\n", "127.0.0.1:1024"},        // mscdex/node-ftp CRLF write-up
		{"PORT 0,0,0,0,4,1\r\n", "0.0.0.0:1025"},
		{"PORT 224,0,0,1,4,1\r\n", "224.0.0.1:1025"},
		{"PORT 82,143,24,12,0,0\r\n", "82.143.24.12:0"},      // capture liyihao17_RST_cluster/ftp1.pcap
		{"PORT 10,1,1,1,0,139\r\n", "10.1.1.1:139"},          // Olsson 2000, Phrack 60
		{"PORT 192,168,1,3,128,51\r\n", "192.168.1.3:32819"}, // IPFilter test ni5
		// Malformed: giampaolo/pyftpdlib test_functional.py, curl test237, OISF/suricata mod.rs.
		{"PORT 10,1,1,1,257,1\r\n", ""},
		{"PORT 10,1,1,1,4294967300,1\r\n", ""},
		{"PORT 10,1,1,1,-1,0\r\n", ""},
		{"PORT 10,1,1,1,4,1,9\r\n", ""},
		{"PORT 10,1,,1,4,1\r\n", ""},
		{"PORT 10,225,1,89,124,22_\r\n", ""},
		{"EPRT |1|10.1.1.1|65536|\r\n", ""},
		{"EPRT |1|10.1.1.1|-1|\r\n", ""},
		{"EPRT |3|10.1.1.1|4000|\r\n", ""},
		{"EPRT |2|10.1.1.1|4000|\r\n", ""},
		{"EPRT |1|localhost|4000|\r\n", ""},
		// The word in an argument is no command.
		{"STOR PORT 10,1,1,1,5,57\r\n", ""},
		{"USER PORT 10,1,1,1,5,57\r\n", ""},
		{"NOOP\rPORT 10,1,1,1,5,57\r\n", ""},
		{"CWD foodir\nPORT 10,1,1,1,5,57\r\n", ""}, // oss-security 2017-02-20; two lines, the first counts
	} {
		a, ok := parseActive([]byte(tt.line))
		checkAddr(t, tt.line, a, ok, tt.want)
	}
}

// parseActive returns the address in a PORT or EPRT line.
func parseActive(line []byte) (netip.AddrPort, bool) {
	c := ParseCommand(line)
	switch arg := line[c.ArgStart:c.ArgEnd]; c.Verb {
	case Port:
		return ParsePort(arg)
	case EPRT:
		e, ok := ParseEPRT(arg)
		return e.Addr, ok
	}
	return netip.AddrPort{}, false
}

func checkAddr(t *testing.T, line string, got netip.AddrPort, ok bool, want string) {
	t.Helper()
	if want == "" {
		if ok || got.IsValid() {
			t.Errorf("%q: %v, %v; want none", line, got, ok)
		}
	} else if !ok || got != netip.MustParseAddrPort(want) {
		t.Errorf("%q: %v, %v; want %v", line, got, ok, want)
	}
}

func TestAsksOfRealClients(t *testing.T) {
	for _, tt := range []struct {
		line string
		want Verb
	}{
		{"EPSV 1\r\n", EPSV},   // mirror/wget src/ftp-basic.c
		{"EPSV 2\r\n", EPSV},   // mirror/wget src/ftp-basic.c
		{"EPSV ALL\r\n", EPSV}, // sun.net FtpClient (oss-security 2017-02-20)
		{"CPSV\r\n", CPSV},     // cbftp/cbftp-svn src/ftpconn.cpp:976; drftpd
		{"PASV\r\n", Pasv},     // all
		{"pasv\r\n", Pasv},     // telnet users
	} {
		if c := ParseCommand([]byte(tt.line)); c.Verb != tt.want || !c.Verb.AsksPassive() {
			t.Errorf("%q: %v", tt.line, c.Verb)
		}
	}
}

func TestForeignLines(t *testing.T) {
	for _, line := range []string{
		"POST / HTTP/1.1\r\n", "Host: 198.51.100.9:21\r\n", "Content-Length: 20\r\n", // samyk/slipstream
		"GET / HTTP/1.1\r\n", "GET /", "CONNECT a:443 HTTP/1.1\r\n", "PUT /x", "HEAD / HTTP/1.0\n",
		"OPTIONS * HTTP/1.1\r\n",
		"DELETE /x HTTP/1.1\r\n", "PATCH /x HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "TRACE / HTTP/1.1\r\n",
		"PROPFIND /d HTTP/1.1\r\n",
		"get / http/1.1\r\n", "HTTP/1.1 200 OK\r\n", "RTSP/1.0 200 OK\r\n",
		"DESCRIBE rtsp://a/b RTSP/1.0\r\n",
		"REGISTER sip:a SIP/2.0\r\n", "INVITE sip:a@b SIP/2.0\r\n", "SIP/2.0 200 OK\r\n",
		"Via: SIP/2.0/TCP a\r\n",
		"SSH-2.0-OpenSSH_9.6\r\n", "EHLO a\r\n", "HELO a\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<a@b>\r\n",
		"DATA\r\n", "NICK a\r\n",
		"\x16\x03\x01\x00\xa5\x01\x00", "\x16", "\x17\x03\x03\x00 \n", // capture nDPI/ftp-start-tls.pcap
		"\x80\x2e\x01\x03\x01", "PO\x00RT 1\r\n", "\xff\xff\r\n", "\x7fELF\n", "\xef\xbb\xbfUSER a\r\n",
	} {
		if !Foreign([]byte(line)) {
			t.Errorf("%q is not foreign", line)
		}
	}
}

func TestFTPIsNotForeign(t *testing.T) {
	for _, line := range []string{
		// the JDK sends P@SW
		"", "\r\n", "\x00\r\n", "USER a:b@c\r\n", "PASS \x01\xff:/ HTTP/1.1\r\n", "OPTS UTF8 ON\r\n",
		"P@SW\r\n", "P@SW a\r\n",
		"XPWD\r\n", "XMD5 a\r\n", "XSHA256 /a HTTP/1.1\r\n", "SITE CHMOD 755 a:b\r\n", "HOST [::1]\r\n",
		"CLNT HTTP/1.1\r\n",
		"RETR gr\xfc\xdfe.txt\r\n", "STOR \xe4\xbd\xa0 notes on HTTP/1.1\r\n", "DELE /docs/HTTP/1.1\r\n",
		"CWD GET / HTTP/1.1\r\n", "MKD a/b HTTP/1.0\r\n",
		"EPRT |2|::1|1838|\r\n", "AUTH TLS\r\n", "PBSZ 0\r\n", "FEAT\r\n", "MFMT 20240101000000 a:b\r\n",
		"MAIL joe\r\n", "GET\r\n", "GET", "?\r\n", "ls\r\n",
		"\xff\xf4\xff\xf2ABOR\r\n", "\xff\xfb\x01USER a\r\n", "\xff", "\xff\xf4\xff", "\xff\xfd",
		"NOOP\r\r\n", "NOOP\rPORT 1\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 40000 21\r\n", "LPRT 4,4,10,0,0,1,2,4,1\r\n", "ALGS STATUS64\r\n",
		"LANG en\r\n", "MLST a\r\n", "CSID Name=x; Version=1;\r\n",
	} {
		if Foreign([]byte(line)) {
			t.Errorf("%q is foreign", line)
		}
	}
}
