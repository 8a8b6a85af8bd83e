package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/lab"
	"github.com/ftpalg/ftpalg/test/pair"
)

// watch hears what opens on a gateway.
type watch struct {
	t   testing.TB
	g   *pair.Gateway
	mu  sync.Mutex
	all []opening
}

// opening is a port that was opened for a control connection, or a data connection that was let through.
type opening struct {
	at           time.Time
	what         string
	master       conntrack.Tuple
	from         netip.Addr
	open, target netip.AddrPort
	came         bool // it is a connection, which a packet began here
}

func newWatch(t testing.TB, w *world, g *pair.Gateway) *watch {
	t.Helper()
	h := &watch{t: t, g: g}
	l := g.Listen(t, conntrack.FlowNew|conntrack.ExpectNew, 16<<20)
	go func() {
		for {
			switch err := l.Receive(h.hear); {
			case errors.Is(err, os.ErrClosed):
				return
			case err != nil:
				w.tally.add("events of the kernel lost to the test")
			}
		}
	}()
	return h
}

const aData = "a data connection"

// trials are the addresses in what the program makes to find out what the kernel can do.
var trials = netip.MustParsePrefix("192.0.2.0/24")

func (h *watch) hear(e *conntrack.Event) {
	x := opening{at: time.Now()}
	switch {
	case e.Kind == conntrack.ExpectNew:
		p := &e.Expect
		if trials.Contains(p.Master.Src.Addr()) {
			return
		}
		x.what, x.master, x.from, x.open, x.target = "an expectation", p.Master, p.Src, p.Dst, p.Target
		if !p.Translate {
			x.target = p.Dst
		}
	case e.Entry.Tuple[0].Dst.Port() == controlPort:
		return
	default:
		f := &e.Entry
		x.what, x.master, x.from = aData, f.Master, f.Tuple[0].Src.Addr()
		x.open, x.target, x.came = f.Tuple[0].Dst, f.Tuple[1].Src, e.PortID == 0
		switch {
		case f.Expected():
		case e.PortID != 0:
			return // a copy of what came through the other gateway
		default:
			x.what = "a connection that nobody expected"
			x.master = conntrack.Tuple{}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, x)
}

// judge compares all that opened with what was asked for.
func (h *watch) judge(w *world) {
	h.mu.Lock()
	defer h.mu.Unlock()
	type use struct {
		master conntrack.Key
		target netip.AddrPort
	}
	came := map[use]int{}
	for i := range h.all {
		x := &h.all[i]
		asks, right := w.book.asked(x)
		if x.came {
			u := use{x.master.Key(), x.target}
			came[u]++
			right = right && came[u] <= asks
			w.tally.add("data connection through " + h.g.String())
		} else {
			w.tally.add(x.what + " seen on " + h.g.String())
		}
		if w.paired && !x.came && x.what == aData {
			continue // a copy, which may be mixed with an entry of the same ports that was there
		}
		if !right {
			h.t.Errorf("%s at %s on %s, asked for %d times: of %v from %v by %v to %v\n%s", x.what,
				x.at.Format(clock), h.g, asks, x.master, x.from, x.open, x.target, w.chaos.around(x.at))
		}
	}
	if len(h.all) == 0 && h.g == w.Gateways[0] {
		h.t.Errorf("nothing opened on %s: the test proves nothing", h.g)
	}
}

// expectations lists what is open.
func (h *watch) expectations() (es []conntrack.Expectation) {
	must(h.t, h.g.Do(func() error {
		c, err := conntrack.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		es, err = c.Expectations()
		return err
	}))
	return es
}

// wantNothingOpen waits until what was left open for a while is shut.
func (h *watch) wantNothingOpen() {
	h.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		es := h.expectations()
		if len(es) == 0 {
			return
		}
		if time.Now().After(end) {
			h.t.Errorf("%s still expects %s", h.g, describe(es))
			return
		}
	}
}

// intrude tries, until the world is over, to come through what is open for others.
func (w *world) intrude() {
	for !w.over() {
		select {
		case <-w.ended:
		case <-time.After(200 * time.Millisecond):
		}
		es := w.watches[w.Active].expectations()
		for i, e := range es[:min(3, len(es))] {
			for _, from := range w.intruders {
				if w.beside(from, e.Dst.Addr()) {
					continue
				}
				w.tally.add("attempt of an intruder")
				if err := tryFrom(from, e.Dst, i); err == nil {
					w.t.Errorf("an intruder from %s comes through %s", from, describe(e))
				}
			}
		}
	}
}

// beside tells whether the gateway is not between a host and an address.
func (w *world) beside(h *lab.Host, a netip.Addr) bool {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	near, err := h.Addr(a.Is6()).Prefix(bits)
	must(w.t, err)
	return near.Contains(a) && a != near.Addr().Next() // the first is the gateway's
}

// tryFrom connects, as nobody was asked to.
func tryFrom(h *lab.Host, to netip.AddrPort, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	var c net.Conn
	c, err := h.Dial(ctx, netip.AddrPort{}, to)
	if err != nil {
		return fmt.Errorf("attempt %d: %w", n, err)
	}
	return c.Close()
}
