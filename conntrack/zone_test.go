package conntrack

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

const testZone = 5

// inZone puts all that comes through the gateway into the zone. Of nftables' "ct zone set"
// the library knows only the one for both directions; the others are the xt target CT
// (struct xt_ct_target_info_v1), which makes the same template.
func inZone(g *netnstest.NS, dir ZoneDir) {
	g.Nft(func(c *nftables.Conn) {
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "raw"})
		chain := c.AddChain(&nftables.Chain{Name: "prerouting", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw})
		if dir == ZoneBoth {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
				&expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint16(nil, testZone)},
				&expr.Ct{Key: expr.CtKeyZONE, Register: 1, SourceRegister: true},
			}})
			return
		}
		info := make(xt.Unknown, 72)
		binary.NativeEndian.PutUint16(info, 2<<dir) // XT_CT_ZONE_DIR_ORIG, _REPL
		binary.NativeEndian.PutUint16(info[2:], testZone)
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Target{Name: "CT", Rev: 2, Info: &info},
		}})
	})
}

// zones calls f with a gateway whose flows are all in a zone, of each kind.
func zones(t *testing.T, f func(*testing.T, *netnstest.Router, *Conn, Zone)) {
	kinds := map[string]ZoneDir{"both": ZoneBoth, "original": ZoneOriginal, "reply": ZoneReply}
	for name, dir := range kinds {
		t.Run(name, func(t *testing.T) {
			r, c := gateway(t)
			inZone(r.Gateway, dir)
			f(t, r, c, Zone{ID: testZone, Dir: dir})
		})
	}
}

// tuplesIn puts tuples of a flow where the zone has them.
func tuplesIn(z Zone, t [2]Tuple) [2]Tuple {
	for d := range t {
		t[d].Zone = z.In(Dir(d))
	}
	return t
}

func TestFlowInAZoneIsFoundAndChangedThere(t *testing.T) {
	zones(t, func(t *testing.T, r *netnstest.Router, c *Conn, z Zone) {
		client, peer := open(t, r, netnstest.Server)
		want := tuplesIn(z, tuples(t, client, peer))
		for d, tuple := range want {
			f, err := c.Flow(tuple)
			if err != nil || f.Tuple != want || f.Zone != z {
				t.Errorf("by the %v tuple: %+v, %v", Dir(d), f, err)
			}
			tuple.Zone = testZone - tuple.Zone // of 0 and the zone, the one in which it is not
			if f, err := c.Flow(tuple); !errors.Is(err, ErrNotFound) {
				t.Errorf("by %+v: %+v, %v", tuple, f, err)
			}
		}
		if err := c.Update(want[Original], Update{StateMask: StateBusy, State: StateBusy}); err != nil {
			t.Fatal(err)
		}
		var got []Entry
		busy := Filter{State: StateControl | StateBusy}
		if err := c.Entries(busy, func(e *Entry) { got = append(got, *e) }); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Zone != z || got[0].Tuple != want {
			t.Errorf("listed: %+v", got)
		}
	})
}

func TestActiveDataConnectionPassesInAZone(t *testing.T) {
	zones(t, func(t *testing.T, r *netnstest.Router, c *Conn, z Zone) {
		client, peer := open(t, r, netnstest.Server)
		f, err := c.Flow(tuplesIn(z, tuples(t, client, peer))[Original])
		if err != nil {
			t.Fatal(err)
		}
		e := active(f, 40001)
		e.Zone = z
		id, err := expectID(c, e)
		if err != nil {
			t.Fatal(err)
		}
		expectationIsIn(t, c, z, id)
		again := e
		again.ID = id
		if err := c.Withdraw(again); err != nil {
			t.Fatal(err)
		}
		if all, err := c.Expectations(); err != nil || len(all) != 0 {
			t.Fatalf("left after it was withdrawn: %+v, %v", all, err)
		}
		l := r.Client.Listen(net.JoinHostPort(netnstest.Client, "2000"))
		if err := expect(c, e); err != nil {
			t.Fatal(err)
		}
		passes(t, r, e.Dst.String(), l)
	})
}

// expectationIsIn lists the only expectation and looks for its zone.
func expectationIsIn(t *testing.T, c *Conn, z Zone, id uint32) {
	t.Helper()
	all, err := c.Expectations()
	if err != nil || len(all) != 1 || all[0].ID != id || all[0].Timeout > 20*time.Second {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := c.LocateExpectation(&all[0], []Zone{{ID: 9}, z}); err != nil || all[0].Zone != z ||
		all[0].Master.Zone != z.In(Original) {
		t.Errorf("located in %+v: %v", all[0].Zone, err)
	}
	elsewhere := all[0]
	if err := c.LocateExpectation(&elsewhere, []Zone{{ID: 9}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("located in %+v: %v", elsewhere.Zone, err)
	}
	of, err := c.ExpectationsOf(all[0].Master)
	if err != nil || len(of) != 1 || of[0].ID != id || of[0].Master != all[0].Master {
		t.Errorf("of the control connection: %+v, %v", of, err)
	}
}

// passes connects from the server's namespace and has l accept it.
func passes(t testing.TB, r *netnstest.Router, to string, l net.Listener) {
	t.Helper()
	data, err := r.Server.Dial(nil, to)
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

// passive is what a 227 of a published server asks for.
func passive(orig Tuple, z Zone, server netip.AddrPort) Expectation {
	return Expectation{Master: orig, Zone: z, Src: orig.Src.Addr(),
		Dst:       netip.AddrPortFrom(orig.Dst.Addr(), 30005),
		Translate: true, Dir: Original, Target: server, Timeout: 5 * time.Second}
}

func TestPassiveDataConnectionPassesInAZoneBehindDestinationNAT(t *testing.T) {
	zones(t, func(t *testing.T, r *netnstest.Router, c *Conn, z Zone) {
		publish(r)
		r.Client.Listen(net.JoinHostPort(netnstest.Client, "21"))
		control, err := r.Server.Dial(nil, net.JoinHostPort(netnstest.Gateway, "21"))
		if err != nil {
			t.Fatal(err)
		}
		orig := Tuple{Src: addrPort(t, control.LocalAddr()), Dst: addrPort(t, control.RemoteAddr()),
			Zone: z.In(Original)}
		data := r.Client.Listen(net.JoinHostPort(netnstest.Client, "30001"))
		e := passive(orig, z, addrPort(t, data.Addr()))
		if err := expect(c, e); err != nil {
			t.Fatal(err)
		}
		passes(t, r, e.Dst.String(), data)
	})
}

func TestEventsTellTheZone(t *testing.T) {
	zones(t, func(t *testing.T, r *netnstest.Router, c *Conn, z Zone) {
		events := listenIn(t, r.Gateway, AllEvents, 1<<20)
		client, peer := open(t, r, netnstest.Server)
		want := tuplesIn(z, tuples(t, client, peer))
		f, err := c.Flow(want[Original])
		if err != nil {
			t.Fatal(err)
		}
		e := active(f, 40001)
		e.Zone = z
		l := r.Client.Listen(net.JoinHostPort(netnstest.Client, "2000"))
		if err := expect(c, e); err != nil {
			t.Fatal(err)
		}
		passes(t, r, e.Dst.String(), l)
		data := await(t, events, func(e *Event) bool { return e.Kind == FlowNew && e.Entry.Expected() })
		if data.Entry.Zone != z || data.Entry.Master != want[Original] {
			t.Errorf("data connection: %+v", data)
		}
		if err := c.Remove(want[Original], f.ID); err != nil {
			t.Fatal(err)
		}
		end := await(t, events, func(e *Event) bool { return e.Kind == FlowDestroy })
		if end.Entry.Zone != z || end.Entry.Tuple != want {
			t.Errorf("the end: %+v", end)
		}
	})
}

func TestEntryThatAnAnswerMadeInAZoneGivesWay(t *testing.T) {
	zones(t, func(t *testing.T, r *netnstest.Router, c *Conn, z Zone) {
		client, peer := open(t, r, netnstest.Server)
		want := tuplesIn(z, tuples(t, client, peer))
		var e Entry
		err := c.Entry(want[Original], &e)
		if err = errors.Join(err, c.Remove(want[Original], e.ID)); err != nil {
			t.Fatal(err)
		}
		backwards := e
		backwards.Tuple = tuplesIn(z, [2]Tuple{want[Reply], want[Reply].Reverse()})
		backwards.SNAT, backwards.Helper = false, ""
		if _, _, created, err := c.swap(&backwards, 0, "", &Update{}); created != nil || err != nil {
			t.Fatal(created, err)
		}
		if f, err := c.insist(&e, HelperCarrier, &Update{}); err != nil || f.Tuple != want || f.Zone != z {
			t.Errorf("%+v, %v", f, err)
		}
		exchange(t, peer, client)
	})
}
