package conntrack

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

// active is what PORT of a masqueraded client asks for: the server connects to
// the gateway's port and ends at the client's port 2000.
func active(f Flow, port uint16) Expectation {
	client := f.Tuple[Original].Src.Addr()
	return Expectation{
		Master:    f.Tuple[Original],
		Src:       f.Tuple[Reply].Src.Addr(),
		Dst:       netip.AddrPortFrom(f.Tuple[Reply].Dst.Addr(), port),
		Translate: true,
		Dir:       Reply,
		Target:    netip.AddrPortFrom(client, 2000),
		Timeout:   20 * time.Second,
	}
}

func flow(t testing.TB, c *Conn, client, peer net.Conn) Flow {
	t.Helper()
	f, err := c.Flow(tuples(t, client, peer)[Original])
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestExpectationIsListedAsItWasMade(t *testing.T) {
	r, c := gateway(t)
	want := map[Expectation]bool{}
	for _, server := range []string{netnstest.Server, netnstest.Server6} {
		client, peer := open(t, r, server)
		e := active(flow(t, c, client, peer), 40000)
		if err := expect(c, e); err != nil {
			t.Fatal(err)
		}
		want[e] = true
	}
	client, peer := open(t, r, netnstest.Server)
	f := flow(t, c, client, peer)
	plain := Expectation{Master: f.Tuple[Original], Src: f.Tuple[Original].Src.Addr(),
		Dst: netip.AddrPortFrom(f.Tuple[Original].Dst.Addr(), 50000), Timeout: 20 * time.Second}
	if err := expect(c, plain); err != nil {
		t.Fatal(err)
	}
	want[plain] = true

	got, err := c.Expectations()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d expectations, want %d", len(got), len(want))
	}
	for _, e := range got {
		if e.Timeout < 18*time.Second || e.Timeout > 20*time.Second {
			t.Errorf("timeout %v, want about 20s: the helper's own is 300s", e.Timeout)
		}
		e.Timeout, e.ID = 20*time.Second, 0
		if !want[e] {
			t.Errorf("unexpected %+v", e)
		}
	}
}

func TestExpectationLetsOneDataConnectionThroughAndIsThenGone(t *testing.T) {
	r, c := gateway(t)
	for _, at := range []struct{ client, server string }{
		{netnstest.Client, netnstest.Server}, {netnstest.Client6, netnstest.Server6},
	} {
		client, peer := open(t, r, at.server)
		e := active(flow(t, c, client, peer), 40001)
		l := r.Client.Listen(net.JoinHostPort(at.client, "2000"))
		if err := expect(c, e); err != nil {
			t.Fatal(err)
		}
		data, err := r.Server.Dial(nil, e.Dst.String())
		if err != nil {
			t.Fatal(err)
		}
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, data, in)
		_ = in.Close()
		if left, err := c.Expectations(); err != nil || len(left) != 0 {
			t.Errorf("left after use: %+v, %v", left, err)
		}
		if err := c.Withdraw(e); err != nil {
			t.Errorf("withdraw a used expectation: %v", err)
		}
	}
}

// publish translates what comes from outside to the gateway's port 21 to the
// client's namespace, where then the FTP server is.
func publish(r *netnstest.Router) {
	r.Gateway.Nft(func(c *nftables.Conn) {
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "publish"})
		chain := c.AddChain(&nftables.Chain{Name: "prerouting", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, 21}},
			&expr.Immediate{Register: 1, Data: net.ParseIP(netnstest.Client).To4()},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
		}})
	})
}

func TestPassiveExpectationReachesAServerBehindDestinationNAT(t *testing.T) {
	r, c := gateway(t)
	publish(r)
	l := r.Client.Listen(net.JoinHostPort(netnstest.Client, "21"))
	control, err := r.Server.Dial(nil, net.JoinHostPort(netnstest.Gateway, "21"))
	if err != nil {
		t.Fatal(err)
	}
	orig := Tuple{Src: addrPort(t, control.LocalAddr()), Dst: addrPort(t, control.RemoteAddr())}
	f, err := c.Flow(orig)
	if err != nil {
		t.Fatal(err)
	}
	if !f.DNAT || f.SNAT || !f.HasSeq || f.Tuple[Reply].Src != addrPort(t, l.Addr()) {
		t.Fatalf("%+v", f)
	}
	u := Update{SetSeq: [2]bool{false, true}, Seq: [2]SeqAdj{{}, {Pos: 7, Before: 1, After: 2}}}
	if err := c.Update(orig, u); err != nil {
		t.Fatal(err)
	}
	if f, err = c.Flow(orig); err != nil || f.Seq != u.Seq {
		t.Errorf("%+v, %v", f.Seq, err)
	}
	data := r.Client.Listen(net.JoinHostPort(netnstest.Client, "50001"))
	e := Expectation{Master: orig, Src: orig.Src.Addr(), Dst: netip.AddrPortFrom(orig.Dst.Addr(), 40005),
		Translate: true, Dir: Original, Target: addrPort(t, data.Addr()), Timeout: 5 * time.Second}
	if err := expect(c, e); err != nil {
		t.Fatal(err)
	}
	out, err := r.Server.Dial(nil, e.Dst.String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := data.Accept()
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, out, in)
	_ = in.Close()
}

func TestPortOfAnotherControlConnectionIsTaken(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	first := active(flow(t, c, client, peer), 40002)
	client, peer = open(t, r, netnstest.Server)
	second := active(flow(t, c, client, peer), 40002)
	if err := expect(c, first); err != nil {
		t.Fatal(err)
	}
	if err := expect(c, second); !errors.Is(err, ErrPortTaken) {
		t.Errorf("second: %v", err)
	}
	if err := c.Withdraw(second); err != nil {
		t.Error(err)
	}
	if all, err := c.Expectations(); err != nil || len(all) != 1 || all[0].Master != first.Master {
		t.Errorf("the first must be untouched by the second's withdrawal: %+v, %v", all, err)
	}
	if err := c.Withdraw(first); err != nil {
		t.Error(err)
	}
	if err := expect(c, second); err != nil {
		t.Errorf("after the first was withdrawn: %v", err)
	}
}

func TestExpectationOfTheSameControlConnectionIsReplaced(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	e := active(flow(t, c, client, peer), 40003)
	if err := expect(c, e); err != nil {
		t.Fatal(err)
	}
	e.Target = netip.AddrPortFrom(e.Target.Addr(), 2001)
	if err := expect(c, e); err != nil {
		t.Fatal(err)
	}
	if all, err := c.Expectations(); err != nil || len(all) != 1 || all[0].Target != e.Target {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestCarrierHelperKeepsOnlyTheNewestExpectation(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	f := flow(t, c, client, peer)
	for port := uint16(41000); port < 41010; port++ {
		if err := expect(c, active(f, port)); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := c.Expectations(); err != nil || len(all) != 1 || all[0].Dst.Port() != 41009 {
		t.Errorf("%+v, %v", all, err)
	}
}

// The program makes an expectation anew whenever conntrackd has replaced the entry, and the kernel takes the
// old one away with the old entry: the port may be left between the two questions to the kernel.
func TestExpectationIsMadeThoughWhoHasThePortLeavesItJustNow(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	e := active(flow(t, c, client, peer), 40004)
	other := dialIn(t, r.Gateway)
	end, ended := make(chan struct{}), make(chan error)
	go func() {
		var err error
		for err == nil {
			select {
			case <-end:
				ended <- nil
				return
			default:
				err = other.Withdraw(e)
			}
		}
		ended <- err
	}()
	for range 5000 {
		if err := expect(c, e); err != nil {
			t.Error(err)
			break
		}
	}
	close(end)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// expect is c.Expect for a value.
func expect(c *Conn, e Expectation) error { return c.Expect(&e) }

// expectID is c.Expect, and returns the ID.
func expectID(c *Conn, e Expectation) (uint32, error) {
	err := c.Expect(&e)
	return e.ID, err
}
