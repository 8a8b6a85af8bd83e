package e2e

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

// passiveRulings6 are the same for the server fd00:1::66.
var passiveRulings6 = []ruling{
	{"229", loggedIn, []string{"c>EPSV\r\n", "s>229 ok (|||30730|)\r\n"}, 30730, opens, 0},
	{"229, port 22", loggedIn, []string{"c>EPSV\r\n", "s>229 ok (|||22|)\r\n"}, 22, shut, 0},
	{"227", loggedIn, []string{"c>PASV\r\n", "s>" + offer}, 30730, shut, 0},
}
