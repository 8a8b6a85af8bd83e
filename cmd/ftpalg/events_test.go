package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/conntrack"
)

func newEventsOf(n int) *events {
	return &events{
		others: true,
		own:    []uint32{7}, lost: &atomic.Uint64{}, wake: func() error { return nil },
		ready: make(chan happening, n), broken: make(chan error, 1), read: func() bool { return false },
		looks: &atomic.Bool{}, attend: func(time.Time) {},
	}
}

func TestEventsBeyondTheQueueAreLostAndCountedAndToldOnce(t *testing.T) {
	e := newEventsOf(2)
	for range 5 {
		e.take(&conntrack.Event{Kind: conntrack.FlowDestroy}, false)
	}
	if n := e.lost.Load(); n != 3 || len(e.ready) != 2 {
		t.Errorf("%d are lost and %d wait", n, len(e.ready))
	}
	var log bytes.Buffer
	l := testLoop(t, &fakeQueue{}, io.Discard)
	j := newJournal(&log, false, slog.LevelInfo)
	e.pass(l.gateway, j)
	e.lose()
	e.broken <- errors.New("no more")
	e.pass(l.gateway, j)
	j.flush()
	if n := strings.Count(log.String(), "events of the kernel were lost"); n != 1 {
		t.Errorf("it is told %d times: %s", n, &log)
	}
	if !strings.Contains(log.String(), "do not come any more") || len(e.ready) != 0 {
		t.Errorf("%d wait: %s", len(e.ready), &log)
	}
}

func TestEventsBecomeAFate(t *testing.T) {
	q := &fakeQueue{batches: []batchOrError{{packets: [][]byte{command(t, startSeq, port)}}}}
	l := testLoop(t, q, io.Discard)
	var fates []fate.Fate
	l.gateway.Fates.OnFate = func(f *fate.Fate) { fates = append(fates, *f) }
	rounds(t, l, q)
	l.events = newEventsOf(100)
	master := conntrack.Tuple{Src: clientAddr, Dst: serverAddr}
	open := netip.MustParseAddrPort("203.0.113.1:10120")
	data := conntrack.Tuple{Src: netip.MustParseAddrPort("10.0.1.66:20"), Dst: open}
	expect := func(k conntrack.Kind) conntrack.Event {
		e := conntrack.Event{Kind: k}
		e.Expect.Master, e.Expect.Dst, e.Expect.Timeout = master, open, 1
		return e
	}
	flow := func(k conntrack.Kind, s conntrack.TCPState) conntrack.Event {
		e := conntrack.Event{Kind: k}
		e.Entry.Master, e.Entry.Tuple[0], e.Entry.TCP.State = master, data, s
		e.Entry.HasCounters, e.Entry.Counters[0].Bytes = true, 9
		return e
	}
	for _, e := range []conntrack.Event{
		expect(conntrack.ExpectDestroy), flow(conntrack.FlowNew, conntrack.TCPSynSent),
		flow(conntrack.FlowDestroy, conntrack.TCPLastAck),
	} {
		l.events.take(&e, false)
	}
	if _, err := l.round(); err != nil {
		t.Fatal(err)
	}
	if len(fates) != 1 || fates[0].Outcome != fate.Used || fates[0].Ending != fate.Closed ||
		fates[0].FromServer.Bytes != 9 {
		t.Errorf("%+v", fates)
	}
}

func TestEntryThatAnotherProgramWroteIsAReplica(t *testing.T) {
	q := &fakeQueue{batches: []batchOrError{{packets: [][]byte{command(t, startSeq, "NOOP\r\n")}}}}
	l := testLoop(t, q, io.Discard)
	rounds(t, l, q)
	l.events = newEventsOf(100)
	e := conntrack.Event{Kind: conntrack.FlowUpdate, PortID: 8}
	e.Entry.Tuple[0] = conntrack.Tuple{Src: clientAddr, Dst: serverAddr}
	l.events.take(&e, false)
	if _, err := l.round(); err != nil {
		t.Fatal(err)
	}
	s := &l.gateway.Stats
	if s.Sessions.Load() != 0 || s.Standby.Load() != 1 {
		t.Errorf("%d sessions, %d replicas", s.Sessions.Load(), s.Standby.Load())
	}
}

// What replicates entries puts another one in its place; what the kernel itself lets go is over.
func TestSessionWaitsForAnotherEntryWhereAnotherProgramDeletedIts(t *testing.T) {
	for by, want := range map[uint32]int64{8: 1, 7: 0, 0: 0} { // another program, we, the kernel
		q := &fakeQueue{batches: []batchOrError{{packets: [][]byte{command(t, startSeq, "NOOP\r\n")}}}}
		l := testLoop(t, q, io.Discard)
		rounds(t, l, q)
		l.events = newEventsOf(1)
		e := conntrack.Event{Kind: conntrack.FlowDestroy, PortID: by}
		e.Entry.Tuple[0] = conntrack.Tuple{Src: clientAddr, Dst: serverAddr}
		l.events.take(&e, false)
		l.events.pass(l.gateway, l.journal)
		if n := l.gateway.Stats.Sessions.Load(); n != want {
			t.Errorf("deleted by %d: %d sessions, want %d", by, n, want)
		}
	}
}

func TestDataConnectionThroughAnotherGatewayIsNotTakenForOneThatCameHere(t *testing.T) {
	e := newEventsOf(2)
	for _, by := range []uint32{8, 0} {
		ev := conntrack.Event{Kind: conntrack.FlowNew, PortID: by}
		ev.Entry.Status = conntrack.StatusExpected
		e.take(&ev, false)
	}
	if n := len(e.ready); n != 1 {
		t.Errorf("%d events are told", n)
	}
}

func TestTakingAnEventAllocatesNothing(t *testing.T) {
	e := newEventsOf(1)
	ev := conntrack.Event{Kind: conntrack.FlowUpdate}
	if n := testing.AllocsPerRun(100, func() { e.take(&ev, false); <-e.ready }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestLoopThatTurnsLooksForEventsItselfButNotInEveryRound(t *testing.T) {
	noop := [][]byte{command(t, startSeq, "NOOP\r\n")}
	for _, c := range []struct {
		packets [][]byte
		next    time.Duration // from now on it is time to look
		copied  bool          // others replace entries
		want    bool
	}{
		{noop, 0, false, true}, {noop, time.Minute, false, false}, {nil, 0, false, false},
		{noop, time.Minute, true, true},
	} {
		l := testLoop(t, &fakeQueue{batches: []batchOrError{{packets: c.packets}}}, io.Discard)
		if c.copied {
			l.gateway.Changed(time.Now(), conntrack.Tuple{Src: clientAddr, Dst: serverAddr})
		}
		e := newEventsOf(1)
		read := false
		e.read = func() bool { read = true; return false }
		e.looked = time.Now().Add(c.next - lull)
		l.events, l.stall.ran = e, time.Now().Add(time.Minute) // and it did not stand still
		if _, err := l.round(); err != nil || read != c.want || e.looks.Load() != c.want {
			t.Errorf("%d packets, time to look in %v: it looks %v: %v", len(c.packets), c.next, read, err)
		}
	}
}

func TestLoopIsNotWokenForWhatItHears(t *testing.T) {
	woken := [2]int{}
	all := []*events{newEventsOf(100), newEventsOf(100)}
	for i, e := range all {
		e.wake = func() error { woken[i]++; return nil }
	}
	a := &audience{all: all}
	a.taker(all[1])(&conntrack.Event{Kind: conntrack.FlowUpdate, PortID: 8})
	if woken != [2]int{1, 0} || len(all[1].ready) != 1 {
		t.Errorf("woken %v times, %d events", woken, len(all[1].ready))
	}
}

func TestEndOfEventsIsToldToEachLoopOnce(t *testing.T) {
	all := []*events{newEventsOf(1), newEventsOf(1)}
	a := &audience{all: all}
	for _, c := range []struct {
		err         error
		more        bool
		lost, ended int
	}{
		{nil, true, 0, 0},
		{conntrack.ErrEventsLost, true, 1, 0},
		{errors.New("no more"), false, 2, 1},
		{errors.New("no more"), false, 2, 1},
		{os.ErrClosed, false, 2, 1},
	} {
		if more := a.heard(c.err); more != c.more {
			t.Errorf("%v: more %v", c.err, more)
		}
		for _, e := range all {
			if lost, ended := int(e.lost.Load()), len(e.broken); lost != c.lost || ended != c.ended {
				t.Errorf("%v: lost %d, want %d; ended %d, want %d", c.err, lost, c.lost, ended, c.ended)
			}
		}
	}
}

// A standby has no packets and no ticks, so nothing else would have it look.
func TestLoopIsWokenForWhatAnotherProgramWrites(t *testing.T) {
	e := newEventsOf(100)
	woken := 0
	e.wake = func() error { woken++; return nil }
	for range 3 {
		e.take(&conntrack.Event{Kind: conntrack.FlowUpdate, PortID: 8}, false)
	}
	if woken != 3 {
		t.Errorf("it is woken %d times for 3 events", woken)
	}
}
