package dialogue

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// Addresses of the scenarios.
var (
	clientIn   = netip.MustParseAddrPort("10.0.13.222:40000")
	serverIn   = netip.MustParseAddrPort("10.0.1.66:21")
	gatewayOut = netip.MustParseAddrPort("203.0.113.77:40000")
	published  = netip.MustParseAddrPort("198.51.100.1:21")
)

var (
	routed = Endpoints{Client: clientIn, Dialled: serverIn, Server: serverIn, Outside: clientIn}
	snat   = Endpoints{Client: clientIn, Dialled: serverIn, Server: serverIn, Outside: gatewayOut, SNAT: true}
	dnat   = Endpoints{Client: clientIn, Dialled: published, Server: serverIn, Outside: clientIn, DNAT: true}
)

// lab drives a dialogue, and is its gate.
type lab struct {
	t     testing.TB
	d     Dialogue
	c     Counts
	w     Draft
	open  *Request        // the door that waits
	made  []string        // every door ever opened, by mode and target
	shut  []policy.Reason // why doors were shut
	said  []policy.Reason // why lines were refused
	note  []NoticeKind
	bar   bool                       // nothing may be swallowed
	asks  []bool                     // what Swallow was told
	fail  policy.Reason              // what Open answers
	refer map[ftp.Verb]policy.Reason // what Tell answers to commands
	taken map[uint16]uint16          // ports for which another is given
}

func (l *lab) Open(r Request) (uint16, policy.Reason) {
	l.Shut(policy.Superseded)
	port := r.Dst.Port()
	switch other := l.taken[port]; {
	case l.fail != policy.None:
		return 0, l.fail
	case r.Unasked:
		return 0, policy.Unsolicited
	case other != 0 && !r.Translate:
		return 0, policy.PortTaken
	case other != 0:
		port = other
	}
	door := r
	l.open = &door
	l.open.Dst = netip.AddrPortFrom(r.Dst.Addr(), port)
	l.made = append(l.made, fmt.Sprint(r.Mode, " ", r.Target))
	return port, policy.None
}

func (l *lab) Swallow(from Side, asks bool) bool {
	l.asks = append(l.asks, asks)
	return !l.bar
}

func (l *lab) Shut(why policy.Reason) {
	if l.open != nil {
		l.open = nil
		l.shut = append(l.shut, why)
	}
}

func (l *lab) Tell(n Notice) policy.Reason {
	l.note = append(l.note, n.What)
	switch n.What {
	case Refused:
		l.said = append(l.said, n.Why)
	case Command:
		return l.refer[n.Verb]
	}
	return policy.None
}

func newLab(t testing.TB, e Endpoints, p policy.Policy) *lab {
	p.Strict = p.Strict.Whole()
	return &lab{t: t, d: New(e, &p, 0, false), taken: map[uint16]uint16{},
		refer: map[ftp.Verb]policy.Reason{}}
}

// restart puts a new dialogue in place of the old one, as after kill -9.
func (l *lab) restart() *lab {
	m := l.d.Memory()
	l.d = New(l.d.Endpoints(), l.d.policy, m, true)
	l.d.Resume(Client, m&MidCommand == 0)
	l.d.Resume(Server, m&MidReply == 0)
	return l
}

// send has a side send text and returns what arrives of it.
func (l *lab) send(from Side, text string) string {
	l.t.Helper()
	l.w.Begin(time.Unix(1e9, 0))
	l.d.Read(from, []byte(text), l, &l.c, &l.w)
	var got strings.Builder
	at := 0
	for _, e := range l.w.Edits {
		if e.At < at || e.Del < 1 || e.At+e.Del > len(text) {
			l.t.Fatalf("%q: edit of %d bytes at %d, behind one up to %d", text, e.Del, e.At, at)
		}
		got.WriteString(text[at:e.At])
		got.Write(e.Text)
		at = e.At + e.Del
	}
	return got.String() + text[at:]
}

func (l *lab) c2s(text string) string { l.t.Helper(); return l.send(Client, text) }
func (l *lab) s2c(text string) string { l.t.Helper(); return l.send(Server, text) }

// piecesOf cuts text in two pieces, or in bytes if cut is its length.
func piecesOf(text string, cut int) []string {
	if cut < len(text) {
		return []string{text[:cut], text[cut:]}
	}
	return strings.Split(text, "")
}

// pieces sends text in those pieces.
func (l *lab) pieces(from Side, text string, cut int) (got string) {
	l.t.Helper()
	for _, piece := range piecesOf(text, cut) {
		got += l.send(from, piece)
	}
	return got
}

// talk sends what tables write as "c>text" and "s>text".
func (l *lab) talk(list ...string) *lab {
	l.t.Helper()
	for _, seg := range list {
		if text, ok := strings.CutPrefix(seg, "c>"); ok {
			l.c2s(text)
		} else {
			l.s2c(strings.TrimPrefix(seg, "s>"))
		}
	}
	return l
}

var in = []string{"s>220 hi\r\n", "c>USER a\r\n", "s>331 pw\r\n", "c>PASS b\r\n", "s>230 in\r\n"}

func (l *lab) login() *lab { l.t.Helper(); return l.talk(in...) }

func (l *lab) wantArrived(what, got, want string) {
	l.t.Helper()
	if got != want {
		l.t.Errorf("%s arrived as %q, want %q", what, got, want)
	}
}

func (l *lab) wantOpen(want string) {
	l.t.Helper()
	have := ""
	if l.open != nil {
		have = fmt.Sprintf("%v>%v=%v", l.open.Src, l.open.Dst, l.open.Target)
	}
	if have != want {
		l.t.Errorf("open is %q, want %q (refused: %v)", have, want, l.said)
	}
}

func (l *lab) wantRefused(what string, want ...policy.Reason) {
	l.t.Helper()
	if fmt.Sprint(l.said) != fmt.Sprint(want) {
		l.t.Errorf("%s: refused because of %v, want %v", what, l.said, want)
	}
}

func strictPolicy(r policy.Strict) policy.Policy {
	p := policy.Default()
	p.Strict = r
	return p
}

func patterns(exprs ...string) (list []*regexp.Regexp) {
	for _, e := range exprs {
		list = append(list, regexp.MustCompile(e))
	}
	return list
}
