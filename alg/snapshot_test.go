package alg

import (
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// only returns the one session that there is.
func (w *watched) only() Session {
	w.t.Helper()
	rows, done := w.g.Snapshot(w.now, nil, 10)
	if len(rows) != 1 || !done {
		w.t.Fatalf("%d sessions, done is %v", len(rows), done)
	}
	return rows[0]
}

func TestSnapshotTellsHowFarASessionHasCome(t *testing.T) {
	for _, c := range []struct {
		segments []string
		want     SessionState
	}{
		{[]string{"c>NOOP\r\n"}, Greeting},
		{[]string{"s>220 x\r\n", "c>USER a\r\n"}, Login},
		{[]string{"s>220 x\r\n", "c>USER a\r\n", "s>230 x\r\n"}, Clear},
		{[]string{"s>220 x\r\n", "c>AUTH TLS\r\n", "s>234 x\r\n"}, TLS},
		{[]string{"s>220 x\r\n", "c>GET / HTTP/1.1\r\n"}, NotFTP},
		{[]string{"s>220 x\r\n", "c>USER a\r\n", "s>230 x\r\n", "c>QUIT\r\n", "s>221 x\r\n"}, Over},
	} {
		d := newTalk(t, snatFlow(), policy.Default())
		d.segments(c.segments...)
		s := (&watched{talk: d}).only()
		if s.State != c.want || s.Client != clientIn || s.Server != serverAddr {
			t.Errorf("after %q it is %+v, want %v", c.segments, s, c.want)
		}
	}
}

func TestSnapshotTellsOfTheTransfer(t *testing.T) {
	w := newWatched(t)
	w.g.Names = Names{Users: true, Files: true}
	w.c("USER joe\x1b\r\n")
	w.s("331 x\r\n")
	w.c("PASS secret\r\n")
	w.s("230 x\r\n")
	x, data := w.open()
	if d := w.only().Data; d == nil || !d.Open || d.Left != x.Timeout {
		t.Fatalf("%+v", d)
	}
	w.c("retr " + strings.Repeat("f", 100) + "\r\n")
	w.s("150 x\r\n")
	w.starts(w.now, data, x.Master)
	w.entries[data] = counted(conntrack.Counter{Bytes: 7}, conntrack.Counter{Bytes: 5})
	w.now = w.now.Add(time.Second)
	s := w.only()
	if d := s.Data; !d.Flowing || d.FromServer.Bytes != 7 || d.FromClient.Bytes != 5 ||
		d.Lasted != time.Second || d.Command != "RETR" || d.Code != 150 ||
		d.File != strings.Repeat("f", maxName) {
		t.Errorf("%+v", d)
	}
	grown := int32(len("203,0,113,77") - len("10,0,13,222"))
	if s.User != "joe\x1b" || s.Command != "RETR" || s.Offset[0] != grown {
		t.Errorf("%+v", s)
	}
	w.s("226 x\r\n")
	w.is(data, conntrack.TCPEstablished)
	w.is(data, conntrack.TCPTimeWait)
	if d := w.only().Data; !d.Ended || d.Outcome != fate.Used || d.Code != 226 {
		t.Errorf("%+v", d)
	}
}

func TestNamesAreKeptOnlyIfWanted(t *testing.T) {
	w := newWatched(t)
	w.open()
	w.c("RETR secret\r\n")
	if s := w.only(); s.User != "" || s.Data.File != "" || s.Data.Command != "RETR" {
		t.Errorf("%+v, %+v", s, s.Data)
	}
}

func TestSnapshotHasEverySessionOnceWhileTheyComeAndGo(t *testing.T) {
	g, _ := newCrowd(policy.Default())
	now := time.Unix(1e9, 0)
	packet := func(i int, flags byte) { // a session comes, or goes
		g.Handle(now, 1, tcpPacket(member(i), 100, 1, rewrite.ACK|flags, []byte("NOOP\r\n")), false)
	}
	const n = 300
	for i := range n {
		packet(i, 0)
	}
	seen := map[string]int{}
	rows, done := g.Snapshot(now, nil, 7)
	for i := 0; !done; i++ {
		packet(i%10, 0)               // it moves to the end
		g.Destroyed(member(100+i), 0) // it goes, before or after it was seen
		packet(n+i, 0)                // it comes
		if rows, done = g.Snapshot(now, rows, 7); i > n {
			t.Fatal("it has no end")
		}
	}
	for _, r := range rows {
		seen[r.Client.String()]++
		if seen[r.Client.String()] > 1 {
			t.Errorf("%v is there %d times", r.Client, seen[r.Client.String()])
		}
	}
	for _, i := range []int{0, 5, 9, 50, 99, 299} {
		if seen[member(i).Src.String()] != 1 {
			t.Errorf("session %d is not there", i)
		}
	}
	if again, _ := g.Snapshot(now, nil, 1000); len(again) < 250 {
		t.Errorf("the next snapshot has %d sessions", len(again))
	}
}

func TestHearingCommandsAllocatesNothing(t *testing.T) {
	s := newSteady(t)
	s.d.g.Names = Names{Users: true, Files: true}
	s.payload = []byte("RETR a\r\n")
	pkt, answer := s.packets()
	s.noop(pkt, answer)
	if n := testing.AllocsPerRun(1000, func() { s.noop(pkt, answer) }); n != 0 {
		t.Errorf("a transfer's command and its reply allocate %v times", n)
	}
}
