package ftptest_test

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
)

var (
	loopback4 = netip.MustParseAddr("127.0.0.1")
	loopback6 = netip.IPv6Loopback()
	big       = ftptest.Random(3<<20, 7)
)

// serve starts a server and returns where.
func serve(t *testing.T, s *ftptest.Server, at netip.Addr) netip.AddrPort {
	t.Helper()
	l, err := s.Listen(netip.AddrPortFrom(at, 0))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	s.Put("big", big)
	return netip.MustParseAddrPort(l.Addr().String())
}

func login(t *testing.T, server netip.AddrPort) *ftptest.Client {
	t.Helper()
	c, err := ftptest.Dial(t.Context(), nil, server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Login("u", "p"); err != nil {
		t.Fatal(err)
	}
	return c
}

func want(t *testing.T, c *ftptest.Client, line string, code int) {
	t.Helper()
	if r, err := c.Cmd(line); err != nil || r.Code != code {
		t.Errorf("%s: %v, %v; want %d", line, r, err, code)
	}
}

// modes are all ways to agree on a data connection.
var modes = []struct {
	mode ftptest.Mode
	at   netip.Addr
}{
	{ftptest.PORT, loopback4},
	{ftptest.EPRT, loopback4},
	{ftptest.PASV, loopback4},
	{ftptest.EPSV, loopback4},
	{ftptest.EPRT, loopback6},
	{ftptest.EPSV, loopback6},
}

func TestTransfers(t *testing.T) {
	for _, m := range modes {
		t.Run(string(m.mode)+" "+m.at.String(), func(t *testing.T) {
			s := &ftptest.Server{CheckAddress: true}
			c := login(t, serve(t, s, m.at))
			got, err := c.Get(m.mode, "big")
			if err != nil || !bytes.Equal(got.Data, big) || got.Bytes != int64(len(big)) {
				t.Fatalf("RETR: %d bytes, %v", got.Bytes, err)
			}
			rest, err := c.GetFrom(m.mode, "big", 1<<20)
			if err != nil || !bytes.Equal(rest.Data, big[1<<20:]) {
				t.Fatalf("REST and RETR: %d bytes, %v", rest.Bytes, err)
			}
			up, err := c.Put(m.mode, "up", big)
			if err != nil || up.SHA256 != got.SHA256 {
				t.Fatalf("STOR: %+v, %v", up.Done, err)
			}
			if stored, _ := s.File("up"); !bytes.Equal(stored, big) {
				t.Error("the file as stored differs")
			}
			list, err := c.List(m.mode)
			if err != nil || !strings.Contains(string(list.Data), "3145728 Jan 01 00:00 up\r\n") {
				t.Fatalf("LIST: %q, %v", list.Data, err)
			}
			checkRecord(t, s.Sessions()[0], c, got)
		})
	}
}

// checkRecord compares what both ends saw of the first of four transfers.
func checkRecord(t *testing.T, seen ftptest.Session, c *ftptest.Client, got ftptest.Transfer) {
	t.Helper()
	if seen.User != "u" || seen.Remote != c.Local() || len(seen.Data) != 4 {
		t.Errorf("session: %+v", seen)
	}
	first := seen.Data[0]
	if first.Mode != got.Mode || first.Command != "RETR big" || first.Bytes != got.Bytes ||
		first.Local != got.Remote || first.Remote != got.Local {
		t.Errorf("data connection: %+v, the client saw %+v", first, got)
	}
	if !slices.Contains(seen.Commands, got.Sent+"\r\n") {
		t.Errorf("%q is not among %q", got.Sent, seen.Commands)
	}
	var replies []string
	for _, r := range c.Replies() {
		replies = append(replies, r.Raw)
	}
	if !slices.Equal(replies, seen.Replies) {
		t.Errorf("replies received %q, sent %q", replies, seen.Replies)
	}
	if seen.Last("USER") != "USER u" || seen.LastReply("230") != "230 Login successful." {
		t.Errorf("last USER %q, last 230 %q", seen.Last("USER"), seen.LastReply("230"))
	}
}

func TestWires(t *testing.T) {
	for name, w := range map[string]ftptest.Wire{
		"whole":        {},
		"split":        {Split: []int{3, 20, 400}},
		"paused":       {Split: []int{5}, Pause: 2 * time.Millisecond},
		"bytes":        {Chunk: 1, Pause: 50 * time.Microsecond},
		"Nagle":        {Chunk: 4, Nagle: true},
		"LF":           {LF: true},
		"LF and bytes": {LF: true, Chunk: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &ftptest.Server{Wire: w}
			c := login(t, serve(t, s, loopback4))
			c.Wire = w
			for _, mode := range []ftptest.Mode{ftptest.PORT, ftptest.PASV} {
				if got, err := c.Get(mode, "big"); err != nil || !bytes.Equal(got.Data, big) {
					t.Errorf("%s: %d bytes, %v", mode, got.Bytes, err)
				}
			}
			if end := c.Replies()[0].Raw; strings.HasSuffix(end, "\r\n") == w.LF {
				t.Errorf("the greeting is %q", end)
			}
		})
	}
}

func TestAdvertise(t *testing.T) {
	for text, s := range map[string]*ftptest.Server{
		"227 Entering Passive Mode (127,0,0,1,": {},
		"227 Entering Passive Mode (0,0,0,0,":   {Advertise: netip.IPv4Unspecified()},
		"227 Entering Passive Mode (203,0,113,": {Advertise: netip.MustParseAddr("203.0.113.1")},
		"227 Help yourself": {Format227: func(netip.AddrPort) string {
			return "227 Help yourself"
		}},
		"227-One\r\n227 two": {Format227: func(netip.AddrPort) string {
			return "227-One\n227 two"
		}},
	} {
		c := login(t, serve(t, s, loopback4))
		if r, err := c.Cmd("PASV"); err != nil || !strings.HasPrefix(r.Raw, text) {
			t.Errorf("PASV: %q, %v; want %q", r.Raw, err, text)
		}
	}
}

func TestReplies(t *testing.T) {
	c := login(t, serve(t, &ftptest.Server{CheckAddress: true}, loopback4))
	for _, x := range []struct {
		line string
		code int
	}{
		{"noop", 200}, {"SYST", 215}, {"FEAT", 211}, {"TYPE I", 200}, {"PWD", 257}, {"AUTH TLS", 502},
		{"SIZE big", 213}, {"SIZE none", 550}, {"REST x", 501}, {"REST 10", 350}, {"NONE", 500},
		{"RETR big", 425}, {"PORT 127,0,0,1,4", 501}, {"PORT 127,0,0,1,4,256", 501},
		{"PORT 10,0,13,222,39,136", 500}, {"EPRT |2|::1|4000|", 522}, {"EPRT |1|127.0.0.1|65536|", 501},
		{"EPRT |1|::1|4000|", 501}, {"EPSV 2", 522}, {"EPSV 1", 229}, {"RETR none", 550},
		{"EPSV ALL", 200}, {"PASV", 501}, {"PORT 127,0,0,1,4,4", 501}, {"EPSV", 229},
		{"\xff\xf4\xff\xf2ABOR", 226}, {"QUIT", 221},
	} {
		want(t, c, x.line, x.code)
	}
}

func TestLogin(t *testing.T) {
	at := serve(t, &ftptest.Server{User: "u", Password: "p"}, loopback6)
	c := login(t, at)
	want(t, c, "PASV", 425)
	if err := c.Login("u", "wrong"); err == nil {
		t.Error("a wrong password is accepted")
	}
	want(t, c, "EPSV", 530)
	if _, err := c.Open(ftptest.PORT); err == nil {
		t.Error("PORT over IPv6 succeeds")
	}
}

func TestActivePorts(t *testing.T) {
	for _, anyPort := range []bool{false, true} {
		s := &ftptest.Server{AnyActivePort: anyPort}
		c := login(t, serve(t, s, loopback4))
		for range 3 {
			got, err := c.Get(ftptest.PORT, "big")
			if err != nil {
				t.Fatal(err)
			}
			if from20 := got.Remote.Port() == 20; from20 && anyPort {
				t.Errorf("any port: data comes from %s", got.Remote)
			}
		}
	}
}

func TestActiveFailureIsReported(t *testing.T) {
	c := login(t, serve(t, &ftptest.Server{}, loopback4))
	c.ActiveAddr = netip.MustParseAddr("127.0.0.9") // nobody listens there
	begin := time.Now()
	_, err := c.Get(ftptest.EPRT, "big")
	var negative *ftptest.ReplyError
	if !errors.As(err, &negative) || negative.Reply.Code != 425 || time.Since(begin) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
	want(t, c, "NOOP", 200)
}

func TestTimeouts(t *testing.T) {
	s := &ftptest.Server{Timeout: 50 * time.Millisecond}
	c := login(t, serve(t, s, loopback4))
	want(t, c, "PASV", 227)
	want(t, c, "LIST", 150)
	if r, err := c.ReadReply(); err != nil || r.Code != 425 {
		t.Errorf("nobody connects: %v, %v", r, err)
	}
	c.Timeout = 50 * time.Millisecond
	if _, err := c.ReadReply(); err == nil {
		t.Error("a reply that nobody sends is read")
	}
}

func TestAbort(t *testing.T) {
	c := login(t, serve(t, &ftptest.Server{}, loopback4))
	want(t, c, "PASV", 227)
	want(t, c, "RETR big", 150)
	want(t, c, "ABOR", 425)
	if r, err := c.ReadReply(); err != nil || r.Code != 226 {
		t.Errorf("ABOR: %v, %v", r, err)
	}
}

func TestPipelined(t *testing.T) {
	c := login(t, serve(t, &ftptest.Server{}, loopback4))
	if err := c.Write([]byte("NOOP\r\nPASV\r\nNOOP\r\n")); err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{200, 227, 200} {
		if r, err := c.ReadReply(); err != nil || r.Code != code {
			t.Errorf("%v, %v; want %d", r, err, code)
		}
	}
}

func TestCloseEndsSessions(t *testing.T) {
	s := &ftptest.Server{}
	at := serve(t, s, loopback4)
	c := login(t, at)
	want(t, c, "PASV", 227)
	want(t, c, "RETR big", 150)
	s.Close()
	for {
		if _, err := c.ReadReply(); err != nil {
			break
		}
	}
	if _, err := ftptest.Dial(t.Context(), nil, at); err == nil {
		t.Error("a closed server is reached")
	}
}
