package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

func TestActiveModeWorksBehindMasquerade(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ClientBehindNAT)
			s := serve(t, &ftptest.Server{CheckAddress: true, Timeout: impatience}, r.Server,
				r.Server.AddrPort(f.ipv6, 21))
			for _, m := range modes(f.ipv6, true) {
				wantFailure(t, login(t, r.Client, r.Server.AddrPort(f.ipv6, 21)), m)
			}
			g := startGateway(t, r.Gateway)
			c := login(t, r.Client, r.Server.AddrPort(f.ipv6, 21))
			for _, m := range modes(f.ipv6, true) {
				tr := get(t, c, s, m, "big")
				if tr.Remote.Port() != 20 {
					t.Errorf("the data connection came from port %d, want 20", tr.Remote.Port())
				}
				all := s.Sessions()
				got := all[len(all)-1].Last(string(m))
				if outside := r.Outside.Addr(f.ipv6); !strings.Contains(strings.ReplaceAll(got, ",", "."),
					outside.String()) {
					t.Errorf("the server received %q, want the outside address %s in it", got, outside)
				}
			}
			g.wantNothingOpen()
		})
	}
}

func TestActiveModeWorksFromAnySourcePort(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	s := serve(t, &ftptest.Server{AnyActivePort: true}, r.Server, r.Server.AddrPort(false, 21))
	startGateway(t, r.Gateway)
	tr := get(t, login(t, r.Client, r.Server.AddrPort(false, 21)), s, ftptest.PORT, "big")
	if tr.Remote.Port() == 20 {
		t.Error("the server used port 20, the test proves nothing")
	}
}

func TestTwoClientsMayUseTheSamePortAtOnce(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ClientBehindNAT)
			other, err := r.Inside.Host("other", "10.0.13.223", "fd00:13::223")
			must(t, err)
			must(t, r.Inside.Route(other))
			s := serve(t, &ftptest.Server{CheckAddress: true}, r.Server, r.Server.AddrPort(f.ipv6, 21))
			startGateway(t, r.Gateway)
			m := modes(f.ipv6, true)[0]
			var ds [2]*ftptest.Data
			var cs [2]*ftptest.Client
			for i, h := range []*lab.Host{r.Client, other} {
				cs[i] = login(t, h, r.Server.AddrPort(f.ipv6, 21))
				cs[i].ActivePort = 25678
				ds[i], err = cs[i].Open(m)
				must(t, err)
				defer ds[i].Close()
			}
			for i, d := range ds {
				must(t, cs[i].Write([]byte("RETR small\r\n")))
				if _, err := d.Conn(); err != nil {
					t.Error(err)
				}
			}
			all := s.Sessions()
			if a, b := all[0].Last(string(m)), all[1].Last(string(m)); a == b {
				t.Errorf("both were named %q to the server", a)
			}
		})
	}
}

func TestPassiveModeWorksWithOnlyTheControlPortForwarded(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ServerBehindNAT)
			s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(f.ipv6, 21))
			at := r.Outside.AddrPort(f.ipv6, 21)
			for _, m := range modes(f.ipv6, false) {
				wantFailure(t, login(t, r.Client, at), m)
			}
			g := startGateway(t, r.Gateway)
			c := login(t, r.Client, at)
			for _, m := range modes(f.ipv6, false) {
				tr := get(t, c, s, m, "big")
				if tr.Endpoint.Addr() != at.Addr() {
					t.Errorf("%s: the client was told %s, want the dialled %s", m, tr.Endpoint, at.Addr())
				}
			}
			for _, m := range modes(f.ipv6, true) {
				tr := get(t, c, s, m, "big") // the server connects out through the same NAT
				if tr.Remote.Addr() != at.Addr() {
					t.Errorf("%s: the data came from %s, want the dialled %s", m, tr.Remote, at.Addr())
				}
			}
			g.wantNothingOpen()
		})
	}
}

func TestAddressesThatServersAdvertiseBehindNAT(t *testing.T) {
	r := routed(t, (*lab.Lab).ServerBehindNAT)
	at := r.Outside.AddrPort(false, 21)
	startGateway(t, r.Gateway)
	for _, advertised := range []string{"10.0.1.66", "203.0.113.1", "0.0.0.0", "127.0.0.1"} {
		t.Run(advertised, func(t *testing.T) {
			s := serve(t, &ftptest.Server{Advertise: netip.MustParseAddr(advertised)}, r.Server,
				r.Server.AddrPort(false, 21))
			defer s.Close()
			tr := get(t, login(t, r.Client, at), s, ftptest.PASV, "big")
			if tr.Endpoint.Addr() != at.Addr() {
				t.Errorf("the client was told %s, want %s", tr.Endpoint, at.Addr())
			}
		})
	}
}

func TestExternalAddressIsShownByACloudGateway(t *testing.T) {
	r := routed(t, (*lab.Lab).ServerBehindNAT)
	serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	g := withConfig(t, r.Gateway, "external_address: 198.51.100.99\n")
	c := login(t, r.Client, r.Outside.AddrPort(false, 21))
	reply, err := c.Cmd("PASV")
	must(t, err)
	told, err := ftptest.ParsePort(reply.Raw)
	must(t, err)
	if told.Addr() != netip.MustParseAddr("198.51.100.99") {
		t.Errorf("the client was told %s", reply)
	}
	es := g.expectations()
	if len(es) != 1 || es[0].Dst.Addr() != r.Outside.Addr(false) {
		t.Errorf("expected is %+v, want one connection to the dialled address", es)
	}

	r = routed(t, (*lab.Lab).ClientBehindNAT)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	withConfig(t, r.Gateway, "external_address: 198.51.100.99\n")
	c = login(t, r.Client, r.Server.AddrPort(false, 21))
	_, err = c.Cmd("PORT 10,0,13,222,120,10")
	must(t, err)
	if got := s.Sessions()[0].Last("PORT"); got != "PORT 198,51,100,99,120,10" {
		t.Errorf("the server received %q", got)
	}
}

func TestFirewallWithoutNATRewritesNothingAndOpensExactlyOneConnection(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			r := routed(t, (*lab.Lab).Firewall)
			s := serve(t, &ftptest.Server{CheckAddress: true, Timeout: impatience}, r.Server,
				r.Server.AddrPort(f.ipv6, 21))
			all := append(modes(f.ipv6, true), modes(f.ipv6, false)...)
			for _, m := range all {
				wantFailure(t, login(t, r.Client, r.Server.AddrPort(f.ipv6, 21)), m)
			}
			g := startGateway(t, r.Gateway)
			for _, m := range all {
				c := login(t, r.Client, r.Server.AddrPort(f.ipv6, 21))
				tr := get(t, c, s, m, "big")
				sessions := s.Sessions()
				last := sessions[len(sessions)-1]
				if m.Active() && last.Last(string(m)) != tr.Sent {
					t.Errorf("%q arrived as %q", tr.Sent, last.Last(string(m)))
				}
				if code := fmt.Sprint(tr.Reply.Code); !m.Active() &&
					last.LastReply(code) != tr.Reply.String() {
					t.Errorf("%q arrived as %q", last.LastReply(code), tr.Reply)
				}
				g.wantNothingOpen() // it was used once
			}
		})
	}
}

// The example that this project began with.
func TestSeedExampleOpensPort10120AndNoOther(t *testing.T) {
	r := routed(t, (*lab.Lab).Firewall)
	serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	g := startGateway(t, r.Gateway)
	c := login(t, r.Client, r.Server.AddrPort(false, 21))
	_, err := c.Cmd("PORT 10,0,13,222,39,136")
	must(t, err)
	es := g.expectations()
	if len(es) != 1 || es[0].Src.String() != "10.0.1.66" || es[0].Dst.String() != "10.0.13.222:10120" {
		t.Fatalf("open is %+v, want 10.0.13.222:10120 for 10.0.1.66 alone", es)
	}
	for port, opens := range map[string]bool{"10119": false, "10121": false, "10120": true} {
		l, err := r.Client.Listen("tcp", "10.0.13.222:"+port)
		must(t, err)
		if err := dial(r.Server, "10.0.13.222:"+port); (err == nil) != opens {
			t.Errorf("connecting to port %s: %v, want it to be open: %v", port, err, opens)
		}
		l.Close()
	}
	g.wantNothingOpen()
}

func TestBothEndsBehindNATOfOneGateway(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			// The client is masqueraded and the server is forwarded.
			r := routed(t, (*lab.Lab).ServerBehindNAT)
			r.Rules.Masquerade = []string{r.Inside.Dev}
			must(t, r.SetRules())
			s := serve(t, &ftptest.Server{CheckAddress: true}, r.Server, r.Server.AddrPort(f.ipv6, 21))
			startGateway(t, r.Gateway)
			c := login(t, r.Client, r.Outside.AddrPort(f.ipv6, 21))
			for _, m := range append(modes(f.ipv6, true), modes(f.ipv6, false)...) {
				get(t, c, s, m, "big")
			}
		})
	}
}

func TestHairpinThroughTheOutsideAddress(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ServerBehindNAT)
			r.Rules.Hairpin = []netip.Prefix{r.Inside.Prefix(f.ipv6).Masked()}
			must(t, r.SetRules())
			inside, err := r.Inside.Host("neighbour", "10.0.1.67", "fd00:1::67")
			must(t, err)
			must(t, r.Inside.Route(inside))
			s := serve(t, &ftptest.Server{CheckAddress: true}, r.Server, r.Server.AddrPort(f.ipv6, 21))
			startGateway(t, r.Gateway)
			c := login(t, inside, r.Outside.AddrPort(f.ipv6, 21))
			for _, m := range append(modes(f.ipv6, true), modes(f.ipv6, false)...) {
				get(t, c, s, m, "big")
			}
		})
	}
}

func TestForwardedAndUnusualControlPorts(t *testing.T) {
	r := routed(t, (*lab.Lab).ServerBehindNAT)
	r.Rules.DNAT = []lab.DNAT{{Dialled: r.Outside.AddrPort(false, 2121), To: r.Server.AddrPort(false, 21)},
		{Dialled: r.Outside.AddrPort(false, 8021), To: r.Server.AddrPort(false, 8021)}}
	r.Rules.Forward.Accept = append(r.Rules.Forward.Accept, lab.Accept{Port: 8021})
	must(t, r.SetRules())
	withConfig(t, r.Gateway, "ports: [21, 2121, 8021]\n")
	for dialled, port := range map[uint16]uint16{2121: 21, 8021: 8021} {
		s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, port))
		c := login(t, r.Client, r.Outside.AddrPort(false, dialled))
		for _, m := range []ftptest.Mode{ftptest.PASV, ftptest.EPSV, ftptest.PORT} {
			get(t, c, s, m, "big")
		}
	}
}

func TestPeersOnTheGatewayItself(t *testing.T) {
	for _, f := range families {
		t.Run("server, "+f.name, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ClientBehindNAT)
			must(t, r.SetRules())
			s := serve(t, &ftptest.Server{CheckAddress: true, Timeout: impatience}, r.Gateway,
				r.Inside.AddrPort(f.ipv6, 21))
			at := r.Inside.AddrPort(f.ipv6, 21)
			for _, m := range modes(f.ipv6, false) {
				wantFailure(t, login(t, r.Client, at), m)
			}
			g := startGateway(t, r.Gateway)
			for _, m := range append(modes(f.ipv6, true), modes(f.ipv6, false)...) {
				get(t, login(t, r.Client, at), s, m, "big")
			}
			g.wantNothingOpen()
		})
		t.Run("client, "+f.name, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ClientBehindNAT)
			s := serve(t, &ftptest.Server{CheckAddress: true, Timeout: impatience}, r.Server,
				r.Server.AddrPort(f.ipv6, 21))
			at := r.Server.AddrPort(f.ipv6, 21)
			for _, m := range modes(f.ipv6, true) {
				wantFailure(t, login(t, r.Gateway, at), m)
			}
			g := startGateway(t, r.Gateway)
			for _, m := range append(modes(f.ipv6, true), modes(f.ipv6, false)...) {
				get(t, login(t, r.Gateway, at), s, m, "big")
			}
			g.wantNothingOpen()
		})
	}
}

func TestManyTransfersResumesAndSessionsAtOnce(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	s := serve(t, &ftptest.Server{CheckAddress: true}, r.Server, r.Server.AddrPort(false, 21))
	s.Put("huge", ftptest.Random(32<<20, 3))
	g := startGateway(t, r.Gateway)
	done := make(chan bool)
	for i := range 4 {
		go func() {
			defer func() { done <- true }()
			c := login(t, r.Client, r.Server.AddrPort(false, 21))
			for range 10 {
				get(t, c, s, ftptest.PORT, "big")
				get(t, c, s, ftptest.EPRT, "small")
			}
			whole, _ := s.File("big")
			tr, err := c.GetFrom(ftptest.PORT, "big", 500000)
			if err != nil || string(tr.Data) != string(whole[500000:]) {
				t.Errorf("resuming at 500000: %d bytes, %v", len(tr.Data), err)
			}
			up := ftptest.Random(300000, uint64(i))
			if _, err := c.Put(ftptest.EPRT, fmt.Sprint("up", i), up); err != nil {
				t.Errorf("storing: %v", err)
			}
			if got, _ := s.File(fmt.Sprint("up", i)); string(got) != string(up) {
				t.Errorf("stored are %d bytes, other than those sent", len(got))
			}
		}()
	}
	for range 4 {
		<-done
	}
	get(t, login(t, r.Client, r.Server.AddrPort(false, 21)), s, ftptest.PORT, "huge")
	g.wantNothingOpen()
}
