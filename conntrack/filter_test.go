package conntrack

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

// dialledAt opens a connection to the server's port, ends its entry, and returns its original tuple.
func dialledAt(t testing.TB, r *netnstest.Router, c *Conn, port string) Tuple {
	t.Helper()
	l := r.Server.Listen(net.JoinHostPort(netnstest.Server, port))
	defer func() { _ = l.Close() }()
	client, err := r.Client.Dial(nil, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	orig := Tuple{
		Src: netip.MustParseAddrPort(client.LocalAddr().String()),
		Dst: netip.MustParseAddrPort(client.RemoteAddr().String()),
	}
	var e Entry
	if err := c.Entry(orig, &e); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(orig, e.ID); err != nil {
		t.Fatal(err)
	}
	return orig
}

func whatever(*Event) bool { return true }

// twoOfEach are port ids that nobody has, as many as 64 workers.
var twoOfEach = func() (ids []uint32) {
	for i := range uint32(128) {
		ids = append(ids, 1<<31+i)
	}
	return ids
}()

func TestFilterLetsOnlyExpectedConnectionsAndTheEndOfControlConnectionsThrough(t *testing.T) {
	for _, ports := range [][]uint16{{2100, 21}, many(maxFiltered)} {
		r, c := gateway(t)
		other := dialIn(t, r.Gateway)
		l := listenIn(t, r.Gateway, AllEvents, 1<<20)
		if err := l.Filter(ports, twoOfEach...); err != nil {
			t.Fatal(err)
		}
		dialledAt(t, r, c, "2323")
		ours := dialledAt(t, r, c, "21")
		if e := await(t, l, whatever); e.Kind != FlowDestroy || e.Entry.Tuple[Original] != ours {
			t.Errorf("with %d ports the first event is %+v", len(ports), e)
		}
		client, peer := open(t, r, netnstest.Server)
		x := active(flow(t, c, client, peer), 40001)
		in := r.Client.Listen(net.JoinHostPort(netnstest.Client, "2000"))
		if err := expect(c, x); err != nil {
			t.Fatal(err)
		}
		data, err := r.Server.Dial(nil, x.Dst.String())
		if err != nil {
			t.Fatal(err)
		}
		taken, err := in.Accept()
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, data, taken)
		_, _ = taken.Close(), data.Close()
		orig := Tuple{Src: netip.MustParseAddrPort(data.LocalAddr().String()), Dst: x.Dst}
		var e Entry
		if err := errors.Join(other.Entry(orig, &e), other.Remove(orig, e.ID)); err != nil {
			t.Fatal(err)
		}
		var got []Kind
		for len(got) == 0 || got[len(got)-1] != FlowDestroy {
			e := await(t, l, func(e *Event) bool { return e.PortID != c.PortID() })
			got = append(got, e.Kind)
		}
		if want := []Kind{ExpectDestroy, FlowNew, FlowDestroy}; !slices.Equal(got, want) {
			t.Errorf("with %d ports an expected connection is told as %v, want %v", len(ports), got, want)
		}
	}
}

// many returns n ports, the last of them 21.
func many(n int) (ports []uint16) {
	for i := range n - 1 {
		ports = append(ports, uint16(3000+i))
	}
	return append(ports, 21)
}

func TestFilterOfManyPortsLetsTheEndOfEveryEntryThrough(t *testing.T) {
	r, c := gateway(t)
	l := listenIn(t, r.Gateway, AllEvents, 1<<20)
	if err := l.Filter(many(maxFiltered + 1)); err != nil {
		t.Fatal(err)
	}
	other := dialledAt(t, r, c, "2323")
	if e := await(t, l, whatever); e.Kind != FlowDestroy || e.Entry.Tuple[Original] != other {
		t.Errorf("the first event is %+v", e)
	}
}

// Another gateway's program that replicates entries has another netlink port id than we.
func TestFilterLetsThroughWhatOthersWriteIntoControlConnections(t *testing.T) {
	r, own := gateway(t)
	other := dialIn(t, r.Gateway)
	l := listenIn(t, r.Gateway, AllEvents, 1<<20)
	if err := l.Filter([]uint16{21}, 4711, own.PortID()); err != nil {
		t.Fatal(err)
	}
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	for i, c := range []*Conn{own, other} {
		u := Update{StateMask: StateBusy | StateOpaque, State: []State{StateBusy, StateOpaque}[i]}
		if err := c.Update(orig, u); err != nil {
			t.Fatal(err)
		}
	}
	if e := await(t, l, whatever); e.Kind != FlowUpdate || e.PortID != other.PortID() ||
		e.Entry.Tuple[Original] != orig {
		t.Errorf("the first event is %+v", e)
	}
}

func TestFilterKeepsBackWhatTheProgramDoesItself(t *testing.T) {
	r, own := gateway(t)
	other := dialIn(t, r.Gateway)
	l := listenIn(t, r.Gateway, AllEvents, 1<<20)
	if err := l.Filter([]uint16{21}, own.PortID()); err != nil {
		t.Fatal(err)
	}
	client, peer := open(t, r, netnstest.Server)
	f := flow(t, own, client, peer)
	for i, c := range []*Conn{own, other} {
		x := active(f, uint16(40000+i))
		if err := c.Expect(&x); err != nil {
			t.Fatal(err)
		}
		if err := c.Withdraw(x); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []Kind{ExpectNew, ExpectDestroy} {
		e := await(t, l, whatever)
		if e.Kind != want || e.PortID != other.PortID() || e.Expect.Dst.Port() != 40001 {
			t.Errorf("the event is %+v, want kind %d of the other program", e, want)
		}
	}
}
