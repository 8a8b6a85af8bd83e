package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

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

// ownPort is a PORT of the client's own, low being the last byte.
func ownPort(low int) string { return fmt.Sprintf("PORT 10,0,13,222,120,%d", low) }

func TestLimitsOfAClientAreClearRefusals(t *testing.T) {
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
				accepted(t, first, ownPort(1))
			}},
		{"open ports", "limits: {per_client: {open: 2}}\n", "pinhole_limit",
			func(t *testing.T, session func() *ftptest.Client, refused func(*ftptest.Client)) {
				for i := range 2 {
					c := session()
					accepted(t, c, ownPort(i))
					accepted(t, c, ownPort(i+2)) // takes the place of the other
				}
				refused(session())
			}},
		{"new ports a minute", "limits: {per_client: {new_per_minute: 3}}\n", "rate_limit",
			func(t *testing.T, session func() *ftptest.Client, refused func(*ftptest.Client)) {
				c := session()
				for i := range 3 {
					accepted(t, c, ownPort(i))
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
