package conntrack

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/golden"
	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

func listenIn(t testing.TB, n *netnstest.NS, kinds Kind, buffer int) *Listener {
	t.Helper()
	var l *Listener
	n.Do(func() {
		var err error
		if l, err = Listen(kinds, buffer, DefaultLayout); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	l.most = 1 // so that await looks at one at a time
	if err := l.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return l
}

// await returns the next event that is wanted.
func await(t testing.TB, l *Listener, wanted func(*Event) bool) (got Event) {
	t.Helper()
	for found := false; !found; {
		if err := l.Receive(func(e *Event) {
			if !found && wanted(e) {
				got, found = *e, true
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func TestEventsTellOfAConnectionAndOfWhoChangedIt(t *testing.T) {
	r, c := gateway(t)
	l := listenIn(t, r.Gateway, AllEvents, 1<<20)
	client, peer := open(t, r, netnstest.Server)
	f := flow(t, c, client, peer)
	if e := await(t, l, func(e *Event) bool { return e.Kind == FlowNew }); e.PortID != 0 ||
		e.Entry.Tuple != f.Tuple || e.Entry.ID != f.ID || e.Entry.Helper != HelperCarrier ||
		e.Entry.TCP.State != TCPSynSent || e.Entry.Answered() {
		t.Errorf("the SYN: %+v", e)
	}
	e := await(t, l, func(e *Event) bool { return e.Entry.TCP.State == TCPEstablished })
	if !e.Entry.Answered() {
		t.Errorf("established: %+v", e)
	}
	if err := c.Update(f.Tuple[Original], Update{StateMask: StateBusy, State: StateBusy}); err != nil {
		t.Fatal(err)
	}
	if e := await(t, l, func(e *Event) bool { return e.PortID != 0 }); e.Kind != FlowUpdate ||
		e.PortID != c.PortID() || e.Entry.State != StateControl|StateBusy {
		t.Errorf("our own update: %+v", e)
	}
}

func TestEventsTellTheStoryOfAnExpectedConnection(t *testing.T) {
	r, c := gateway(t)
	r.Gateway.Sysctl("netfilter/nf_conntrack_acct", "1")
	r.Gateway.Sysctl("netfilter/nf_conntrack_timestamp", "1")
	l := listenIn(t, r.Gateway, AllEvents, 1<<20) // before the connection: an older one has no events
	client, peer := open(t, r, netnstest.Server)
	f := flow(t, c, client, peer)
	in := r.Client.Listen(net.JoinHostPort(netnstest.Client, "2000"))
	x := active(f, 40001)
	if err := expect(c, x); err != nil {
		t.Fatal(err)
	}
	e := await(t, l, func(e *Event) bool { return e.Kind == ExpectNew })
	if e.PortID != c.PortID() || e.Expect.Master != x.Master || e.Expect.Dst != x.Dst ||
		e.Expect.Src != x.Src || e.Expect.Target != x.Target || e.Expect.Fn != followMaster ||
		e.Expect.ID == 0 {
		t.Errorf("expectation made: %+v", e)
	}
	data, err := r.Server.Dial(nil, x.Dst.String())
	if err != nil {
		t.Fatal(err)
	}
	if used := await(t, l, func(e *Event) bool { return e.Kind == ExpectDestroy }); used.PortID != 0 ||
		used.Expect.ID != e.Expect.ID || used.Expect.Timeout == 0 {
		t.Errorf("expectation used: %+v", used)
	}
	e = await(t, l, func(e *Event) bool { return e.Kind == FlowNew })
	if e.Entry.Master != x.Master ||
		!e.Entry.Expected() || !e.Entry.DNAT {
		t.Errorf("data connection: %+v", e)
	}
	transferAndReset(t, in, data)
	e = await(t, l, func(e *Event) bool { return e.Kind == FlowUpdate && e.Entry.TCP.State == TCPClosed })
	orig := e.Entry.Tuple[Original]
	if err := c.Remove(orig, e.Entry.ID); err != nil {
		t.Fatal(err)
	}
	e = await(t, l, func(e *Event) bool { return e.Kind == FlowDestroy })
	if e.Entry.Tuple[Original] != orig || !e.Entry.HasCounters ||
		e.Entry.Counters[Original].Bytes < 1000 || e.Entry.Counters[Reply].Packets == 0 ||
		e.Entry.Start == 0 || e.Entry.Stop < e.Entry.Start {
		t.Errorf("end of the data connection: %+v", e)
	}
}

// transferAndReset sends 1000 bytes over data, which the listener accepts, and resets it.
func transferAndReset(t testing.TB, l net.Listener, data net.Conn) {
	t.Helper()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := data.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	for b, n := make([]byte, 1000), 0; n < len(b); {
		got, err := in.Read(b)
		if n += got; err != nil {
			t.Fatal(err)
		}
	}
	_ = data.(*net.TCPConn).SetLinger(0)
	_ = data.Close()
	_ = in.Close()
}

func TestEvictedExpectationIsTold(t *testing.T) {
	r, c := gateway(t)
	l := listenIn(t, r.Gateway, ExpectDestroy, 1<<20)
	client, peer := open(t, r, netnstest.Server)
	f := flow(t, c, client, peer)
	first, err := expectID(c, active(f, 41000))
	if err != nil || first == 0 || !f.EvictsOldest() {
		t.Fatal(first, err, f)
	}
	if err := expect(c, active(f, 41001)); err != nil {
		t.Fatal(err)
	}
	e := await(t, l, func(*Event) bool { return true })
	if e.Expect.ID != first || e.Expect.Dst.Port() != 41000 {
		t.Errorf("%+v", e)
	}
}

func TestOneReceiveTakesAllEventsThatThereAre(t *testing.T) {
	r, c := gateway(t)
	l := listenIn(t, r.Gateway, FlowUpdate, 1<<20)
	l.most = aReceive
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	const updates = 20
	for i := range updates {
		if err := c.Update(orig, Update{StateMask: StateBusy, State: State(i&1) * StateBusy}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	count := func(e *Event) {
		if e.PortID == c.PortID() {
			n++
		}
	}
	if err := l.Receive(count); err != nil || n != updates {
		t.Errorf("%d events of %d: %v", n, updates, err)
	}
	if more, err := l.ReceiveWaiting(count); more || err != nil || n != updates {
		t.Errorf("there are %d events now, more: %v, %v", n, more, err)
	}
}

func TestNoEventIsWaitingWhileAnotherGoroutineHandsItOn(t *testing.T) {
	r, c := gateway(t)
	l := listenIn(t, r.Gateway, FlowUpdate, 1<<20)
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	if err := c.Update(orig, Update{StateMask: StateBusy, State: StateBusy}); err != nil {
		t.Fatal(err)
	}
	read, told := make(chan bool), false
	received := make(chan error)
	go func() {
		received <- l.Receive(func(*Event) {
			close(read)
			time.Sleep(50 * time.Millisecond) // stands for a processor that others have
			told = true
		})
	}()
	<-read
	if more, err := l.ReceiveWaiting(func(*Event) {}); err != nil || !more && !told {
		t.Errorf("told %v, more %v: %v", told, more, err)
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
}

func TestLostEventsAreReportedAndTheListenerGoesOn(t *testing.T) {
	r, c := gateway(t)
	l := listenIn(t, r.Gateway, FlowUpdate, 1)
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	for i := range 200 {
		if err := c.Update(orig, Update{StateMask: StateBusy, State: State(i&1) * StateBusy}); err != nil {
			t.Fatal(err)
		}
	}
	lost := false
	for !lost {
		if err := l.Receive(func(*Event) {}); errors.Is(err, ErrEventsLost) {
			lost = true
		} else if err != nil {
			t.Fatal(err)
		}
	}
	_ = l.SetDeadline(time.Now().Add(50 * time.Millisecond)) // until the buffer is empty all is lost
	for err := error(nil); !errors.Is(err, os.ErrDeadlineExceeded); {
		if err = l.Receive(func(*Event) {}); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	_ = l.SetDeadline(time.Now().Add(5 * time.Second))
	if err := c.Update(orig, Update{StateMask: stateTwo, State: stateTwo}); err != nil {
		t.Fatal(err)
	}
	await(t, l, func(e *Event) bool { return e.Entry.State&stateTwo != 0 })
}

func TestCloseWakesAListener(t *testing.T) {
	n := netnstest.New(t)
	l := listenIn(t, n, AllEvents, 1<<16)
	_ = l.SetDeadline(time.Time{})
	ended := make(chan error)
	go func() { ended <- l.Receive(func(*Event) {}) }()
	_ = l.Close()
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// eventBytes is an answer with the header of an event about it.
func eventBytes(t testing.TB, typ uint16, attrs string) []byte {
	var e encoder
	e.start(typ, unix.NLM_F_CREATE, 0, unix.AF_INET)
	e.b = append(e.b, golden.Attrs(t, attrs)...)
	return e.finish()
}

func TestDecodingAnEventDoesNotAllocate(t *testing.T) {
	messages := [][]byte{
		eventBytes(t, subsysConntrack, flowAnswer), eventBytes(t, subsysExpect, expectAnswer)}
	d := decoder{layout: DefaultLayout}
	var e Event
	if n := testing.AllocsPerRun(100, func() {
		for _, m := range messages {
			if _, ok := d.event(m, &e); !ok {
				t.Fatal("no event")
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if e.Kind != ExpectNew || e.Expect.Dst != netip.MustParseAddrPort("192.0.2.1:40000") {
		t.Errorf("%+v", e)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(eventBytes(f, subsysConntrack, flowAnswer))
	f.Add(eventBytes(f, subsysExpect|msgDelete, expectAnswer))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d decoder
		var e Event
		for len(b) > 0 {
			rest, _ := d.event(b, &e)
			if len(rest) >= len(b) {
				t.Fatalf("no progress: %d of %d bytes left", len(rest), len(b))
			}
			b = rest
		}
	})
}

func TestListenerHearsOfUpdatesWhileItHasJoinedThem(t *testing.T) {
	r, c := gateway(t)
	l := listenIn(t, r.Gateway, FlowNew|FlowDestroy, 1<<20)
	client, peer := open(t, r, netnstest.Server)
	f := flow(t, c, client, peer)
	write := func(s State) {
		t.Helper()
		u := Update{StateMask: StateBusy | StateOpaque, State: s}
		if err := c.Update(f.Tuple[Original], u); err != nil {
			t.Fatal(err)
		}
	}
	await(t, l, whatever) // it began
	write(StateBusy)
	if err := l.Join(FlowUpdate); err != nil {
		t.Fatal(err)
	}
	write(StateOpaque)
	if e := await(t, l, whatever); e.Kind != FlowUpdate || e.Entry.State != StateControl|StateOpaque {
		t.Errorf("after joining the first event is %+v", e)
	}
	if err := l.Leave(FlowUpdate); err != nil {
		t.Fatal(err)
	}
	write(StateBusy)
	if err := c.Remove(f.Tuple[Original], f.ID); err != nil {
		t.Fatal(err)
	}
	if e := await(t, l, whatever); e.Kind != FlowDestroy {
		t.Errorf("after leaving the first event is %+v", e)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Join(FlowUpdate); !errors.Is(err, os.ErrClosed) {
		t.Errorf("joining with a closed listener: %v", err)
	}
}

// The audience calls it from what Receive calls.
func TestListenerMayJoinWhileItReceives(t *testing.T) {
	r, _ := gateway(t)
	l := listenIn(t, r.Gateway, FlowNew, 1<<20)
	open(t, r, netnstest.Server)
	err := errors.New("not called")
	await(t, l, func(*Event) bool {
		err = l.Join(FlowUpdate)
		return true
	})
	if err != nil {
		t.Error(err)
	}
}
