package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

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
