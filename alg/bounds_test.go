package alg

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// crowd is a connection tracker that has an entry for whoever asks.
type crowd struct {
	fakeKernel
}

func (k *crowd) Flow(t conntrack.Tuple) (conntrack.Flow, error) {
	if t.Src.Port() == 21 {
		t = t.Reverse()
	}
	return natFlow(t.Src, t.Dst, t.Dst, t.Src), nil
}

// member n of the crowd has an address of its own.
func member(n int) conntrack.Tuple {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 10<<24|uint32(n))
	return conntrack.Tuple{Src: netip.AddrPortFrom(netip.AddrFrom4(a), 40000), Dst: serverAddr}
}

func newCrowd(p policy.Policy) (*Gateway, *crowd) {
	k := &crowd{}
	k.taken = map[uint16]bool{}
	return New(k, p), k
}

func TestFloodOfConnectionsKeepsTheTableWithinItsLimit(t *testing.T) {
	const limit, n = 64, 100000
	for _, c := range []struct {
		name    string
		left    int
		packets func(m conntrack.Tuple) [][]byte
	}{
		{"half open", 0, func(m conntrack.Tuple) [][]byte {
			return [][]byte{tcpPacket(m.Reverse(), 1, 1, rewrite.SYN|rewrite.ACK, nil)}
		}},
		{"endless line", limit, func(m conntrack.Tuple) [][]byte {
			line := []byte(strings.Repeat("PORT 1 ", 10))
			return [][]byte{tcpPacket(m, 1, 1, rewrite.ACK, line), tcpPacket(m, 71, 1, rewrite.ACK, line)}
		}},
		{"out of order", limit, func(m conntrack.Tuple) [][]byte {
			return [][]byte{tcpPacket(m, 1, 1, rewrite.ACK, []byte("a")),
				tcpPacket(m, 100, 1, rewrite.ACK, []byte("b"))}
		}},
	} {
		p := policy.Default()
		p.Limits.Total.Sessions = limit
		g, _ := newCrowd(p)
		now := time.Unix(1e9, 0)
		for i := range n {
			for _, pkt := range c.packets(member(i)) {
				g.Handle(now, uint32(i), pkt, false)
			}
			for _, ok := g.Next(); ok; _, ok = g.Next() {
			}
			if g.table.n > limit || len(g.table.byTuple) > 2*limit || g.clients.byNet.Len() > limit ||
				g.room.Packets() > maxWaiting || g.room.Bytes() > 1<<20 || len(g.released.dropped) > 0 ||
				len(g.released.ready) > limit {
				t.Fatalf("%s: after %d connections %d sessions, %d tuples, %d clients, %d packets wait, %d "+
					"ready",
					c.name, i+1, g.table.n, len(g.table.byTuple), g.clients.byNet.Len(), g.room.Packets(),
					len(g.released.ready))
			}
		}
		if g.table.n != c.left || g.Stats.Sessions.Load() != int64(c.left) {
			t.Errorf("%s: %d sessions are left, want %d", c.name, g.table.n, c.left)
		}
	}
}

func TestLongestIdleSessionGoesFirst(t *testing.T) {
	p := policy.Default()
	p.Limits.Total.Sessions = 3
	g, _ := newCrowd(p)
	now := time.Unix(1e9, 0)
	for _, i := range []int{1, 2, 3, 1, 4} { // 1 speaks again before 4 comes
		g.Handle(now, 1, tcpPacket(member(i), 1, 1, rewrite.ACK, []byte("NOOP\r\n")), false)
		now = now.Add(time.Second)
	}
	for i, want := range map[int]bool{1: true, 2: false, 3: true, 4: true} {
		if got := g.table.find(member(i)) != nil; got != want {
			t.Errorf("session %d is known: %v, want %v", i, got, want)
		}
	}
}

func TestEndlessLinesKeepASessionSmall(t *testing.T) {
	const most = 64 << 10
	for _, c := range []struct {
		name string
		flow conntrack.Flow
		dir  conntrack.Dir
		ask  string
		fill string
	}{
		{"command", snatFlow(), toServer, "STOR ", "aaaaaaaaaa"},
		{"PORT behind NAT", snatFlow(), toServer, "PORT ", "1111111111"},
		{"PORT of blanks behind NAT", snatFlow(), toServer, "PORT ", "          "},
		{"PORT of returns behind NAT", snatFlow(), toServer, "PORT 1", "\r\r\r\r\r\r\r\r\r\r"},
		{"PORT", firewallFlow(), toServer, "PORT ", "          "},
		{"EPRT behind NAT", snatFlow(), toServer, "EPRT |", "||||||||||"},
		{"nothing", snatFlow(), toServer, "", "\xff\xf4\xff\xf4\xff\xf4\x00\x00\r "},
		{"227 of digits", dnatFlow(), toClient, "227 ", "1111111111"},
		{"227 of words", dnatFlow(), toClient, "227 ", "a 1,1,1,1 "},
		{"227 with a tail", dnatFlow(), toClient, "227 (10,0,1,66,39,136) ", "aaaaaaaaaa"},
	} {
		d := newTalk(t, c.flow, policy.Default()).login()
		if c.dir == toClient {
			d.c("PASV\r\n")
		}
		d.send(c.dir, c.ask)
		for i := range 2000 {
			d.send(c.dir, strings.Repeat(c.fill, 50))
			d.packet(c.dir.Opposite(), d.seq[c.dir.Opposite()], 0, nil) // the receiver acknowledges
			if n := d.g.room.Bytes(); n > most {
				t.Errorf("%s: after %d bytes the session keeps %d", c.name, (i+1)*500, n)
				break
			}
		}
		d.wantOpen()
		d.send(c.dir, "\r\n")
		d.wantArrived("what follows", d.send(c.dir, "200 ok\r\n"), "200 ok\r\n")
	}
}

// asker has members of a crowd ask for ports, each in a session of its own.
type asker struct {
	g   *Gateway
	now time.Time
	seq [2]uint32
	got policy.Reason // why the last was refused
}

func (a *asker) say(m conntrack.Tuple, dir conntrack.Dir, text string) {
	from := m
	if dir == toClient {
		from = m.Reverse()
	}
	pkt := tcpPacket(from, 1+a.seq[dir], 1+a.seq[dir.Opposite()], rewrite.ACK, []byte(text))
	a.g.Handle(a.now, 1, pkt, false)
	a.seq[dir] += uint32(len(text))
}

// ask returns why a port is refused to a member, which connects from port from.
func (a *asker) ask(n int, from uint16) policy.Reason {
	m := member(n)
	m.Src = netip.AddrPortFrom(m.Src.Addr(), from)
	a.seq, a.got = [2]uint32{}, policy.None
	a.g.Handle(a.now, 1, tcpPacket(m.Reverse(), 0, 1, rewrite.SYN|rewrite.ACK, nil), false)
	a.say(m, toClient, "220 hi\r\n")
	a.say(m, toServer, "USER a\r\n")
	a.say(m, toClient, "230 in\r\n")
	a.say(m, toServer, fmt.Sprintf("EPRT |1|%v|%d|\r\n", m.Src.Addr(), from))
	return a.got
}

// Each limit refuses with its own reason, and only who is over it.
func TestLimitsRefuseWithTheirReason(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits policy.Limits
		want   []policy.Reason // of ports asked for in turn by three sessions of one client
		other  policy.Reason   // of a port that another client asks for then
	}{
		{"none", policy.Limits{}, []policy.Reason{policy.None, policy.None, policy.None}, policy.None},
		{"sessions", policy.Limits{PerClient: policy.Limit{Sessions: 2}},
			[]policy.Reason{policy.None, policy.None, policy.SessionLimit}, policy.None},
		{"open ports", policy.Limits{PerClient: policy.Limit{Open: 1}},
			[]policy.Reason{policy.None, policy.PinholeLimit, policy.PinholeLimit}, policy.None},
		{"ports a minute", policy.Limits{PerClient: policy.Limit{NewPerMinute: 2}},
			[]policy.Reason{policy.None, policy.None, policy.RateLimit}, policy.None},
		{"open ports in all", policy.Limits{Total: policy.Limit{Open: 2}},
			[]policy.Reason{policy.None, policy.None, policy.PinholeLimit}, policy.PinholeLimit},
		{"ports a minute in all",
			policy.Limits{Total: policy.Limit{NewPerMinute: 3}, PerClient: policy.Limit{NewPerMinute: 100}},
			[]policy.Reason{policy.None, policy.None, policy.None}, policy.RateLimit},
	} {
		p := policy.Default()
		p.Limits = c.limits
		g, k := newCrowd(p)
		a := &asker{g: g, now: time.Unix(1e9, 0)}
		g.OnRefused = func(r Refusal) { a.got = r.Reason }
		opened := 0
		for i, want := range c.want {
			if want == policy.None {
				opened++
			}
			if got := a.ask(1, uint16(5000+i)); got != want {
				t.Errorf("%s: port %d is refused because of %v, want %v", c.name, i, got, want)
			}
		}
		if len(k.expects) != opened {
			t.Errorf("%s: open are %d, want %d", c.name, len(k.expects), opened)
		}
		if got := a.ask(2, 40000); got != c.other {
			t.Errorf("%s: another client is refused because of %v, want %v", c.name, got, c.other)
		}
		if c.limits.PerClient.NewPerMinute > 0 {
			a.now = a.now.Add(time.Minute)
			if got := a.ask(1, 41000); got != policy.None {
				t.Errorf("%s: a minute later it is still %v", c.name, got)
			}
		}
	}
}

func TestClientIsItsNetwork(t *testing.T) {
	for _, c := range []struct {
		limits policy.Limits
		a, b   string
		same   bool
	}{
		{policy.Limits{}, "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		{policy.Limits{}, "2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{policy.Limits{}, "10.0.0.1", "10.0.0.2", false},
		{policy.Limits{IPv4Bits: 24}, "10.0.0.1", "10.0.0.2", true},
		{policy.Limits{IPv4Bits: 24}, "10.0.0.1", "10.0.1.1", false},
		{policy.Limits{IPv6Bits: 48}, "2001:db8:1:2::1", "2001:db8:1:3::1", true},
		{policy.Limits{IPv6Bits: 128}, "2001:db8:1:2::1", "2001:db8:1:2::2", false},
	} {
		a, b := c.limits.Network(netip.MustParseAddr(c.a)), c.limits.Network(netip.MustParseAddr(c.b))
		if (a == b) != c.same {
			t.Errorf("%+v: %s is of %v, %s of %v", c.limits, c.a, a, c.b, b)
		}
	}
}

// What was passed on of a line that came in pieces cannot name another port any more: if the one
// it names is taken then nothing may open in its place.
func TestLineInPiecesOpensThePortItNamesOrNone(t *testing.T) {
	for _, c := range []struct {
		flow      conntrack.Flow
		dir       conntrack.Dir
		ask, line string
	}{
		{dnatFlow(), toClient, "EPSV\r\n", "229 x (|||10120|)\r\n"},
		{snatFlow(), toClient, "PASV\r\n", "227 x (10,0,1,66,39,136)\r\n"},
		{dnatFlow(), toServer, "", "PORT 10,0,13,222,39,136\r\n"},
		{dnatFlow(), toServer, "", "EPRT |1|10.0.13.222|10120|\r\n"},
	} {
		for cut := 1; cut < len(c.line); cut++ {
			d := newTalk(t, c.flow, policy.Default()).login()
			d.k.taken[10120] = true
			d.c(c.ask)
			got := d.send(c.dir, c.line[:cut]) + d.send(c.dir, c.line[cut:])
			for _, e := range d.k.expects {
				port := e.Dst.Port()
				if !strings.Contains(got, fmt.Sprint(port)) &&
					!strings.Contains(got, fmt.Sprintf("%d,%d", port>>8, port&255)) {
					t.Errorf("%q cut at %d arrived as %q, but port %d is open", c.line, cut, got, port)
				}
			}
		}
	}
}
