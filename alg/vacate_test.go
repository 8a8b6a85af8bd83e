package alg

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// crowded is a connection tracker in which other connections have entries.
type crowded struct {
	*fakeKernel
	live  [][2]conntrack.Tuple // of those that have not ended
	asked []conntrack.Tuple
}

func (k *crowded) Vacate(t conntrack.Tuple) (holder conntrack.Tuple, err error) {
	k.asked = append(k.asked, t)
	for _, c := range k.live {
		if slices.Contains(c[:], t) {
			return c[0], conntrack.ErrBusy
		}
	}
	return conntrack.Tuple{}, nil
}

func TestDoorIsWhereNoOtherConnectionTakesItsSYN(t *testing.T) {
	data := netip.AddrPortFrom(serverAddr.Addr(), 20)
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(gatewayOut.Addr(), port) }
	to := func(host byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 13, host}), 10120)
	}
	led := func(open, target netip.AddrPort) [2]conntrack.Tuple {
		return [2]conntrack.Tuple{{Src: data, Dst: open}, {Src: target, Dst: data}}
	}
	const asked, other = 10120, 0
	for _, c := range []struct {
		name  string
		flow  conntrack.Flow
		alone bool
		live  [][2]conntrack.Tuple
		want  uint16 // the port of the door; other: any but the one asked for
		asks  int
	}{
		{"nobody there", snatFlow(), false, nil, asked, 2},
		{"another client's connection", snatFlow(), false,
			[][2]conntrack.Tuple{led(at(asked), to(9))}, other, 4},
		{"its own, from elsewhere", snatFlow(), false, [][2]conntrack.Tuple{led(at(7), to(222))}, 7, 1},
		{"its own, from another address", snatFlow(), false,
			[][2]conntrack.Tuple{led(netip.MustParseAddrPort("203.0.113.9:7"), to(222))}, asked, 2},
		{"not translated", firewallFlow(), false, [][2]conntrack.Tuple{led(to(222), to(222))}, asked, 1},
		{"no other gateway", snatFlow(), true, nil, asked, 0},
	} {
		d := newTalk(t, c.flow, policy.Default())
		k := &crowded{fakeKernel: d.k, live: c.live}
		d.g = New(k, policy.Default())
		d.g.Told = c.alone
		d.listen()
		d.begin()
		d.c("PORT 10,0,13,222,39,136\r\n")
		if len(d.k.expects) != 1 || len(k.asked) != c.asks {
			t.Errorf("%s: open %v, asked %v", c.name, d.k.expects, k.asked)
			continue
		}
		got := d.k.expects[0].Dst.Port()
		if c.want != other && got != c.want || c.want == other && got == asked {
			t.Errorf("%s: opened %d, want %d", c.name, got, c.want)
		}
	}
}

// Where a door led to another port than it was on, that port may be in use when it is named again.
func TestPortThatWasLedToFromElsewhereIsLookedAtAgain(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default())
	k := &crowded{fakeKernel: d.k}
	d.g = New(k, policy.Default())
	d.g.Told = true
	d.listen()
	d.begin()
	for i, c := range []struct {
		taken bool
		asks  int
	}{{false, 0}, {true, 2}, {false, 4}} {
		d.k.taken = map[uint16]bool{10120: c.taken}
		d.c("PORT 10,0,13,222,39,136\r\n")
		d.s("200 ok\r\n")
		if len(k.asked) != c.asks {
			t.Errorf("after PORT %d: %d questions, want %d", i+1, len(k.asked), c.asks)
		}
	}
}
