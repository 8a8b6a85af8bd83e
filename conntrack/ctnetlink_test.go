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

// gateway is a router whose gateway attaches the carrier helper and the label to
// every new connection to the server, as the queue rules do, and a Conn in it.
func gateway(t testing.TB) (*netnstest.Router, *Conn) {
	t.Helper()
	r := netnstest.NewRouter(t)
	r.Gateway.Nft(func(c *nftables.Conn) { control(c, HelperCarrier) })
	return r, dialIn(t, r.Gateway)
}

func dialIn(t testing.TB, n *netnstest.NS) *Conn {
	t.Helper()
	var c *Conn
	n.Do(func() {
		var err error
		if c, err = Dial(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func control(c *nftables.Conn, helper string) {
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
	c.AddObj(&nftables.NamedObj{Table: table, Name: "h", Type: nftables.ObjTypeCtHelper,
		Obj: &expr.CtHelper{Name: helper, L3Proto: unix.NFPROTO_INET, L4Proto: unix.IPPROTO_TCP}})
	chain := c.AddChain(&nftables.Chain{Name: "prerouting", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle})
	label := make([]byte, labelLen)
	label[DefaultLayout.StateByte()] = byte(StateControl)
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Ct{Key: expr.CtKeyPROTODST, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, 21}},
		&expr.Immediate{Register: 1, Data: label},
		&expr.Ct{Key: expr.CtKeyLABELS, Register: 1, SourceRegister: true},
		&expr.Objref{Type: unix.NFT_OBJECT_CT_HELPER, Name: "h"},
	}})
}

// open makes a control connection from the client to port 21 of the server.
func open(t testing.TB, r *netnstest.Router, server string) (client, peer net.Conn) {
	t.Helper()
	l := r.Server.Listen(net.JoinHostPort(server, "21"))
	defer func() { _ = l.Close() }()
	client, err := r.Client.Dial(nil, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	return client, peer
}

func addrPort(t testing.TB, a net.Addr) netip.AddrPort {
	t.Helper()
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// tuples of a connection as the client and as the server sees it.
func tuples(t testing.TB, client, peer net.Conn) [2]Tuple {
	return [2]Tuple{
		Original: {addrPort(t, client.LocalAddr()), addrPort(t, client.RemoteAddr())},
		Reply:    {addrPort(t, peer.LocalAddr()), addrPort(t, peer.RemoteAddr())},
	}
}

func TestFlowIsFoundByTheTupleOfEitherDirection(t *testing.T) {
	r, c := gateway(t)
	for _, server := range []string{netnstest.Server, netnstest.Server6} {
		client, peer := open(t, r, server)
		want := tuples(t, client, peer)
		for d, tuple := range want {
			f, err := c.Flow(tuple)
			if err != nil {
				t.Fatal(err)
			}
			if f.Tuple != want || f.ID == 0 || f.Helper != HelperCarrier || !f.SNAT || f.DNAT ||
				f.State != StateControl || !f.HasState || !f.HasSeq {
				t.Errorf("by the %v tuple %v: %+v", Dir(d), tuple, f)
			}
		}
	}
}

func TestFlowThatIsNotThereIsErrNotFound(t *testing.T) {
	c := dialIn(t, netnstest.New(t))
	tuple := Tuple{netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:21")}
	if _, err := c.Flow(tuple); !errors.Is(err, ErrNotFound) {
		t.Errorf("Flow: %v", err)
	}
	if err := c.Update(tuple, Update{StateMask: 1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("Update: %v", err)
	}
	e := Expectation{Master: tuple, Src: tuple.Dst.Addr(), Dst: tuple.Src, Timeout: time.Second}
	if err := c.Expect(e); !errors.Is(err, ErrNotFound) {
		t.Errorf("Expect: %v", err)
	}
	if err := c.Withdraw(e); err != nil {
		t.Errorf("Withdraw: %v", err)
	}
}

func TestUpdateWritesOnlyTheStateBitsOfItsMask(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	for _, step := range []struct{ mask, set, want State }{
		{StateBusy | StateNotFTP, StateBusy | StateNotFTP, StateControl | StateBusy | StateNotFTP},
		{StateBusy, 0, StateControl | StateNotFTP},
		{StateLoggedIn, StateLoggedIn | StateBusy, StateControl | StateNotFTP | StateLoggedIn},
		{0xffff &^ StateControl, 0, StateControl},
	} {
		if err := c.Update(orig, Update{StateMask: step.mask, State: step.set}); err != nil {
			t.Fatal(err)
		}
		f, err := c.Flow(orig)
		if err != nil {
			t.Fatal(err)
		}
		if f.State != step.want {
			t.Errorf("mask %#x, state %#x: got %#x, want %#x", step.mask, step.set, f.State, step.want)
		}
	}
}

func TestUpdateKeepsTheEditsInFlightOfEachDirection(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	a, b, none := Flight{Back: 0xfffe, Base: -300, End: 0x0102}, Flight{Back: 1, Base: 2, End: 3}, Flight{}
	for _, step := range []struct {
		flight, want [2]Flight
		set          [2]bool
	}{
		{[2]Flight{a, b}, [2]Flight{a, none}, [2]bool{true, false}},
		{[2]Flight{b, b}, [2]Flight{a, b}, [2]bool{false, true}},
		{[2]Flight{none, a}, [2]Flight{none, a}, [2]bool{true, true}},
	} {
		if err := c.Update(orig, Update{Flight: step.flight, SetFlight: step.set}); err != nil {
			t.Fatal(err)
		}
		f, err := c.Flow(orig)
		if err != nil {
			t.Fatal(err)
		}
		if f.Flight != step.want || f.State != StateControl {
			t.Errorf("got %+v, want %+v, state %#x", f.Flight, step.want, f.State)
		}
	}
}

func TestUpdateSetsSequenceAdjustmentOfEitherDirection(t *testing.T) {
	r, c := gateway(t)
	for _, server := range []string{netnstest.Server, netnstest.Server6} {
		for _, d := range []Dir{Original, Reply} {
			client, peer := open(t, r, server)
			orig := tuples(t, client, peer)[Original]
			var u Update
			u.Seq[d], u.SetSeq[d] = SeqAdj{Pos: 0xfffffff0, Before: -3, After: 7}, true
			if err := c.Update(orig, u); err != nil {
				t.Fatal(err)
			}
			f, err := c.Flow(orig)
			if err != nil {
				t.Fatal(err)
			}
			if f.Seq != u.Seq || f.State != StateControl {
				t.Errorf("%s, %v: got %+v, want %+v, state %#x", server, d, f.Seq, u.Seq, f.State)
			}
		}
	}
}

func TestUpdateKeepsTheTCPStateSoTheConnectionGoesOn(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	if err := c.Update(orig, Update{SetSeq: [2]bool{true, true}}); err != nil {
		t.Fatal(err)
	}
	exchange(t, client, peer)
	exchange(t, peer, client)
}

func exchange(t testing.TB, from, to net.Conn) {
	t.Helper()
	_ = to.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := from.Write([]byte("NOOP\r\n")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if n, err := to.Read(b); err != nil || string(b[:n]) != "NOOP\r\n" {
		t.Fatalf("%q, %v", b[:n], err)
	}
}

func TestUpdateOfAFlowWithoutLabelIsErrUnsupported(t *testing.T) {
	r := netnstest.NewRouter(t)
	c := dialIn(t, r.Gateway)
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	f, err := c.Flow(orig)
	if err != nil {
		t.Fatal(err)
	}
	if f.HasState || f.HasSeq || f.Helper != "" || !f.NAT() {
		t.Errorf("flow without helper: %+v", f)
	}
	if err := c.Update(orig, Update{StateMask: 1, State: 1}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Update: %v", err)
	}
	e := active(f, 40000)
	if err := c.Expect(e); !errors.Is(err, ErrNoHelper) {
		t.Errorf("Expect: %v", err)
	}
}

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
		if err := c.Expect(e); err != nil {
			t.Fatal(err)
		}
		want[e] = true
	}
	client, peer := open(t, r, netnstest.Server)
	f := flow(t, c, client, peer)
	plain := Expectation{Master: f.Tuple[Original], Src: f.Tuple[Original].Src.Addr(),
		Dst: netip.AddrPortFrom(f.Tuple[Original].Dst.Addr(), 50000), Timeout: 20 * time.Second}
	if err := c.Expect(plain); err != nil {
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
		if err := c.Expect(e); err != nil {
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
	orig := Tuple{addrPort(t, control.LocalAddr()), addrPort(t, control.RemoteAddr())}
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
	if err := c.Expect(e); err != nil {
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
	if err := c.Expect(first); err != nil {
		t.Fatal(err)
	}
	if err := c.Expect(second); !errors.Is(err, ErrPortTaken) {
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
	if err := c.Expect(second); err != nil {
		t.Errorf("after the first was withdrawn: %v", err)
	}
}

func TestExpectationOfTheSameControlConnectionIsReplaced(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	e := active(flow(t, c, client, peer), 40003)
	if err := c.Expect(e); err != nil {
		t.Fatal(err)
	}
	e.Target = netip.AddrPortFrom(e.Target.Addr(), 2001)
	if err := c.Expect(e); err != nil {
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
		if err := c.Expect(active(f, port)); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := c.Expectations(); err != nil || len(all) != 1 || all[0].Dst.Port() != 41009 {
		t.Errorf("%+v, %v", all, err)
	}
}

// own registers a helper of our own under a name for this test, or skips it.
func own(t *testing.T, c *Conn, maxExpected int) string {
	t.Helper()
	const name = "ftpalg-test"
	err := c.CanRegisterHelper()
	if errors.Is(err, ErrUnsupported) {
		t.Skipf("NOT TESTED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RegisterHelper(name, maxExpected, time.Minute); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.UnregisterHelper(name); err != nil {
			t.Error(err)
		}
	})
	return name
}

func TestOwnHelperCarriesAsManyExpectationsAsItWasGiven(t *testing.T) {
	r := netnstest.NewRouter(t)
	c := dialIn(t, r.Gateway)
	for _, limit := range []int{3, 5} { // the second registration changes the first
		name := own(t, c, limit)
		r.Gateway.Nft(func(n *nftables.Conn) {
			n.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
			n.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
			control(n, name)
		})
		t.Cleanup(func() { // before the helper goes, which its use by a rule would prevent
			r.Gateway.Nft(func(n *nftables.Conn) {
				n.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
				n.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
			})
		})
		for _, server := range []string{netnstest.Server, netnstest.Server6} {
			client, peer := open(t, r, server)
			f := flow(t, c, client, peer)
			if f.Helper != name || !f.HasSeq {
				t.Fatalf("%+v", f)
			}
			exchange(t, client, peer)
			exchange(t, peer, client)
			for port := range uint16(10) {
				if err := c.Expect(active(f, 42000+port)); err != nil {
					t.Fatal(err)
				}
			}
			all, err := c.Expectations()
			if err != nil || len(all) != limit {
				t.Errorf("%d expectations, want %d; %v", len(all), limit, err)
			}
			for _, e := range all {
				if err := c.Withdraw(e); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestOwnHelperLetsADataConnectionThrough(t *testing.T) {
	r := netnstest.NewRouter(t)
	c := dialIn(t, r.Gateway)
	name := own(t, c, 8)
	r.Gateway.Nft(func(n *nftables.Conn) { control(n, name) })
	t.Cleanup(func() {
		r.Gateway.Nft(func(n *nftables.Conn) {
			n.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
		})
	})
	if err := c.UnregisterHelper(name); !errors.Is(err, unix.EBUSY) {
		t.Errorf("unregister while a rule uses it: %v", err)
	}
	client, peer := open(t, r, netnstest.Server)
	e := active(flow(t, c, client, peer), 40001)
	l := r.Client.Listen(net.JoinHostPort(netnstest.Client, "2000"))
	if err := c.Expect(e); err != nil {
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
}

func TestUnregisteringAHelperThatIsNotThereIsNoError(t *testing.T) {
	c := dialIn(t, netnstest.New(t))
	if err := c.CanRegisterHelper(); errors.Is(err, ErrUnsupported) {
		t.Skipf("NOT TESTED: %v", err)
	}
	if err := c.UnregisterHelper("ftpalg-nobody"); err != nil {
		t.Error(err)
	}
}

func TestTryLeavesNothing(t *testing.T) {
	n := netnstest.New(t)
	c := dialIn(t, n)
	for _, helper := range []string{"", HelperCarrier} {
		if a := c.Try(helper); a.Flows != nil || a.SeqAdj != nil || a.Expect != nil {
			t.Errorf("%q: %+v", helper, a)
		}
		if _, err := c.Flow(tryTuple); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: the entry is still there: %v", helper, err)
		}
		if all, err := c.Expectations(); err != nil || len(all) != 0 {
			t.Errorf("%q: %v, %v", helper, all, err)
		}
	}
}

func TestRequestsDoNotAllocate(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.Flow(orig); err != nil {
			t.Fatal(err)
		}
		if err := c.Update(orig, Update{StateMask: StateBusy, State: StateBusy, SetSeq: [2]bool{true, true}}); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a lookup and an update", n)
	}
}

func TestAfterAGivenUpRequestTheNextStillGetsItsOwnAnswer(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	want := tuples(t, client, peer)
	// Its answer stays unread, as if the wait had ended before it came.
	c.start(subsysConntrack|msgGet, 0, unix.AF_INET).tuple(ctaTupleOrig, Tuple{want[0].Dst, want[0].Src})
	if err := c.send(); err != nil {
		t.Fatal(err)
	}
	if f, err := c.Flow(want[Original]); err != nil || f.Tuple != want {
		t.Errorf("%+v, %v", f, err)
	}
}
