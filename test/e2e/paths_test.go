package e2e

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// A client names one port to two servers, and both connect before it takes either.
func TestOnePortNamedToTwoServersAtOnce(t *testing.T) {
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			r := routed(t, k.make)
			beside := neighbour(t, r.Outside, "second")
			g := startGateway(t, r.Gateway)
			l, err := r.Client.Listen("tcp", "10.0.13.222:30730")
			must(t, err)
			defer l.Close()
			var cs []*ftptest.Client
			want := map[netip.Addr]string{}
			for i, h := range []*lab.Host{r.Server, beside} {
				s := serve(t, &ftptest.Server{CheckAddress: true}, h, h.AddrPort(false, 21))
				text := ftptest.Random(5000, uint64(i))
				s.Put("own", text)
				want[h.Addr(false)] = string(text)
				cs = append(cs, login(t, r.Client, h.AddrPort(false, 21)))
			}
			for _, c := range cs {
				accepted(t, c, named)
			}
			for _, c := range cs {
				must(t, c.Write([]byte("RETR own\r\n")))
			}
			for range cs {
				from, text := taken(t, l)
				if text != want[from] {
					t.Errorf("%v sent %d bytes, other than its own %d", from, len(text), len(want[from]))
				}
				delete(want, from)
			}
			for _, c := range cs {
				for _, code := range []int{150, 226} {
					if reply, err := c.ReadReply(); err != nil || reply.Code != code {
						t.Errorf("the reply is %v, %v, want %d", reply, err, code)
					}
				}
			}
			g.wantNothingOpen()
		})
	}
}

// taken takes a connection, and returns who it is from and all that it sends.
func taken(t testing.TB, l net.Listener) (netip.Addr, string) {
	t.Helper()
	must(t, l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(patience)))
	c, err := l.Accept()
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	text, err := io.ReadAll(c)
	must(t, err)
	return c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(), string(text)
}

// row is a client behind two masquerading gateways, and a server that knows neither.
func row(t testing.TB) (r *lab.Routed, second, server *lab.Host) {
	t.Helper()
	r = routed(t, (*lab.Lab).ClientBehindNAT)
	second = neighbour(t, r.Outside, "second") // 203.0.113.99
	must(t, second.Forwarding(true))
	beyond, err := second.Segment("beyond", "198.51.100.1/24", "2001:db8:100::1/64")
	must(t, err)
	server, err = beyond.Host("far", "198.51.100.66", "2001:db8:100::66")
	must(t, err)
	must(t, second.SetRules(lab.Ruleset{
		Masquerade: []string{beyond.Dev},
		Forward:    &lab.Policy{Accept: []lab.Accept{{Port: lab.ControlPort}}},
	}))
	for _, ipv6 := range []bool{false, true} {
		must(t, r.Gateway.Route(beyond.Prefix(ipv6).Masked(), second.Addr(ipv6)))
	}
	return r, second, server
}

func TestClientBehindTwoGatewaysInARow(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			r, second, server := row(t)
			at := server.AddrPort(f.ipv6, 21)
			s := serve(t, &ftptest.Server{CheckAddress: true}, server, at)
			gateways := []*gateway{startGateway(t, r.Gateway), startGateway(t, second)}
			c := login(t, r.Client, at)
			for _, m := range append(modes(f.ipv6, true), modes(f.ipv6, false)...) {
				get(t, c, s, m, "big")
			}
			for _, g := range gateways { // and each may be replaced in the middle
				g.kill()
				g.start()
			}
			for _, m := range append(modes(f.ipv6, true), modes(f.ipv6, false)...) {
				get(t, c, s, m, "small")
			}
			for _, g := range gateways {
				g.wantNothingOpen()
			}
		})
	}
}

// The server offers a port of its own on which, under the same number, a program on the gateway listens.
func TestPassivePortThatAProgramOnTheGatewayListensOn(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			n := newGuarded(t, kinds[2], "")
			n.Rules.Input.Accept = append(n.Rules.Input.Accept, lab.Accept{Port: 30730})
			must(t, n.SetRules())
			s := n.serve(&ftptest.Server{PassivePort: 30730, Timeout: patience})
			l, err := n.Gateway.Listen("tcp", anyAddress(30730))
			must(t, err)
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return // closed
					}
					_, _ = io.WriteString(c, "gateway") // the other side tells whether it came
					c.Close()
				}
			}()
			at := netip.AddrPortFrom(n.dialled[index(f.ipv6)], 30730)
			c := login(t, n.Client, netip.AddrPortFrom(at.Addr(), 21))
			for _, m := range modes(f.ipv6, false) {
				tr := get(t, c, s, m, "small")
				if tr.Endpoint != at {
					t.Errorf("%s leads to %v, the test proves nothing", m, tr.Endpoint)
				}
				if who := reachAnew(n.Client, at); who != "gateway" { // as before
					t.Errorf("%v is %q, want the gateway's own program", at, who)
				}
			}
		})
	}
}

// prefixes translates the network of the clients to another one, address by address, as NPTv6 does.
func prefixes(t testing.TB, h *lab.Host, dev, inside, outside string) {
	t.Helper()
	from, to := netip.MustParsePrefix(inside), netip.MustParsePrefix(outside)
	last := to.Addr().As16()
	for i := to.Bits() / 8; i < len(last); i++ {
		last[i] = 0xff
	}
	out := make([]byte, unix.IFNAMSIZ)
	copy(out, dev)
	must(t, h.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv6, Name: "prefixes"})
		chain := c.AddChain(&nftables.Chain{Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: out},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 8,
				Len: uint32(from.Bits() / 8)}, // its source
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: from.Addr().AsSlice()[:from.Bits()/8]},
			&expr.Immediate{Register: 1, Data: to.Addr().AsSlice()},
			&expr.Immediate{Register: 2, Data: last[:]},
			&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV6, RegAddrMin: 1, RegAddrMax: 2,
				Prefix: true},
		}})
		return c.Flush()
	}))
}

func TestPrefixTranslation(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	r.Rules.Masquerade = nil
	must(t, r.SetRules())
	prefixes(t, r.Gateway, r.Outside.Dev, "fd00:13::/64", "2001:db8:ff::/64")
	must(t, r.Server.Route(netip.MustParsePrefix("2001:db8:ff::/64"), r.Outside.Addr(true)))
	at := r.Server.AddrPort(true, 21)
	s := serve(t, &ftptest.Server{CheckAddress: true}, r.Server, at)
	g := startGateway(t, r.Gateway)
	c := login(t, r.Client, at)
	get(t, c, s, ftptest.EPRT, "big")
	get(t, c, s, ftptest.EPSV, "big")
	if got := s.Sessions()[0].Last("EPRT"); !strings.HasPrefix(got, "EPRT |2|2001:db8:ff::222|") {
		t.Errorf("the server received %q, want the translated address in it", got)
	}
	g.wantNothingOpen()
}
