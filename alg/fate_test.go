package alg

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// settleTime is that of package fate.
const settleTime = time.Second

// watched is a talk whose kernel tells of events, as far as the test has it do so.
type watched struct {
	*talk
	fates   []fate.Fate
	entries map[conntrack.Tuple]conntrack.Entry
	updates []time.Duration // timeouts set
}

func newWatched(t testing.TB) *watched {
	w := &watched{talk: newTalk(t, snatFlow(), policy.Default()).login()}
	w.entries = map[conntrack.Tuple]conntrack.Entry{}
	w.g.Fates.Listens = true
	w.g.Fates.OnFate = func(f *fate.Fate) { w.fates = append(w.fates, *f) }
	w.g.Fates.Entry = func(orig conntrack.Tuple, e *conntrack.Entry) error {
		have, ok := w.entries[orig]
		if *e = have; !ok {
			return conntrack.ErrNotFound
		}
		return nil
	}
	return w
}

// counted is an entry with counters.
func counted(original, reply conntrack.Counter) conntrack.Entry {
	return conntrack.Entry{HasCounters: true, Counters: [2]conntrack.Counter{original, reply}}
}

// open has the client ask for a data connection and returns the expectation and the original tuple
// of the connection that the server would make.
func (w *watched) open() (conntrack.Expectation, conntrack.Tuple) {
	w.t.Helper()
	w.c(portLine1 + "\r\n")
	w.s("200 ok\r\n")
	x := w.k.expects[len(w.k.expects)-1]
	return x, conntrack.Tuple{Src: serverAddr, Dst: x.Dst}
}

// starts tells of a data connection, and of the next tick.
func (w *watched) starts(at time.Time, data, master conntrack.Tuple) {
	w.g.Fates.DataStarted(at, data, master)
	w.g.settle()
}

// is has a data connection be in a state, and the kernel be asked for it.
func (w *watched) is(data conntrack.Tuple, state conntrack.TCPState) {
	e := w.entries[data]
	if e.TCP.State = state; state == conntrack.TCPEstablished {
		e.Status |= conntrack.StatusAssured
	}
	w.entries[data] = e
	w.later(lookedAfter)
}

// lookedAfter is the longest time after which a data connection is asked for, at the beginning and after the
// final reply.
const lookedAfter = time.Second

// later lets time pass, and ticks.
func (w *watched) later(d time.Duration) {
	w.now = w.now.Add(d)
	w.tick(toServer)
}

func (w *watched) want(want ...fate.Outcome) {
	w.t.Helper()
	var have []fate.Outcome
	for _, f := range w.fates {
		have = append(have, f.Outcome)
		if n := w.g.Stats.Fates[f.Mode][f.Outcome].Load(); n == 0 {
			w.t.Errorf("%v of mode %v is not counted", f.Outcome, f.Mode)
		}
	}
	if len(have) != len(want) {
		w.t.Fatalf("the fates are %v, want %v", have, want)
	}
	for i := range want {
		if have[i] != want[i] {
			w.t.Errorf("the fates are %v, want %v", have, want)
		}
	}
}

const (
	syn   = conntrack.TCPSynSent
	done  = conntrack.TCPTimeWait
	reset = conntrack.TCPClosed
)

var doors = []struct {
	name string
	run  func(w *watched, x conntrack.Expectation, data conntrack.Tuple)
	want fate.Outcome
	end  fate.Ending
}{
	{"used and closed", func(w *watched, x conntrack.Expectation, data conntrack.Tuple) {
		w.g.Fates.DoorGone(w.now, &x, true)
		w.starts(w.now, data, x.Master)
		w.is(data, conntrack.TCPEstablished)
		w.s("226 done\r\n")
		w.is(data, done)
	}, fate.Used, fate.Closed},
	{"used and reset", func(w *watched, x conntrack.Expectation, data conntrack.Tuple) {
		w.starts(w.now, data, x.Master)
		w.is(data, conntrack.TCPEstablished)
		w.is(data, reset)
	}, fate.Used, fate.Reset},
	{"used, and told late", func(w *watched, x conntrack.Expectation, data conntrack.Tuple) {
		w.c("STOR a\r\n")
		w.s("150 go\r\n226 done\r\n")
		w.starts(w.now, data, x.Master)
		w.is(data, conntrack.TCPEstablished)
		delete(w.entries, data)
		w.g.Fates.DataEnded(w.now, &conntrack.Entry{Flow: conntrack.Flow{Tuple: [2]conntrack.Tuple{data}}})
	}, fate.Used, fate.TimedOut},
	{"nobody answered the SYN", func(w *watched, x conntrack.Expectation, data conntrack.Tuple) {
		w.starts(w.now, data, x.Master)
		e := conntrack.Entry{Flow: conntrack.Flow{Tuple: [2]conntrack.Tuple{data}}}
		e.TCP.State = syn
		w.g.Fates.DataEnded(w.now, &e)
	}, fate.Unanswered, fate.TimedOut},
	{"a reset answered the SYN", func(w *watched, x conntrack.Expectation, data conntrack.Tuple) {
		w.starts(w.now, data, x.Master)
		w.is(data, reset)
	}, fate.Rejected, fate.Reset},
	{"the SYN was dropped here", func(w *watched, x conntrack.Expectation, _ conntrack.Tuple) {
		w.g.Fates.DoorGone(w.now, &x, true)
		w.later(settleTime)
	}, fate.Dropped, fate.NoEnding},
	{"nobody came", func(w *watched, x conntrack.Expectation, _ conntrack.Tuple) {
		w.g.Fates.DoorGone(w.now.Add(time.Minute), &x, false)
		w.later(time.Minute + settleTime)
	}, fate.Expired, fate.NoEnding},
	{"the server refused", func(w *watched, _ conntrack.Expectation, _ conntrack.Tuple) {
		w.c("RETR a\r\n")
		w.s("550 no\r\n")
		w.later(settleTime)
	}, fate.Withdrawn, fate.NoEnding},
	{"the control connection vanished", func(w *watched, x conntrack.Expectation, _ conntrack.Tuple) {
		w.g.Destroyed(x.Master, 0)
		w.g.Fates.DoorGone(w.now, &x, true)
		w.later(settleTime)
	}, fate.Withdrawn, fate.NoEnding},
}

func TestFateOfADoor(t *testing.T) {
	for _, c := range doors {
		t.Run(c.name, func(t *testing.T) {
			w := newWatched(t)
			x, data := w.open()
			c.run(w, x, data)
			w.want(c.want)
			if end := w.fates[0].Ending; end != c.end {
				t.Errorf("it ended as %v, want %v", end, c.end)
			}
			if failed := w.fates[0].Outcome.Failed(); failed != (c.want.Likely(w.fates[0].Mode) != "") {
				t.Errorf("failed is %v, and the likely cause %q", failed, c.want.Likely(w.fates[0].Mode))
			}
			w.later(time.Hour)
			w.want(c.want)
			if n := w.g.Stats.Data.Load(); n != 0 {
				t.Errorf("%d data connections are counted at the end", n)
			}
		})
	}
}

func TestFateIsUnknownWhereTheKernelTellsNothing(t *testing.T) {
	for name, c := range map[string]struct{ before, after func(w *watched) }{
		"it makes no events":   {before: func(w *watched) { w.k.silent = true }},
		"nobody listens":       {before: func(w *watched) { w.g.Fates.Listens = false }},
		"an event may be lost": {after: func(w *watched) { w.g.Fates.EventsLost() }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatched(t)
			if c.before != nil {
				c.before(w)
			}
			w.open()
			if c.after != nil {
				c.after(w)
			}
			for range 4 {
				w.later(time.Minute)
			}
			w.want(fate.Unknown)
		})
	}
}

// The packet that comes next writes it; without one before the next tick the kernel is looked at before.
func TestConnectionThatCameIsWrittenOnce(t *testing.T) {
	for packet, want := range map[bool]int{true: 0, false: 1} {
		w := newWatched(t)
		x, data := w.open()
		looks, updates := w.k.looks, 0
		w.k.updated = func(conntrack.Update) { updates++ }
		w.g.Fates.DataStarted(w.now, data, x.Master)
		if packet {
			w.c("RETR f\r\n")
		}
		w.g.settle()
		w.g.settle()
		if got := w.k.looks - looks; got != want || updates != 1 {
			t.Errorf("with a packet %v: %d looks, want %d, and %d updates", packet, got, want, updates)
		}
	}
}

func TestFateTellsTimesAndWhatWasCounted(t *testing.T) {
	w := newWatched(t)
	x, data := w.open()
	w.entries[data] = counted(
		conntrack.Counter{Packets: 3, Bytes: 300}, conntrack.Counter{Packets: 2, Bytes: 80})
	w.c("RETR f\r\n")
	w.s("150 here it comes\r\n")
	w.now = w.now.Add(time.Second)
	w.starts(w.now, data, x.Master)
	w.is(data, conntrack.TCPEstablished)
	w.now = w.now.Add(3 * time.Second)
	w.s("226 done\r\n")
	w.is(data, done)
	w.want(fate.Used)
	f := w.fates[0]
	if f.Waited != time.Second || f.Lasted != 4*time.Second || !f.Counted || f.FromServer.Bytes != 300 ||
		f.FromClient.Packets != 2 {
		t.Errorf("%+v", f)
	}
	sent := &w.g.Stats.Bytes[f.Mode]
	if up, down := sent[0].Load(), sent[1].Load(); up != 80 || down != 300 {
		t.Errorf("%d bytes up and %d down are counted", up, down)
	}
}

// Events come late under load, and a client asks for the same port again.
func TestLateEndOfAnEarlierDoorIsNotThatOfThePresentOne(t *testing.T) {
	for number, waits := range map[uint32]bool{6: true, 7: false} {
		w := newWatched(t)
		w.k.number = 7
		x, _ := w.open()
		x.ID = number
		w.g.Fates.DoorGone(w.now, &x, true)
		if door := w.g.table.find(x.Master).door(); (door != nil && door.Waits()) != waits {
			t.Errorf("after the end of number %d number 7 waits: %v", number, !waits)
		}
	}
}
