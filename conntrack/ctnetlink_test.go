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
// Bits of the state that are their writer's.
const (
	stateOne   State = 1 << 8
	stateTwo   State = 1 << 3
	stateThree State = 1 << 9
)

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
		Original: {Src: addrPort(t, client.LocalAddr()), Dst: addrPort(t, client.RemoteAddr())},
		Reply:    {Src: addrPort(t, peer.LocalAddr()), Dst: addrPort(t, peer.RemoteAddr())},
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
	tuple := Tuple{Src: netip.MustParseAddrPort("10.0.0.1:1"), Dst: netip.MustParseAddrPort("10.0.0.2:21")}
	if _, err := c.Flow(tuple); !errors.Is(err, ErrNotFound) {
		t.Errorf("Flow: %v", err)
	}
	if err := c.Update(tuple, Update{StateMask: 1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("Update: %v", err)
	}
	e := Expectation{Master: tuple, Src: tuple.Dst.Addr(), Dst: tuple.Src, Timeout: time.Second}
	if err := expect(c, e); !errors.Is(err, ErrNotFound) {
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
		{StateBusy | stateOne, StateBusy | stateOne, StateControl | StateBusy | stateOne},
		{StateBusy, 0, StateControl | stateOne},
		{stateTwo, stateTwo | StateBusy, StateControl | stateOne | stateTwo},
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
	a, b, none := Flight{Port: 0xfffe, Base: -300, End: 0x0102}, Flight{Port: 1, Base: 2, End: 3}, Flight{}
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
	if err := expect(c, e); !errors.Is(err, ErrNoHelper) {
		t.Errorf("Expect: %v", err)
	}
}

func TestRequestsDoNotAllocate(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	u := Update{StateMask: StateBusy, State: StateBusy, SetSeq: [2]bool{true, true}}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.Flow(orig); err != nil {
			t.Fatal(err)
		}
		if err := c.Update(orig, u); err != nil {
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
	c.start(subsysConntrack|msgGet, 0, unix.AF_INET).
		tuple(ctaTupleOrig, Tuple{Src: want[0].Dst, Dst: want[0].Src})
	if err := c.send(); err != nil {
		t.Fatal(err)
	}
	if f, err := c.Flow(want[Original]); err != nil || f.Tuple != want {
		t.Errorf("%+v, %v", f, err)
	}
}
