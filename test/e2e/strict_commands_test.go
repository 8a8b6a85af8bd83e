package e2e

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
)

// commandRules are rules with commands that must not arrive, and one that must.
var commandRules = []struct {
	rule, command, reason, twin string
	mode                        ftptest.Mode // of a transfer that must work
}{
	{"allow: [USER, PASS, PORT, retr]", "SIZE small\r\n", "command_denied", "PASS p", ftptest.PORT},
	{"deny: [PORT]", own, "command_denied", "NOOP", ftptest.EPRT},
	{"deny: [EPRT]", ownExtended, "command_denied", "NOOP", ftptest.PORT},
	{"deny: [PASV, EPSV]", "PASV\r\n", "command_denied", "NOOP", ftptest.PORT},
	{"deny: [EPSV]", "EPSV\r\n", "command_denied", "NOOP", ftptest.PASV},
	{"deny: [SITE, size]", "SIZE small\r\n", "command_denied", "NOOP", ftptest.PORT},
	{"deny: [SIZE]", "size small\r\n", "command_denied", "NOOP", ftptest.PORT},
	{"read_only: true", "STOR small\r\n", "read_only", "SIZE small", ftptest.PORT},
	{"read_only: true", "APPE small\r\n", "read_only", "SIZE small", ftptest.PORT},
	{"read_only: true", "SITE CHMOD 777 small\r\n", "read_only", "SIZE small", ftptest.PORT},
	{"max_line: 27", "SIZE 12345678901234567890123\r\n", "over_max_line", "CWD 12345678901234567890123",
		ftptest.PORT},
	{"max_trailing: 8", "PORT 10,0,13,222,120,10 12345678\r\n", "trailing_text", "NOOP", ftptest.PORT},
	{"max_trailing: 8", "EPRT |1|10.0.13.222|30730|123456789\r\n", "trailing_text", "NOOP", ftptest.PORT},
	{"wait_for_reply: true", "NOOP\r\nSIZE small\r\n", "reply_awaited", "SIZE small", ftptest.PORT},
	{"need_crlf: true", "SIZE small\n", "no_crlf", "SIZE small", ftptest.PORT},
	{"need_crlf: true", "CWD a\rDELE small\r\n", "no_crlf", "CWD a", ftptest.PORT},
	{`deny_files: ['(?i)\.exe$', '^/etc/']`, "RETR a.EXE\r\n", "file_denied", "CWD a.exe.txt", ftptest.PORT},
	{`deny_files: ['(?i)\.exe$', '^/etc/']`, "CWD /etc/passwd\r\n", "file_denied", "CWD etc/", ftptest.PORT},
	{"deny_users: ['^(?i:anonymous|ftp)$']", "USER Anonymous\r\n", "user_denied", "USER anonymous2",
		ftptest.PORT},
	{"enabled: true", "SIZE " + strings.Repeat("a", 506) + "\r\n", "over_max_line",
		"CWD " + strings.Repeat("a", 506), ftptest.PORT},
	{"enabled: true", "PORT 10,0,13,222,120,10 and so on\r\n", "trailing_text", "NOOP", ftptest.PORT},
}

func TestStrictRuleKeepsCommandFromTheServer(t *testing.T) {
	n := newGuarded(t, kinds[1], "", metered)
	s := n.serve(&ftptest.Server{})
	for _, c := range commandRules {
		t.Run(c.rule+" "+c.command[:5], func(t *testing.T) {
			lines := strings.SplitAfter(c.command, "\n")
			last := lines[len(lines)-2]
			cuts := cuts
			if len(lines) > 2 {
				cuts = cuts[:1] // else the reply to the first may come before the rest of the second
			}
			n.configure(t, "strict: {"+c.rule+"}\n")
			for _, at := range cuts {
				client := n.login(t)
				n.g.counts(t, refused(c.reason), 1, func() {
					reply, line := say(t, s, client, c.command, at)
					whole := reply.Code == 500 && strings.HasPrefix(line, "xxx")
					if !whole && (at == 0 || !strings.Contains(line, strings.Repeat("x", 256)) &&
						!strings.HasSuffix(line, "x\r\n")) {
						t.Errorf("cut at %d: the server received %q and answered %s", at, line, reply)
					}
				})
				n.g.wantNothingOpen()
				if user, ok := strings.CutPrefix(c.twin, "USER "); ok {
					must(t, client.Login(user, "p"))
				} else if reply, err := client.Cmd(c.twin); err != nil || !reply.OK() {
					t.Errorf("%s is answered by %s, %v", c.twin, reply, err)
				}
				get(t, client, s, c.mode, "small")
			}
			n.configure(t, "")
			// an address in it may be another
			if reply, line := say(t, s, n.login(t), c.command, 0); line != last && !reply.OK() {
				t.Errorf("with the rule off the server received %q and answered %s", line, reply)
			}
		})
	}
}

// say sends commands, cut at a byte, and returns the reply to the last of them and the line that the
// server got.
func say(t *testing.T, s *ftptest.Server, client *ftptest.Client, text string, at int) (
	reply ftptest.Reply, line string,
) {
	t.Helper()
	must(t, client.WriteAs(ftptest.Wire{Split: []int{at}}, []byte(text)))
	for range strings.Count(text, "\n") {
		var err error
		reply, err = client.ReadReply()
		must(t, err)
	}
	all := s.Sessions()
	lines := all[len(all)-1].Commands
	return reply, lines[len(lines)-1]
}

// Behind real servers, too, nothing changes, however the commands come; and with the rule off it does.
func TestReadOnlyServersStayAsTheyAre(t *testing.T) {
	for _, real := range realServers {
		t.Run(real.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, kinds[1], "strict: {read_only: true}\n", metered)
			n.control[21].Close()
			server := real.start(t, n.Server)
			for _, wire := range []ftptest.Wire{{}, {Split: []int{2}}, {Split: []int{7}}} {
				c := n.visit(t, server)
				c.Wire = wire
				n.g.counts(t, refused("read_only"), 4, func() {
					for _, command := range []string{"DELE pub/big", "MKD pub/new", "RNFR pub/big"} {
						if reply, err := c.Cmd(command); err != nil || reply.OK() {
							t.Errorf("%s is answered by %s, %v", command, reply, err)
						}
					}
					if tr, err := c.Put(ftptest.PORT, "pub/up", []byte("up")); err == nil {
						t.Errorf("STOR is answered by %s", tr.Done)
					}
				})
				if files, err := os.ReadDir(server.pub); err != nil || len(files) != 1 ||
					files[0].Name() != "big" {
					t.Errorf("by %+v the directory became %v, %v", wire, files, err)
				}
				if tr, err := c.Get(ftptest.PORT, "pub/big"); err != nil ||
					string(tr.Data) != string(server.big) {
					t.Errorf("by %+v %d bytes came, %v", wire, len(tr.Data), err)
				}
			}
			n.configure(t, "")
			c := n.visit(t, server)
			if _, err := c.Put(ftptest.PORT, "pub/up", []byte("up")); err != nil {
				t.Error(err)
			}
			if reply, err := c.Cmd("DELE pub/up"); err != nil || !reply.OK() {
				t.Errorf("with the rule off DELE is answered by %s, %v", reply, err)
			}
		})
	}
}

// visit logs in to a real server.
func (n *guarded) visit(t *testing.T, server *running) *ftptest.Client {
	t.Helper()
	c, err := ftptest.Dial(context.Background(), n.Client, n.Server.AddrPort(false, 21))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.Login(server.user, server.password))
	_, err = c.Cmd("TYPE I")
	must(t, err)
	return c
}
