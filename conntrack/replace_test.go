package conntrack

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

// older is a session that is older than the rules, and the rules that came then.
func older(t *testing.T) (r *netnstest.Router, c *Conn, client, peer net.Conn) {
	t.Helper()
	r = netnstest.NewRouter(t)
	c = dialIn(t, r.Gateway)
	client, peer = open(t, r, netnstest.Server)
	r.Gateway.Nft(func(n *nftables.Conn) { control(n, HelperCarrier) })
	return r, c, client, peer
}

func TestReplacedEntryCarriesASessionThatIsOlderThanTheRules(t *testing.T) {
	r, c, client, peer := older(t)
	want := tuples(t, client, peer)
	orig := want[Original]
	var e Entry
	if err := c.Entry(orig, &e); err != nil || e.Helper != "" || e.HasState {
		t.Fatalf("%+v, %v", e, err)
	}
	e.Mark = 0x1234
	var u Update
	u.SetLabel(StateControl|stateThree, [2]Flight{})
	f, err := c.Replace(&e, HelperCarrier, u)
	if err != nil || f.Tuple != want || !f.SNAT || f.Helper != HelperCarrier || f.State != u.State {
		t.Fatalf("%+v, %v", f, err)
	}
	var now Entry
	err = c.Entry(orig, &now)
	if err != nil || now.Mark != e.Mark || now.Timeout < e.Timeout-2*time.Second ||
		now.TCP.State != e.TCP.State || now.TCP.WindowScale != e.TCP.WindowScale ||
		now.Status&StatusAssured == 0 {
		t.Errorf("before %+v\nafter  %+v, %v", e, now, err)
	}
	exchange(t, client, peer)
	exchange(t, peer, client)
	offset := Update{SetSeq: [2]bool{true, false}, Seq: [2]SeqAdj{{1, 2, 3}, {}}}
	if err := c.Update(orig, offset); err != nil {
		t.Fatal(err)
	}
	if f := flow(t, c, client, peer); f.Seq[Original] != (SeqAdj{1, 2, 3}) {
		t.Errorf("offset not kept: %+v", f)
	}
	l := r.Client.Listen(net.JoinHostPort(netnstest.Client, "2000"))
	x := active(f, 40001)
	if err := expect(c, x); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Replace(&now, HelperCarrier, u); !errors.Is(err, ErrBusy) {
		t.Errorf("replace while an expectation waits: %v", err)
	}
	passes(t, r, x.Dst.String(), l)
}

func TestReplaceOfAnotherEntryChangesNothing(t *testing.T) {
	_, c, client, peer := older(t)
	orig := tuples(t, client, peer)[Original]
	var e Entry
	if err := c.Entry(orig, &e); err != nil {
		t.Fatal(err)
	}
	stale := e
	stale.ID++
	if _, err := c.Replace(&stale, HelperCarrier, Update{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	exchange(t, client, peer)
	if f := flow(t, c, client, peer); f.ID != e.ID || f.Helper != "" {
		t.Errorf("%+v", f)
	}
}

func TestARefusedReplacementIsPutBack(t *testing.T) {
	_, c, client, peer := older(t)
	orig := tuples(t, client, peer)[Original]
	var e Entry
	if err := c.Entry(orig, &e); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Replace(&e, "no-such-helper", Update{}); err == nil {
		t.Error("a helper that does not exist was taken")
	}
	if f := flow(t, c, client, peer); f.Tuple != e.Tuple || !f.SNAT {
		t.Errorf("%+v", f)
	}
	exchange(t, client, peer)
	exchange(t, peer, client)
}

func TestReplaceBehindDestinationNATInAZone(t *testing.T) {
	zones(t, func(t *testing.T, r *netnstest.Router, c *Conn, z Zone) {
		publish(r)
		l := r.Client.Listen(net.JoinHostPort(netnstest.Client, "21"))
		control, err := r.Server.Dial(nil, net.JoinHostPort(netnstest.Gateway, "21"))
		if err != nil {
			t.Fatal(err)
		}
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = in.Close() })
		orig := Tuple{Src: addrPort(t, control.LocalAddr()), Dst: addrPort(t, control.RemoteAddr()),
			Zone: z.In(Original)}
		var e Entry
		if err := c.Entry(orig, &e); err != nil {
			t.Fatal(err)
		}
		if f, err := c.Replace(&e, HelperCarrier, Update{}); err != nil || f.Zone != z || f.State != e.State {
			t.Fatalf("%+v, %v", f, err)
		}
		exchange(t, control, in)
		exchange(t, in, control)
		data := r.Client.Listen(net.JoinHostPort(netnstest.Client, "30001"))
		x := passive(orig, z, addrPort(t, data.Addr()))
		if err := expect(c, x); err != nil {
			t.Fatal(err)
		}
		passes(t, r, x.Dst.String(), data)
	})
}

func TestEntryOnWhichSomethingHangsStays(t *testing.T) {
	_, c, client, peer := older(t)
	orig := tuples(t, client, peer)[Original]
	var e Entry
	if err := c.Entry(orig, &e); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Entry){
		"half closed":  func(e *Entry) { e.TCP.State = TCPCloseWait },
		"expected":     func(e *Entry) { e.Status |= StatusExpected },
		"a flow table": func(e *Entry) { e.Status |= StatusOffload },
		"SYNPROXY":     func(e *Entry) { e.Proxied = true },
	} {
		x := e
		change(&x)
		if _, err := c.Replace(&x, HelperCarrier, Update{}); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if f := flow(t, c, client, peer); f.ID != e.ID {
		t.Errorf("%+v", f)
	}
}

// As if packets had come when the old entry was gone and the new one not yet there.
func TestEntriesThatPacketsMadeInBetweenGiveWay(t *testing.T) {
	for name, between := range map[string]func(t *testing.T, c *Conn, e *Entry, client, peer net.Conn){
		"of the client": func(t *testing.T, c *Conn, e *Entry, client, peer net.Conn) {
			exchange(t, client, peer)
			flow(t, c, client, peer)
		},
		"of the server": func(t *testing.T, c *Conn, e *Entry, client, peer net.Conn) {
			backwards := *e
			backwards.Tuple = [2]Tuple{e.Tuple[Reply], e.Tuple[Reply].Reverse()}
			backwards.SNAT = false
			if _, _, created, err := c.swap(&backwards, 0, "", &Update{}); created != nil || err != nil {
				t.Fatal(created, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, c, client, peer := older(t)
			want := tuples(t, client, peer)
			var e Entry
			err := c.Entry(want[Original], &e)
			if err = errors.Join(err, c.Remove(want[Original], e.ID)); err != nil {
				t.Fatal(err)
			}
			between(t, c, &e, client, peer)
			if f, err := c.insist(&e, HelperCarrier, &Update{}); err != nil || f.Tuple != want || !f.SNAT ||
				f.Helper != HelperCarrier {
				t.Errorf("%+v, %v", f, err)
			}
			exchange(t, client, peer)
			exchange(t, peer, client)
		})
	}
}
