package pair

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// switches is how often the gateways change places under one session.
const switches = 10

// side is which of the two hosts is the client, and so what is translated.
type side struct {
	name   string
	ipv6   bool
	client func(*Pair) *lab.Host
	server func(*Pair) *lab.Host
	dial   string
}

func inside(p *Pair) *lab.Host  { return p.Inside }
func outside(p *Pair) *lab.Host { return p.Outside }

var sides = []side{
	{"SNAT IPv4", false, inside, outside, "203.0.113.66:21"},
	{"DNAT IPv4", false, outside, inside, "203.0.113.1:21"},
	{"SNAT IPv6", true, inside, outside, "[2001:db8:113::66]:21"},
	{"DNAT IPv6", true, outside, inside, "[2001:db8:113::1]:21"},
}

func (s *side) modes() []ftptest.Mode {
	if s.ipv6 {
		return []ftptest.Mode{ftptest.EPRT, ftptest.EPSV}
	}
	return []ftptest.Mode{ftptest.PORT, ftptest.PASV, ftptest.EPRT, ftptest.EPSV}
}

// edited is the first mode in which a line is edited that a client or a server of this side says.
func (s *side) edited(p *Pair) ftptest.Mode {
	if s.client(p) == p.Outside {
		return s.modes()[1]
	}
	return s.modes()[0]
}

// session is a client that is logged in.
type session struct {
	*ftptest.Client
	p        *Pair
	host     *lab.Host
	server   *ftptest.Server
	original conntrack.Tuple
	agreed   int // data connections
}

// login starts a server and a client.
func (p *Pair) login(s *side) *session {
	p.t.Helper()
	server := &ftptest.Server{Network: s.server(p), Timeout: patience}
	server.Put("small", ftptest.Random(1000, 2))
	server.Put("big", ftptest.Random(8<<20, 1))
	must(p.t, server.Start(s.server(p).AddrPort(s.ipv6, 21)))
	p.t.Cleanup(func() { server.Close() })
	return p.enter(s, server)
}

// enter is one more client of a server.
func (p *Pair) enter(s *side, server *ftptest.Server) *session {
	p.t.Helper()
	x := &session{p: p, host: s.client(p), server: server}
	c, err := ftptest.Dial(context.Background(), x.host, netip.MustParseAddrPort(s.dial))
	must(p.t, err)
	p.t.Cleanup(func() { c.Close() })
	c.Timeout = patience
	x.Client, x.original = c, conntrack.Tuple{Src: c.Local(), Dst: c.Remote()}
	must(p.t, c.Login("u", "p"))
	return x
}

// door is a data connection that was agreed on, and of which nothing was done yet.
type door struct {
	data *ftptest.Data
	at   netip.AddrPort
}

func (x *session) agree(m ftptest.Mode) (d door) {
	x.p.t.Helper()
	x.agreed++
	var err error
	if m.Active() {
		d.data, err = x.Open(m)
		must(x.p.t, err)
		return d
	}
	r, err := x.Cmd(string(m))
	must(x.p.t, err)
	if m == ftptest.PASV {
		d.at, err = ftptest.ParsePort(r.Raw)
	} else {
		var port uint16
		port, err = ftptest.Parse229(r.Raw)
		d.at = netip.AddrPortFrom(x.Remote().Addr(), port)
	}
	must(x.p.t, err)
	return d
}

// begin asks for a file through the door.
func (x *session) begin(d door, file string) (conn net.Conn) {
	x.p.t.Helper()
	var err error
	if d.data == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		conn, err = x.host.Dial(ctx, netip.AddrPort{}, d.at)
		must(x.p.t, err)
	}
	r, err := x.Cmd("RETR " + file)
	must(x.p.t, err)
	if !r.OK() {
		x.p.t.Fatalf("RETR: %s", r.Raw)
	}
	if d.data != nil {
		conn, err = d.data.Conn()
		must(x.p.t, err)
	}
	return conn
}

// finish reads the rest of a file of which some is there.
func (x *session) finish(conn net.Conn, file string, got []byte) {
	x.p.t.Helper()
	rest, err := io.ReadAll(conn)
	must(x.p.t, err)
	must(x.p.t, conn.Close())
	if want, _ := x.server.File(file); string(want) != string(append(got, rest...)) {
		x.p.t.Errorf("%d bytes came, other than the %d sent", len(got)+len(rest), len(want))
	}
	r, err := x.ReadReply()
	must(x.p.t, err)
	if r.Code != 226 {
		x.p.t.Errorf("the transfer ends with %s", r.Raw)
	}
}

func (x *session) noop() {
	x.p.t.Helper()
	if r, err := x.Cmd("NOOP"); err != nil || !r.OK() {
		x.p.t.Fatalf("NOOP: %v, %v", r, err)
	}
}

func TestIdleSessionAndOpenDoorSurviveFailoverAndFailback(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			p := newPair(t)
			p.Activate(0)
			x := p.login(&s)
			for i := range switches {
				d := x.agree(s.modes()[i%len(s.modes())])
				p.alike(x.original)
				p.opened(x.original)
				p.fail()
				x.finish(x.begin(d, "small"), "small", nil)
				x.noop()
				p.alike(x.original)
			}
		})
	}
}

func TestRunningTransferSurvivesFailoverAndFailback(t *testing.T) {
	for _, s := range sides {
		t.Run(s.name, func(t *testing.T) {
			p := newPair(t)
			p.Activate(0)
			x := p.login(&s)
			for i := range switches {
				conn := x.begin(x.agree(s.modes()[i%len(s.modes())]), "big")
				got := make([]byte, 1<<20)
				_, err := io.ReadFull(conn, got)
				must(t, err)
				p.settled(x.original)
				p.carried(conn)
				p.fail()
				x.finish(conn, "big", got)
				x.noop()
			}
		})
	}
}
