package e2e

import (
	"strings"
	"testing"
)

const (
	ownExtended = "EPRT |1|10.0.13.222|30730|\r\n"
	extended    = "229 Entering Extended Passive Mode (|||30730|)\r\n"
	named       = "PORT 10,0,13,222,120,10" // own, without its end
)

// Dialogues that end in an agreement on a data connection.
func active(line string, before ...string) []string {
	return append(before, "c>"+line, "s>200 ok\r\n")
}

func passive(line, reply string, before ...string) []string {
	return append(before, "c>"+line, "s>"+reply)
}

// rules are options with a dialogue that opens nothing under the rule, a twin that does, and
// another configuration under which the first opens port 30730 as well: so it was the rule.
var rules = []struct {
	name, rule, reason string
	bad, good          []string
	off                string
}{
	{"allow", "strict: {allow: [user, PASS, eprt]}", "command_denied", active(own), active(ownExtended), ""},
	{"allow, passive", "strict: {allow: [USER, PASS, EPSV]}", "command_denied", passive("PASV\r\n", offer),
		passive("EPSV\r\n", extended), ""},
	{"deny PORT", "strict: {deny: [port]}", "command_denied", active(own), active(ownExtended), ""},
	{"deny EPRT", "strict: {deny: [EPRT]}", "command_denied", active(ownExtended), active(own), ""},
	{"deny PASV", "strict: {deny: [PASV, SITE]}", "command_denied", passive("PASV\r\n", offer),
		passive("EPSV\r\n", extended), ""},
	{"deny EPSV", "strict: {deny: [EPSV]}", "command_denied", passive("EPSV\r\n", extended),
		passive("PASV\r\n", offer), ""},

	{"max_line", "strict: {max_line: 24}", "over_max_line", active(named + "  \r\n"), active(named + " \r\n"),
		""},
	{"need_crlf", "strict: {need_crlf: true}", "no_crlf", active(named + "\n"), active(own), ""},
	{"need_crlf, passive", "strict: {need_crlf: true}", "no_crlf", passive("PASV\n", offer),
		passive("PASV\r\n", offer), ""},

	{"wait_for_reply", "strict: {wait_for_reply: true}", "reply_awaited",
		[]string{"c>CWD foodir\r\n", "c>" + own, "s>250 ok\r\n200 ok\r\n"},
		active(own, "c>CWD foodir\r\n", "s>250 ok\r\n"), ""},
	{"wait_for_reply, one segment", "strict: {wait_for_reply: true}", "reply_awaited",
		[]string{"c>CWD foodir\r\n" + own, "s>250 ok\r\n200 ok\r\n"},
		active(own, "c>CWD foodir\r\n", "s>250 ok\r\n"), ""},
	{"wait_for_reply, passive", "strict: {wait_for_reply: true}", "reply_awaited",
		[]string{"c>CWD foodir\r\n", "c>PASV\r\n", "s>250 ok\r\n", "s>" + offer},
		passive("PASV\r\n", offer, "c>CWD foodir\r\n", "s>250 ok\r\n"), ""},

	// A port that is open already is closed, and a later one is not opened.
	{"direction, 227", "strict: {direction: true}", "wrong_direction",
		active(own, active(own, "c>227 Entering Passive Mode (10,0,13,222,120,10).\r\n", "s>200 ok\r\n")...),
		active(own, active(own, "c>CWD 227 (10,0,13,222,120,10)\r\n", "s>250 ok\r\n")...), ""},
	{"direction, 229", "strict: {direction: true}", "wrong_direction",
		passive("PASV\r\n", offer, "c>229-hello (|||30730|)\r\n", "s>200 ok\r\n"), passive("PASV\r\n", offer),
		""},
	{"direction, PORT", "strict: {direction: true}", "wrong_direction",
		active(own, active(own, "s>PORT 10,0,1,66,120,10\r\n")...),
		active(own, "c>HELP\r\n", "s>214-\r\n PORT EPRT\r\nPORT 10,0,1,66,120,10\r\n214 end\r\n"), ""},
	{"direction, EPRT", "strict: {direction: true}", "wrong_direction",
		passive("PASV\r\n", offer, "s>EPRT |1|10.0.1.66|30730|\r\n"), passive("PASV\r\n", offer), ""},
	{"direction, open port", "strict: {direction: true}", "wrong_direction",
		[]string{"c>" + own, "s>200 ok\r\n", "s>PORT 10,0,1,66,120,10\r\n"},
		active(own, "s>200 PORT 10,0,1,66,120,10\r\n"), ""},

	{"enabled, no CR", "strict: {enabled: true}", "no_crlf", active(named + "\n"), active(own), ""},
	{"enabled, reply awaited", "strict: {enabled: true}", "reply_awaited",
		[]string{"c>PWD\r\n", "c>PASV\r\n", "s>257 \"/\"\r\n", "s>" + offer}, passive("PASV\r\n", offer), ""},
	{"enabled, direction", "strict: {enabled: true}", "wrong_direction",
		active(own, "s>PORT 10,0,1,66,120,10\r\n"), active(own), ""},

	{"active", "active: false", "active_off", active(own), passive("PASV\r\n", offer), ""},
	{"active, EPRT", "active: false", "active_off", active(ownExtended), passive("EPSV\r\n", extended), ""},
	{"passive", "passive: false", "passive_off", passive("PASV\r\n", offer), active(own), ""},
	{"passive, EPSV", "passive: false", "passive_off", passive("EPSV\r\n", extended), active(ownExtended),
		""},
	{"min_port", "min_port: 30731", "low_port", active(own), active(other), "min_port: 30730"},
	{"min_port, passive", "min_port: 30731", "low_port",
		passive("EPSV\r\n", extended), passive("EPSV\r\n", strings.Replace(extended, "30730", "30731", 1)),
		"min_port: 30730"},
	{"any_passive_address", "any_passive_address: false", "foreign_address",
		passive("PASV\r\n", "227 Entering Passive Mode (10,0,1,99,120,10).\r\n"), passive("PASV\r\n", offer),
		"any_passive_address: true"},
}

// isPassive tells whose port a dialogue opens.
func isPassive(segments []string) bool {
	all := strings.Join(segments, "")
	return strings.Contains(all, "c>PASV") || strings.Contains(all, "c>EPSV")
}

func TestRuleKeepsPortShutAndItsTwinOpens(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, k, "", metered)
			n.listen(t, 30730)
			n.listen(t, 30731)
			for _, c := range rules {
				bad, good := !isPassive(c.bad), !isPassive(c.good)
				if (bad || good) && !k.active || !(bad && good) && !k.passive {
					continue
				}
				strict := strings.HasPrefix(c.rule, "strict")
				t.Run(c.name, func(t *testing.T) {
					n.configure(t, c.rule)
					for _, at := range cuts {
						n.g.counts(t, refused(c.reason), 1, func() {
							command, reply := n.connect(t, n.Client, false,
								21).start(loggedIn).hear(inPieces(c.bad, at)...)
							// Not both may take it for agreed. Of lines in pieces only the strict rules
							// see to that.
							if agreed := strings.HasPrefix(reply, "2") && !strings.Contains(command,
								"x"); agreed && (at == 0 || strict && bad) {
								t.Errorf("cut at %d the server received %q and the client %q", at, command,
									reply)
							}
						})
						n.g.wantNothingOpen()
					}
					_, peer := n.sides(bad)
					n.wantClosed(t, peer, false, 30730)
					for _, at := range cuts {
						n.wantOpen(t, inPieces(c.good, at), good)
					}
					n.configure(t, c.off)
					for _, at := range cuts {
						n.wantOpen(t, inPieces(c.bad, at), bad)
					}
				})
			}
		})
	}
}
