package alg

import (
	"net/netip"
	"slices"
	"testing"
	"time"

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

// crowd puts a new gateway in place of the old one, amid other connections that live. It knows itself to be
// alone, or does not.
func (d *talk) crowd(alone bool, live ...[2]conntrack.Tuple) *crowded {
	k := &crowded{fakeKernel: d.k, live: live}
	d.g = New(k, policy.Default())
	d.g.Told = alone
	d.listen()
	return k
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
		k := d.crowd(c.alone, c.live...)
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

// No other port would do where a connection lives that the kernel would take the new one's SYN for.
func TestPortThatALiveConnectionIsLedByIsTriedOnce(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default())
	data := netip.AddrPortFrom(serverAddr.Addr(), 20)
	k := d.crowd(false, [2]conntrack.Tuple{
		{Src: data, Dst: netip.AddrPortFrom(gatewayOut.Addr(), 7)},
		{Src: netip.MustParseAddrPort("10.0.13.222:10120"), Dst: data},
	})
	d.k.taken = map[uint16]bool{7: true}
	d.begin()
	d.c("PORT 10,0,13,222,39,136\r\n")
	if n := d.g.Stats.Refused[policy.PortTaken].Load(); n != 1 || len(k.asked) != 1 {
		t.Errorf("refused %d times, asked %v", n, k.asked)
	}
}

// Where a door led to another port than it was on, that port may be in use when it is named again.
func TestPortThatWasLedToFromElsewhereIsLookedAtForAWhile(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default())
	k := d.crowd(true)
	d.begin()
	const one, other = "PORT 10,0,13,222,39,136\r\n", "PORT 10,0,13,222,39,137\r\n"
	for i, c := range []struct {
		says  string
		taken bool // port of the gateway
		after time.Duration
		asks  int
	}{
		{one, false, 0, 0}, {one, true, 0, 2}, {other, false, 0, 0}, {one, false, time.Minute, 2},
		{one, false, ledFor, 0},
	} {
		d.now = d.now.Add(c.after)
		d.g.Tick(d.now)
		d.k.taken, k.asked = map[uint16]bool{10120: c.taken}, nil
		d.c(c.says)
		d.s("200 ok\r\n")
		if len(k.asked) != c.asks {
			t.Errorf("at PORT %d it asked %d times, want %d", i+1, len(k.asked), c.asks)
		}
	}
	if n := d.g.led.until.Len(); n != 0 {
		t.Errorf("%d places are remembered", n)
	}
}

func TestManyPlacesThatWereLedToFromElsewhereAreNotRememberedOneByOne(t *testing.T) {
	var l ledElsewhere
	e := conntrack.Expectation{Translate: true, Dst: gatewayOut}
	for i := range mostLed + 1 {
		e.Target = netip.AddrPortFrom(clientIn.Addr(), uint16(1+i))
		l.add(&e, 5)
	}
	last := 5 + moment(ledFor)
	if l.until.Len() != mostLed || !l.mayHave(clientIn, last-1) || l.mayHave(clientIn, last) {
		t.Errorf("%d are remembered, and all until %v", l.until.Len(), l.all)
	}
}

// An earlier program may have opened doors of which nothing is known.
func TestSessionOfAnEarlierProgramHasPortsLookedAt(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	k := d.crowd(true)
	d.now = time.Now()
	if d.c("PORT 10,0,13,222,39,136\r\n"); len(k.asked) != 2 {
		t.Errorf("it asked %d times", len(k.asked))
	}
}
