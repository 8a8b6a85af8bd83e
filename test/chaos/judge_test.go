package chaos

import (
	"net/netip"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
)

// What the judges of a run take for right and for wrong.

func judged(inside bool) (*world, *tape, *ftptest.Session) {
	x := &tape{side: &side{inside: inside}}
	x.original = conntrack.Tuple{Src: netip.MustParseAddrPort("10.0.13.66:40000"),
		Dst: netip.MustParseAddrPort("203.0.113.66:21")}
	return &world{tally: &tally{counts: map[string]int{}}}, x,
		&ftptest.Session{Remote: netip.MustParseAddrPort("203.0.113.1:40000")}
}

func TestWrongCommandsAreNoticed(t *testing.T) {
	const port, eprt = "PORT 10,0,13,66,129,225\r\n", "EPRT |1|10.0.13.66|33249|\r\n"
	for _, c := range []struct {
		was, is string
		inside  bool
		want    bool
	}{
		{port, "PORT 203,0,113,1,129,225\r\n", true, true},
		{eprt, "EPRT |1|203.0.113.1|33249|\r\n", true, true},
		{port, "PORT xxxxxxxxxxxxxxxxxx\r\n", true, true},
		{port, "x" + port, true, true},
		{port, "PORT xx,0,13,66,129,225\r\n", true, true},
		{port, "PORT xx,0,13,66,129,226\r\n", true, false},
		{port, "POxxRT 10,0,13,66,129,225\r\n", true, true},
		{port, "PORT 10,0,13,66,129,225\rx\r\n", true, true},
		{port, "PORT 10,0,13,66,129,225\rxx\n", true, false},
		{port, "PPORT 10,0,13,66,129,225\r\n", true, true},
		{port, "PxPORT 10,0,13,66,129,225\r\n", true, true},
		{port, "PORPORT 10,0,13,66,129,225\r\n", true, true},
		{port, "PORQPORT 10,0,13,66,129,225\r\n", true, false},
		{port, "POyyRT 10,0,13,66,129,225\r\n", true, false},
		{port, "PORT \n", true, true},
		{port, "PORT 203,0,113,1,129,225\r\n", false, false},
		{port, "PORT 203,0,113,2,129,225\r\n", true, false},
		{"PORT 203,0,113,1,129,225\r\n", "PORT 203,0,113,1,150,59\r\n", false, true},
		{"PORT 203,0,113,1,129,225\r\n", "PORT 203,0,113,2,150,159\r\n", false, false},
		{port, "PORT 10,0,13,66,129,226\r\n", true, false},
		{port, "PORT 10,0,13,66,129,225\r\n225\r\n", true, false},
		{port, "EPRT |1|203.0.113.1|33249|\r\n", true, false},
		{port, "ORT 203,0,113,1,129,225\r\n", true, false},
		{port, "PORT xxxx,x,xx,xx,xxx,xxx\r\n", true, true},
		{port, "PORT xx,x,xx,xx,xxx,xxx\r\n", true, true},
		{"NOOP\r\n", "OOP\r\n", true, false},
		{"NOOP\r\n", "NOOO\r\n", true, false},
		{"RETR small\r\n", "RETR xxxxx\r\n", true, false},
	} {
		w, x, s := judged(c.inside)
		if got := w.commandMayBe(x, c.was, c.is, s); got != c.want {
			t.Errorf("%q as %q: %v", c.was, c.is, got)
		}
	}
}

func TestWrongRepliesAreNoticed(t *testing.T) {
	const r227 = "227 Entering Passive Mode (10,0,13,66,150,59).\r\n"
	const r229 = "229 Entering Extended Passive Mode (|||42235|)\r\n"
	for _, c := range []struct {
		was, is string
		want    bool
	}{
		{r227, "227 Entering Passive Mode (203,0,113,66,150,59).\r\n", true},
		{r229, "229 Entering Extended Passive Mode (|||50001|)\r\n", true},
		{r229, "425 Data connection refused by the gateway.     \r\n", true},
		{r229, "229 Entering Extended Passive Mode (|||xxxxx|)\r\n", true},
		{r229, "229 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", true},
		{r229, "229 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", false},
		{r229, "22xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", false},
		{r227, "227 Entering Passive Mode (203,0,113,67,150,59).\r\n", false},
		{r227, "227 Entering Passive Mode (10,0,13,66,150,5).\r\n", false},
		{r229, "229 Entering Extended Passive Mode (|||4223)\r\n", true},
		{r229, "229 Entering Extended Passive Mode (|||4235|)\r\n", false},
		{r227, "227 Entering Passive Mode (x10,0,13,66,150,59).\r\n", false},
		{r227, "227 Entering Passive Mode (xxx,x,xx,xx,xxx,xx).\r\n", true},
		{r227, "227 Entering Passive Mode (xx,x,xx,xx,xxx,xx).\r\n", true},
		{r227, "227 Entering Passive Mode (10,0,13,66,150,xx).\r\n", true},
		{r227, "227 Entering Passive Mode (x,x,xx,xx,xxx,xx).\r\n", true},
		{r229, "29 Entering Extended Passive Mode (|||42235|)\r\nx", false},
		{"200 NOOP ok.\r\n", "425 Data connection refused by the gateway. \r\n", false},
		{"226 Transfer complete.\r\n", "226 Transfer xomplete.\r\n", false},
	} {
		_, x, _ := judged(true)
		if got := x.replyMayBe(c.was, c.is); got != c.want {
			t.Errorf("%q as %q: %v", c.was, c.is, got)
		}
	}
}

func TestWhatNobodyAskedForIsNoticed(t *testing.T) {
	_, x, s := judged(true)
	x.sent.add([]byte("PORT 10,0,13,66,129,225\r\nPORT 10,0,13,67,129,225\r\nPORT 10,0,13,66,0,22\r\n"))
	s.Local, s.Replies = x.original.Dst, []string{"227 Entering Passive Mode (203,0,113,66,150,59).\r\n"}
	b := newBook()
	b.asks, b.told = map[conntrack.Key]map[netip.AddrPort]int{}, map[netip.AddrPort]bool{}
	b.note(x, s)
	other := conntrack.Tuple{Src: netip.MustParseAddrPort("10.0.13.67:40000"), Dst: x.original.Dst}
	for _, c := range []struct {
		master conntrack.Tuple
		target string
		want   bool
	}{
		{x.original, "10.0.13.66:33249", true},
		{x.original, "203.0.113.66:38459", true},
		{x.original, "10.0.13.66:33250", false},
		{x.original, "10.0.13.67:33249", false},
		{x.original, "10.0.13.66:22", false},
		{other, "10.0.13.66:33249", false},
		{other, "203.0.113.66:38459", false},
		{conntrack.Tuple{}, "10.0.13.66:33249", false},
	} {
		o := &opening{master: c.master, from: c.master.Src.Addr(), target: netip.MustParseAddrPort(c.target)}
		if _, got := b.asked(o); got != c.want {
			t.Errorf("%s of %v: %v", c.target, c.master, got)
		}
	}
}
