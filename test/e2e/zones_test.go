package e2e

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// firewall gives a host more rules of nftables.
func firewall(t testing.TB, h *lab.Host, rules string) {
	t.Helper()
	nft := h.Command(t.Context(), "nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules)
	if out, err := nft.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

const testZone = 5

// zoneKinds are the ways to put all that comes to a gateway into a zone.
var zoneKinds = []struct {
	statement string
	zone      conntrack.Zone
}{
	{"ct zone set 5", conntrack.Zone{ID: testZone}},
	{"ct original zone set 5", conntrack.Zone{ID: testZone, Dir: conntrack.ZoneOriginal}},
}

// inZone does the statement with all that comes to a gateway.
func inZone(t testing.TB, h *lab.Host, statement string) {
	t.Helper()
	firewall(t, h, "table inet zones {\nchain c { type filter hook prerouting priority raw; "+statement+
		"\n}\n}\n")
}

// tellsZones is whether the kernel tells the gateway the zone of each packet.
func tellsZones(t testing.TB, h *lab.Host) (does bool) {
	t.Helper()
	must(t, h.Do(func() error {
		q, err := nfqueue.Open(nfqueue.Config{Queue: 60000, Zones: true, Batch: 1})
		if err != nil {
			return err
		}
		does = q.Zoned()
		return q.Close()
	}))
	return does
}

// inZones runs the program where connections are in zones, which it is told the names of only if the kernel
// does not tell. More of the configuration may follow the names.
func inZones(t testing.TB, h *lab.Host, names string) *gateway {
	t.Helper()
	how := "searched"
	if tellsZones(t, h) {
		_, rest, _ := strings.Cut(names, "]")
		how, names = "told", "any"+rest
	}
	g := withConfig(t, h, "zones: "+names+"\n")
	if !strings.Contains(g.logged(), " zones="+how) {
		t.Fatalf("it does not say how zones are known, which is %s:\n%s", how, g.logged())
	}
	return g
}

// networks are the standard ones with NAT, and where one dials the server there.
var networks = []struct {
	name string
	kind func(*lab.Lab) (*lab.Routed, error)
	at   func(r *lab.Routed, ipv6 bool) netip.AddrPort
}{
	{"client behind NAT", (*lab.Lab).ClientBehindNAT, func(r *lab.Routed, ipv6 bool) netip.AddrPort {
		return r.Server.AddrPort(ipv6, lab.ControlPort)
	}},
	{"server behind NAT", (*lab.Lab).ServerBehindNAT, func(r *lab.Routed, ipv6 bool) netip.AddrPort {
		return r.Outside.AddrPort(ipv6, lab.ControlPort)
	}},
}

func TestAllModesWorkInAConntrackZoneAndOverARestart(t *testing.T) {
	for i, n := range networks {
		for j, z := range zoneKinds {
			f := families[(i+j)%2]
			t.Run(strings.Join([]string{n.name, z.statement, f.name}, ", "), func(t *testing.T) {
				r := routed(t, n.kind)
				inZone(t, r.Gateway, z.statement)
				s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(f.ipv6, lab.ControlPort))
				g := inZones(t, r.Gateway, "[9, 5]")
				c := login(t, r.Client, n.at(r, f.ipv6))
				all := append(modes(f.ipv6, true), modes(f.ipv6, false)...)
				for _, m := range all {
					get(t, c, s, m, "small")
					g.wantFate("outcome=used mode=" + strings.ToLower(string(m)) + " .*ended=closed .*zone=5")
				}
				g.kill()
				g.start()
				for _, m := range all {
					get(t, c, s, m, "big")
				}
				g.wantNothingOpen()
				g.wantZone(c, z.zone)
			})
		}
	}
}

// wantZone checks that the test is what it says.
func (g *gateway) wantZone(c *ftptest.Client, want conntrack.Zone) {
	g.t.Helper()
	var e conntrack.Entry
	orig := conntrack.Tuple{Src: c.Local(), Dst: c.Remote(), Zone: want.In(conntrack.Original)}
	must(g.t, tracking(g.host, func(k *conntrack.Conn) error {
		return k.Entry(orig, &e)
	}))
	if e.Zone != want {
		g.t.Errorf("the control connection is in the zone %+v, want %+v", e.Zone, want)
	}
}

// A door that a killed program left open belongs to its session again, in whatever zone that is.
func TestDoorInAZoneIsTakenOverAfterARestart(t *testing.T) {
	for _, z := range zoneKinds {
		t.Run(z.statement, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ClientBehindNAT)
			inZone(t, r.Gateway, z.statement)
			s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
			g := inZones(t, r.Gateway, "[9, 5]")
			c := login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
			d, err := c.Open(ftptest.PORT)
			must(t, err)
			d.Close()
			g.kill()
			g.start()
			if len(g.expectations()) != 1 {
				t.Fatalf("open is %+v, want one", g.expectations())
			}
			if reply, err := c.Cmd("NOOP"); err != nil || reply.Code != 200 {
				t.Fatal(reply, err)
			}
			must(t, c.Close())                                             // what is open is closed with it
			g.wantFate(`outcome=unknown mode=port .*reason=session_ended`) // the kernel told its predecessor
			g.wantNothingOpen()

			c = login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
			get(t, c, s, ftptest.PORT, "small")
		})
	}
}

func TestSessionInAZoneThatIsOlderThanTheGatewayIsTakenOver(t *testing.T) {
	for _, z := range zoneKinds {
		t.Run(z.statement, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ClientBehindNAT)
			inZone(t, r.Gateway, z.statement)
			s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
			c := login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
			g := inZones(t, r.Gateway, "[9, 5]\ntrust_running: true")
			for range 2 {
				get(t, c, s, ftptest.PORT, "small")
				get(t, c, s, ftptest.PASV, "small")
			}
			g.wantZone(c, z.zone)
		})
	}
}

// As deploy/docs/zones.md says: a connection is expected in the zone of its control connection alone.
func TestActiveModeNeedsBothSidesInTheZone(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	inZone(t, r.Gateway, `iifname "inside" ct original zone set 5`)
	s := serve(t, &ftptest.Server{Timeout: impatience}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
	g := inZones(t, r.Gateway, "[5]")
	c := login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
	get(t, c, s, ftptest.PASV, "big")
	g.wantFate("outcome=used mode=pasv .*zone=5")
	wantFailure(t, c, ftptest.PORT)
}

// Nobody would see what becomes of a session whose zone is not looked in.
func TestSessionInAZoneThatIsNotKnownIsNotTouched(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	inZone(t, r.Gateway, "ct zone set 5")
	serve(t, &ftptest.Server{Timeout: impatience}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
	for _, config := range []string{"", "zones: [6]\n"} {
		if config != "" && tellsZones(t, r.Gateway) {
			continue // it names one, so all are told
		}
		g := withConfig(t, r.Gateway, config)
		c := login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
		wantFailure(t, c, ftptest.PORT)
		g.stop()
	}
}

func TestAnyZoneIsRefusedWhereTheKernelDoesNotTell(t *testing.T) {
	r := routed(t, (*lab.Lab).Firewall)
	if tellsZones(t, r.Gateway) {
		return
	}
	file := filepath.Join(t.TempDir(), "ftpalg.yaml")
	must(t, os.WriteFile(file, []byte("zones: any\n"), 0o600))
	run := r.Gateway.Command(t.Context(), program, "run", "--socket-path", "", "--config", file)
	out, err := run.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "name the zones, as in zones: [5, 6]") {
		t.Errorf("%v\n%s", err, out)
	}
}

// fromPort is a host whose connections have all the same local port.
type fromPort struct {
	*lab.Host
	port uint16
}

func (h fromPort) Dial(ctx context.Context, local, to netip.AddrPort) (net.Conn, error) {
	if !local.IsValid() {
		local = netip.AddrPortFrom(h.Addr(to.Addr().Is6()), h.port)
	}
	return h.Host.Dial(ctx, local, to)
}

// loginFrom is login from a port.
func loginFrom(t testing.TB, h *lab.Host, port uint16, to netip.AddrPort) *ftptest.Client {
	t.Helper()
	c, err := ftptest.Dial(t.Context(), fromPort{h, port}, to)
	must(t, err)
	c.Timeout = patience
	t.Cleanup(func() { c.Close() })
	must(t, c.Login("u", "p"))
	return c
}
