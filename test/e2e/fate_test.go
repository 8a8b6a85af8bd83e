package e2e

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// wantFate waits for a line of the log that tells what came of a port.
func (g *gateway) wantFate(pattern string) {
	g.t.Helper()
	p := regexp.MustCompile(`msg="data connection" ` + pattern)
	if !g.logs(p.MatchString) {
		g.t.Errorf("the log has no line like %s:\n%s", p, g.logged())
	}
}

func TestLogTellsHowMuchPassedAndHowItEnded(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	must(t, r.Gateway.Sysctl("net.netfilter.nf_conntrack_acct", "1"))
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
	g := startGateway(t, r.Gateway)
	c := login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
	get(t, c, s, ftptest.PORT, "big")
	g.wantFate(`outcome=used mode=port client=10\.0\.13\.222:\d+ server=203\.0\.113\.66:21 ` +
		`open=203\.0\.113\.1:\d+ .* waited=\S+ ended=closed lasted=\S+ client_bytes=\d+ server_bytes=1\d{6} `)
	if _, err := c.Put(ftptest.PASV, "up", ftptest.Random(1<<20, 3)); err != nil {
		t.Fatal(err)
	}
	g.wantFate(`outcome=used mode=pasv .* ended=closed lasted=\S+ client_bytes=1\d{6} `)
}

func TestTransferThatEndedJustBeforeTheProgramIsToldOf(t *testing.T) {
	r := natted(t)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
	g := startGateway(t, r.Gateway)
	c := login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
	get(t, c, s, ftptest.PORT, "small")
	g.stop()
	g.wantFate(`outcome=used mode=port .* ended=closed `)
}

func TestLogSaysWhyADataConnectionDidNotWork(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, r *lab.Routed)
		want  string
	}{
		{"the server's firewall", func(t *testing.T, r *lab.Routed) {
			only := &lab.Policy{Accept: []lab.Accept{{Port: lab.ControlPort}}}
			must(t, r.Server.SetRules(lab.Ruleset{Input: only}))
		}, `outcome=unanswered mode=pasv .* ended=timed_out .*likely="the server did not answer the SYN`},
		{"the gateway's firewall", func(t *testing.T, r *lab.Routed) {
			must(t, r.Gateway.SetRules(lab.Ruleset{
				DNAT:    r.Rules.DNAT,
				Forward: &lab.Policy{Accept: r.Rules.Forward.Accept, DropRelated: true},
			}))
		}, `outcome=dropped mode=pasv .*likely="this machine dropped the SYN of the client`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ServerBehindNAT)
			must(t, r.Gateway.Sysctl("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", "1"))
			must(t, r.Gateway.Sysctl("net.netfilter.nf_conntrack_tcp_timeout_syn_recv", "1"))
			serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
			g := startGateway(t, r.Gateway)
			client := login(t, r.Client, r.Outside.AddrPort(false, lab.ControlPort))
			c.spoil(t, r)
			wantFailure(t, client, ftptest.PASV)
			defer collecting(r.Gateway)()
			g.wantFate(c.want)
		})
	}
}

// collecting has the kernel drop entries whose time is over now, not when it next collects garbage, which
// may be a
// minute later: it drops those that a dump comes by. What it returns ends that.
func collecting(h *lab.Host) (end func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.Tick(200 * time.Millisecond); ; {
			select {
			case <-over:
				return
			case <-tick:
			}
			_ = tracking(h, func(k *conntrack.Conn) error {
				return k.Entries(conntrack.Filter{}, func(*conntrack.Entry) {})
			})
		}
	}()
	return func() { close(over); <-ended }
}

func TestLogSaysThatNobodyDialled(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
	g := withConfig(t, r.Gateway, "pinhole_timeout: 1s\n")
	c := login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
	d, err := c.Open(ftptest.PORT)
	must(t, err)
	defer d.Close()
	g.wantFate(`outcome=expired mode=port .*waited=[1-9](\.[0-9]+)?s .*likely="the server did not dial`)
}

// entryOf returns the kernel's entry of a control connection on the gateway.
func entryOf(t testing.TB, h *lab.Host, c *ftptest.Client) (e conntrack.Entry, err error) {
	t.Helper()
	return e, tracking(h, func(k *conntrack.Conn) error {
		return k.Entry(conntrack.Tuple{Src: c.Local(), Dst: c.Remote()}, &e)
	})
}

func TestLongTransferOutlivesTheTimeoutOfItsControlConnection(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
	startGateway(t, r.Gateway)
	must(t, r.Gateway.Sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", "4"))
	must(t, r.Gateway.Sysctl("net.netfilter.nf_conntrack_tcp_loose", "0"))
	c := login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
	d, err := c.Open(ftptest.PORT)
	must(t, err)
	defer d.Close()
	if reply, err := c.Cmd("STOR slow"); err != nil || reply.Code != 150 {
		t.Fatal(reply, err)
	}
	data, err := d.Conn()
	must(t, err)
	defer data.Close()
	tick := time.NewTicker(100 * time.Millisecond) // often enough to keep the entry of the data connection
	defer tick.Stop()
	before := time.Duration(0)
	for renewed := 0; renewed < 3; <-tick.C {
		if _, err := data.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		e, err := entryOf(t, r.Gateway, c)
		if err != nil {
			t.Fatalf("the entry of the control connection is gone during the transfer: %v", err)
		}
		if before != 0 && e.Timeout > before {
			renewed++
		}
		before = e.Timeout
	}
	must(t, data.Close())
	if reply, err := c.ReadReply(); err != nil || !strings.HasPrefix(reply.Raw, "226") {
		t.Errorf("the transfer ends with %v, %v", reply, err)
	}
}
