package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
)

// book has the sessions of the test's own clients.
type book struct {
	mu   sync.Mutex
	all  []*tape
	live []*tape

	// Made by judge.
	asks map[conntrack.Key]map[netip.AddrPort]int // by original tuple
	told map[netip.AddrPort]bool                  // by servers, to whomever
}

func newBook() *book { return &book{} }

func (b *book) add(x *tape) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all, b.live = append(b.all, x), append(b.live, x)
}

func (b *book) leave(x *tape) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live = slices.DeleteFunc(b.live, func(y *tape) bool { return x == y })
}

// some is one of the sessions that live, or nil.
func (b *book) some(rng *rand.Rand) *tape {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.live) == 0 {
		return nil
	}
	return b.live[rng.IntN(len(b.live))]
}

// judge compares both ends of each session.
func (b *book) judge(w *world) {
	b.asks, b.told = map[conntrack.Key]map[netip.AddrPort]int{}, map[netip.AddrPort]bool{}
	seen := map[string]*ftptest.Session{}
	for _, s := range w.sides {
		for _, x := range s.server.Sessions() {
			seen[x.User] = &x
			for _, r := range x.Replies {
				if at, ok := passive(r, x.Local.Addr()); ok {
					b.told[at] = true
				}
			}
		}
	}
	for _, x := range b.all {
		if s := seen[x.user]; s != nil {
			x.judge(w, s)
			w.tally.add("session compared at both ends")
		}
		b.note(x, seen[x.user])
	}
}

// note collects what a session asked for.
func (b *book) note(x *tape, s *ftptest.Session) {
	key := x.original.Key()
	if b.asks[key] == nil {
		b.asks[key] = map[netip.AddrPort]int{}
	}
	for _, line := range lines(x.sent.text) {
		at, ok := active(line)
		if ok && at.Addr() == x.original.Src.Addr() && at.Port() >= 1024 {
			b.asks[key][at]++
		}
	}
	if s == nil {
		return
	}
	for _, r := range s.Replies {
		if at, ok := passive(r, s.Local.Addr()); ok {
			b.asks[key][at]++
		}
	}
}

// many: of a real client's port nobody knows how often it asked for it.
const many = 1 << 20

// asked tells how often it was asked for what opened, and whether it may have been at all.
func (b *book) asked(x *opening) (times int, right bool) {
	if asks, ok := b.asks[x.master.Key()]; ok {
		n := asks[x.target]
		return n, n > 0
	}
	// A real client's: what it asked for nobody wrote down.
	client, server := x.master.Src.Addr(), x.target.Addr()
	if !client.IsValid() {
		return 0, false
	}
	if server == client {
		return many, x.target.Port() >= 1024
	}
	return many, b.told[x.target] && x.from == client
}

// active reads a PORT or EPRT.
func active(line string) (netip.AddrPort, bool) {
	verb, arg, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	var at netip.AddrPort
	var err error
	switch verb {
	case "PORT":
		at, err = ftptest.ParsePort(arg)
	case "EPRT":
		at, err = ftptest.ParseExtended(arg)
	default:
		return at, false
	}
	return at, err == nil
}

// passive reads a 227 or 229 of a server.
func passive(line string, server netip.Addr) (netip.AddrPort, bool) {
	switch {
	case strings.HasPrefix(line, "227 "):
		at, err := ftptest.ParsePort(line)
		return at, err == nil
	case strings.HasPrefix(line, "229 "):
		port, err := ftptest.Parse229(line)
		return netip.AddrPortFrom(server, port), err == nil
	}
	return netip.AddrPort{}, false
}

// judge compares what one end wrote with what the other read.
func (x *tape) judge(w *world, s *ftptest.Session) {
	sent, got := lines(x.sent.text), s.Commands
	replies := lines([]byte(strings.Join(s.Replies, "")))
	received := lines(x.received.text)
	x.compare(w, "command", &x.sent, sent, got, func(was, is string) bool {
		return w.commandMayBe(x, was, is, s)
	})
	x.compare(w, "reply", &x.received, replies, received, x.replyMayBe)
}

// compare compares line by line; all that was written must be there if the session ended as it should.
func (x *tape) compare(w *world, what string, k *track, wrote, read []string, may func(was, is string) bool) {
	place := 0
	for i, is := range read {
		whole := strings.HasSuffix(is, "\n")
		switch {
		case i >= len(wrote), whole && is != wrote[i] && !may(wrote[i], is),
			!whole && !strings.HasPrefix(wrote[i], is) && !may(wrote[i], is+"\r\n"):
			was := "nothing"
			if i < len(wrote) {
				was = fmt.Sprintf("%q", wrote[i])
			}
			at := k.when(place)
			w.t.Errorf("%s (%s, %v): %s %d was %s and is %q at %s\n%q became\n%q\n%s", x.user,
				x.side.name, x.original, what, i, was, is, at.Format(clock), near(wrote, i), near(read, i),
				w.chaos.around(at))
			return
		case whole && is != wrote[i]:
			w.tally.add(what + " rewritten")
		}
		if k == &x.received {
			place += len(is)
		} else if i < len(wrote) {
			place += len(wrote[i])
		}
	}
	if x.done && len(read) != len(wrote) {
		w.t.Errorf("%s (%s): of %d lines (%s) came %d", x.user, x.side.name, len(wrote), what, len(read))
	}
}

// near are the lines about one.
func near(all []string, i int) []string { return all[max(0, i-3):min(len(all), i+4)] }

var lost = regexp.MustCompile(`^(PORT|EPRT)\b[ -~]*\r?\n$`)

// commandMayBe tells whether a command may have become another one on its way.
func (w *world) commandMayBe(x *tape, was, is string, s *ftptest.Session) bool {
	verb := was[:min(4, len(was))]
	switch {
	case verb != "PORT" && verb != "EPRT":
		return false
	case mended(was, is):
		w.tally.add("command mended")
		at, ok := active(is)
		return !ok || at.Addr() != s.Remote.Addr()
	case !lost.MatchString(is) || is[:4] != verb:
		return false
	}
	at, ok := active(is)
	own := s.Remote.Addr()
	switch {
	case ok && at.Addr() == own && x.side.inside:
		return true // as the server sees its client
	case ok && at.Addr() == own && namesItself(was, own):
		w.tally.add("command with another port") // the one that it named was taken
		return true
	case !ok && masked(was, is):
		w.tally.add("command refused by the gateway")
		return true
	case len(is) < len(was) && !(ok && at.Addr() == own):
		// Of a line that was being typed as a program died the argument is lost, which the server says.
		w.tally.add("command without its argument")
		return true
	}
	return false
}

// namesItself tells whether a client at an address names that.
func namesItself(was string, own netip.Addr) bool {
	at, ok := active(was)
	return ok && at.Addr() == own
}

// masked tells whether of a line that came in pieces some bytes were made unreadable, or all of its argument.
func masked(was, is string) bool {
	if strings.Trim(is[4:], "x \r\n") == "" {
		return true
	}
	for i := range min(len(was), len(is)) {
		if is[i] != was[i] && is[i] != 'x' {
			return false
		}
	}
	return len(is) == len(was)
}

// mended tells whether an edited line was lost behind a program that died, and came again by the next, which
// does not know what it was, only how long: then it was made as long, so that both ends stay in step, and its
// digits unreadable. How it began the packets of the dead one may say, if they come after the next one was
// told that they did not.
func mended(was, is string) bool {
	more := len(is) - len(was)
	if more == 0 {
		return false // see masked
	}
	for from := 0; from <= len(was); from++ {
		// What was repeated began somewhere in the line, and there or behind it lies what is mended.
		rest := unreadable(was, from)
		for at := 0; at <= len(was); at++ {
			if is == resized(rest, at, more) || more > 0 && at > 0 && at < len(was)-1 &&
				is == was[:at]+(strings.Repeat("x", more) + rest)[at:] {
				return true
			}
		}
	}
	return false
}

// unreadable is a line without the digits from a place on.
func unreadable(line string, from int) string {
	return line[:from] + digit.ReplaceAllString(line[from:], "x")
}

// resized is a line that is made longer or shorter at a place, where it is possible.
func resized(line string, at, more int) string {
	switch {
	case more > 0 && line[at:] == "\n":
		return line[:at] + strings.Repeat("x", more-1) + "\r\n"
	case more > 0:
		return line[:at] + strings.Repeat("x", more) + line[at:]
	case at-more <= len(line):
		return line[:at] + line[at-more:]
	}
	return ""
}

var refused = regexp.MustCompile(`^425 Data connection refused by the gateway\. *\r\n$`)

// replyMayBe tells whether a reply may have become another one on its way.
func (x *tape) replyMayBe(was, is string) bool {
	if _, ok := passive(was, netip.Addr{}); !ok {
		return false
	}
	if mended(was, is) {
		_, ok := passive(is, x.original.Dst.Addr())
		return !ok
	}
	at, ok := passive(is, x.original.Dst.Addr())
	switch {
	case ok && is[:4] == was[:4] && at.Addr() == x.original.Dst.Addr():
		return true
	case refused.MatchString(is):
		return true
	}
	for from := 4; from < len(was); from++ {
		if is == unreadable(was, from) {
			return !ok // something of it is unreadable
		}
	}
	plain := strings.TrimRight(strings.TrimSuffix(is, "\r\n"), "x")
	return len(is) == len(was) && len(plain) >= 4 && strings.HasPrefix(was, plain)
}

// digit is what is made unreadable of a reply that came in pieces and is refused, or else all that is left.
var digit = regexp.MustCompile(`[0-9]`)
