package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// longOutside is what clients are translated to here: an address longer than theirs, so
// that every PORT grows; with zeros in front of its numbers a PORT shrinks.
const longOutside = "203.0.113.101"

// natted is a network in which both PORT and 227 change their length.
func natted(t testing.TB) *lab.Routed {
	t.Helper()
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	must(t, r.Gateway.AddAddr("outside", longOutside+"/24"))
	r.Rules.Masquerade = nil
	r.Rules.SNAT = []lab.SNAT{{Out: "outside", To: netip.MustParseAddr(longOutside)}}
	must(t, r.SetRules())
	return r
}

// Each case leaves the session with all replies read.
var wireCases = []struct {
	name string
	do   func(w *wire)
	// want are the lines that the server must have received, if not killed;
	// OUT stands for the outside address.
	want []string
}{
	{"slow halves", func(w *wire) {
		w.write("PORT 10,0,13,")
		w.middle()
		time.Sleep(700 * time.Millisecond)
		w.write("222,120,10\r\n")
		w.replies(1)
	}, []string{"PORT OUT,*\r\n"}},
	{"byte by byte", func(w *wire) {
		for i, b := range []byte("PORT 10,0,13,222,120,10\r\n") {
			if i == 12 {
				w.middle()
			}
			must(w, w.c.WriteAs(ftptest.Wire{}, []byte{b}))
			time.Sleep(2 * time.Millisecond)
		}
		w.replies(1)
	}, []string{"PORT OUT,*\r\n"}},
	{"byte by byte with Nagle's algorithm", func(w *wire) {
		nagle := ftptest.Wire{Chunk: 1, Nagle: true}
		must(w, w.c.WriteAs(nagle, []byte("PORT 10,0,1")))
		w.middle()
		must(w, w.c.WriteAs(nagle, []byte("3,222,120,10\r\n")))
		w.replies(1)
	}, []string{"PORT OUT,*\r\n"}},
	{"a shrinking line byte by byte with Nagle's algorithm", func(w *wire) {
		nagle := ftptest.Wire{Chunk: 1, Nagle: true}
		must(w, w.c.WriteAs(nagle, []byte("EPRT |1|010.000.013.222")))
		w.middle()
		must(w, w.c.WriteAs(nagle, []byte("|30730|\r\n")))
		w.replies(1)
	}, []string{"EPRT |1|OUT.|*|\r\n"}},
	{"pipelined before and after", func(w *wire) {
		w.write("NOOP\r\nTYPE I\r\nPORT 10,0,13,222,120,10\r\nNOOP\r\nSYST\r\n")
		w.middle()
		w.replies(5)
	}, []string{"NOOP\r\n", "TYPE I\r\n", "PORT OUT,120,10\r\n", "NOOP\r\n", "SYST\r\n"}},
	{"two in flight", func(w *wire) {
		w.write("PORT 10,0,13,222,120,10\r\n")
		w.middle()
		w.write("PORT 10,0,13,222,120,11\r\n")
		w.replies(2)
	}, []string{"PORT OUT,120,10\r\n", "PORT OUT,120,11\r\n"}},
	{"ten in flight, growing and shrinking", func(w *wire) {
		for i := range 10 {
			form := "PORT 10,0,13,222,120,%d\r\n"
			if i%2 == 0 {
				form = "PORT 010,000,013,222,120,%d\r\n"
			}
			if i == 5 {
				w.middle()
			}
			w.write(fmt.Sprintf(form, i))
		}
		w.replies(10)
	}, []string{"PORT OUT,120,0\r\n", "PORT OUT,120,1\r\n", "PORT OUT,120,2\r\n", "PORT OUT,120,3\r\n",
		"PORT OUT,120,4\r\n",
		"PORT OUT,120,5\r\n", "PORT OUT,120,6\r\n", "PORT OUT,120,7\r\n", "PORT OUT,120,8\r\n",
		"PORT OUT,120,9\r\n"}},
	{"the rewritten segment is lost with more in flight", func(w *wire) {
		l := lose(w, w.r.Server, targetPort)
		w.write("PORT 10,0,13,222,120,10\r\n")
		l.await(0)
		w.write("PORT 010,0,13,222,120,11\r\n")
		l.await(1)
		w.write("NOOP\r\n")
		w.middle()
		l.found()
		w.replies(3)
	}, []string{"PORT OUT,120,10\r\n", "PORT OUT,120,11\r\n", "NOOP\r\n"}},
	{"its acknowledgement is lost", func(w *wire) {
		l := lose(w, w.r.Client, sourcePort)
		w.write("PORT 10,0,13,222,120,10\r\n")
		l.await(0)
		w.write("NOOP\r\n")
		w.awaitRepetition() // perhaps of both together
		w.middle()
		l.found()
		w.replies(2)
	}, []string{"PORT OUT,120,10\r\n", "NOOP\r\n"}},
	{"a shrunk line whose acknowledgement is lost", func(w *wire) {
		l := lose(w, w.r.Client, sourcePort)
		w.write("PORT 010,000,013,222,120,010\r\n")
		w.awaitRepetition()
		w.middle()
		l.found()
		w.replies(1)
	}, []string{"PORT OUT,120,10\r\n"}},
	{"a hundred rewrites", func(w *wire) {
		for i := range 100 {
			if i == 50 {
				w.middle()
			}
			w.write(fmt.Sprintf("PORT 10,0,13,222,120,%d\r\n", i))
			w.replies(1)
		}
	}, nil},
	{"line feed alone, lower case, blanks and Telnet", func(w *wire) {
		w.write("port 10,0,13,222,120,10\n")
		w.middle()
		w.replies(1)
		w.write("\xff\xf4\xff\xf2PORT \t10,0,13,222,120,11 \r\n")
		w.replies(1)
	}, []string{"port OUT,120,10\n", "\xff\xf4\xff\xf2PORT \tOUT,120,11 \r\n"}},
	{"full segments that grow", func(w *wire) {
		// Several segments of the largest size, with lines in them that grow.
		var text strings.Builder
		n := 0
		for i := range 40 {
			fmt.Fprintf(&text, "NOOP %s\r\nPORT 10,0,13,222,120,%d\r\n", strings.Repeat("x", 200), i)
			n += 2
		}
		w.write(text.String()[:4000])
		w.middle()
		w.write(text.String()[4000:])
		w.replies(n)
	}, nil},
	{"urgent data", func(w *wire) {
		w.write("\xff\xf4\xff")
		w.middle()
		urgent(w, "\xf2")
		w.write("NOOP\r\nPORT 10,0,13,222,120,10\r\n")
		w.replies(2)
	}, nil},
	{"lines that cannot be parsed", func(w *wire) {
		w.write("PORT\r\nPORT 1,2\r\nPORT help\r\nEPRT |2|\r\nPORT 10,0,13,222,120,10,1\r\n")
		w.middle()
		w.write("X\x00Y \x80\xfe\r\n")
		w.replies(6)
	}, []string{"PORT\r\n", "PORT 1,2\r\n", "PORT help\r\n", "EPRT |2|\r\n", "PORT 10,0,13,222,120,10,1\r\n",
		"X\x00Y \x80\xfe\r\n"}},
}

func TestUnusualWritersKeepTheirSession(t *testing.T) {
	for _, kill := range []bool{false, true} {
		for _, k := range wireCases {
			name := k.name
			if kill {
				name += ", killed in the middle"
			}
			t.Run(name, func(t *testing.T) {
				r := natted(t)
				s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
				g := startGateway(t, r.Gateway)
				w := &wire{TB: t, r: r, g: g, s: s, c: login(t, r.Client, r.Server.AddrPort(false, 21)),
					middle: func() {}}
				if kill {
					w.middle = func() { g.kill(); g.start() }
				}
				get(t, w.c, s, ftptest.PORT, "small")
				w.seen()
				k.do(w)
				if lines := w.seen(); !kill && k.want != nil {
					wantLines(t, lines, k.want)
				}
				if r, err := w.c.Cmd("NOOP"); err != nil || r.Code != 200 {
					t.Fatalf("afterwards NOOP is answered by %s, %v; the server received %q", r, err,
						w.seen())
				}
				get(t, w.c, s, ftptest.PORT, "big")
				get(t, w.c, s, ftptest.EPRT, "big")
			})
		}
	}
}

func wantLines(t testing.TB, got, want []string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		form := strings.ReplaceAll(strings.ReplaceAll(want[i], "OUT.", longOutside), "OUT",
			strings.ReplaceAll(longOutside, ".", ","))
		head, tail, any := strings.Cut(form, "*")
		ok = got[i] == form || any && strings.HasPrefix(got[i], head) && strings.HasSuffix(got[i], tail)
	}
	if !ok {
		t.Errorf("the server received %q, want %q", got, want)
	}
}

func TestCommandSplitAtEveryByteIsRewritten(t *testing.T) {
	r := natted(t)
	s := serve(t, &ftptest.Server{CheckAddress: false}, r.Server, r.Server.AddrPort(false, 21))
	startGateway(t, r.Gateway)
	c := login(t, r.Client, r.Server.AddrPort(false, 21))
	c.ActivePort = 20000
	for _, m := range []ftptest.Mode{ftptest.PORT, ftptest.EPRT} {
		for at := 1; at < 32; at++ {
			c.ActivePort++ // not one that the kernel still remembers with another outside port
			c.Wire = ftptest.Wire{Split: []int{at}, Pause: time.Millisecond}
			get(t, c, s, m, "small")
		}
	}
}

func TestReplySplitAtEveryByteIsRewritten(t *testing.T) {
	r := routed(t, (*lab.Lab).ServerBehindNAT)
	g := startGateway(t, r.Gateway)
	for at := 1; at < 54; at++ {
		s := serve(t, &ftptest.Server{Wire: ftptest.Wire{Split: []int{at}, Pause: time.Millisecond}},
			r.Server, r.Server.AddrPort(false, 21))
		c := login(t, r.Client, r.Outside.AddrPort(false, 21))
		for _, m := range []ftptest.Mode{ftptest.PASV, ftptest.EPSV} {
			if tr := get(t, c, s, m, "small"); tr.Endpoint.Addr() != r.Outside.Addr(false) {
				t.Errorf("cut at %d the reply arrived as %s", at, tr.Reply)
			}
		}
		c.Close()
		s.Close()
	}
	g.wantNothingOpen()
}

func TestReplyFormsAndWritersAreUnderstood(t *testing.T) {
	tuple := ftptest.FormatPort
	zeros := func(a netip.AddrPort) string {
		b := a.Addr().As4()
		return fmt.Sprintf("%03d,%03d,%03d,%03d,%03d,%03d", b[0], b[1], b[2], b[3], a.Port()>>8, a.Port()&255)
	}
	nagle := ftptest.Wire{Chunk: 1, Nagle: true}
	for _, k := range []struct {
		name   string
		format func(netip.AddrPort) string
		wire   ftptest.Wire
	}{
		{"multi-line", func(a netip.AddrPort) string {
			return "227-first (1,2,3)\r\n 227 x (9,9,9)\r\n227 end (" + tuple(a) + ")"
		}, ftptest.Wire{}},
		{"without parentheses",
			func(a netip.AddrPort) string { return "227 Entering Passive Mode. " + tuple(a) },
			ftptest.Wire{}},
		{"with an equals sign", func(a netip.AddrPort) string { return "227 =" + tuple(a) }, ftptest.Wire{}},
		{"shrinking", func(a netip.AddrPort) string { return "227 ok (" + zeros(a) + ")" }, ftptest.Wire{}},
		{"behind another number", func(a netip.AddrPort) string {
			return "227 Passive mode #2 (" + tuple(a) +
				")"
		}, ftptest.Wire{}},
		{"line feed alone", nil, ftptest.Wire{LF: true}},
		{"byte by byte", nil, ftptest.Wire{Chunk: 1, Pause: time.Millisecond}},
		{"byte by byte with Nagle's algorithm", nil, nagle},
		{"shrinking byte by byte with Nagle's algorithm",
			func(a netip.AddrPort) string { return "227 ok (" + zeros(a) + ")" }, nagle},
		{"multi-line byte by byte",
			func(a netip.AddrPort) string { return "227-a (1,2,3)\r\n227 b (" + tuple(a) + ")" }, nagle},
	} {
		t.Run(k.name, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ServerBehindNAT)
			s := serve(t, &ftptest.Server{Format227: k.format, Wire: k.wire}, r.Server,
				r.Server.AddrPort(false, 21))
			g := startGateway(t, r.Gateway)
			c := login(t, r.Client, r.Outside.AddrPort(false, 21))
			for range 3 {
				get(t, c, s, ftptest.PASV, "small")
			}
			g.kill()
			if r, err := c.Cmd("NOOP"); err != nil || r.Code != 200 {
				t.Errorf("with the gateway gone NOOP is answered by %s, %v", r, err)
			}
			g.start()
			get(t, c, s, ftptest.PASV, "big")
			get(t, c, s, ftptest.EPSV, "big")
		})
	}
}
