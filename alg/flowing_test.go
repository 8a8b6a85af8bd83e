package alg

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/conntrack"
)

// A server has said it when all that is sent lies in its own buffers.
func TestDataConnectionThatOutlivesTheFinalReplyLastsUntilItIsFoundClosed(t *testing.T) {
	w := newWatched(t)
	x, data := w.open()
	w.c("RETR f\r\n")
	w.starts(w.now, data, x.Master)
	w.s("150 here it comes\r\n226 done\r\n")
	for range 4 {
		w.is(data, conntrack.TCPCloseWait)
	}
	w.want()
	w.is(data, done)
	w.want(fate.Used)
	if f := w.fates[0]; f.Lasted != 5*time.Second || f.Ending != fate.Closed {
		t.Errorf("%+v", f)
	}
}

func TestDataConnectionIsAskedForSeldomWhileNothingTellsThatItEnds(t *testing.T) {
	w := newWatched(t)
	x, data := w.open()
	w.starts(w.now, data, x.Master)
	w.is(data, conntrack.TCPEstablished)
	asked := w.asked(func(original conntrack.Tuple) bool { return original == data })
	const minutes = 10
	for range minutes * 60 {
		w.later(time.Second)
	}
	if *asked < minutes*60/10 || *asked > minutes*60/4 {
		t.Errorf("it is asked for %d times in %d minutes", *asked, minutes)
	}
	// A connection that was reset is found while the kernel knows of it (nf_conntrack_tcp_timeout_close).
	w.entries[data] = conntrack.Entry{TCP: conntrack.TCP{State: reset}}
	for range 9 {
		w.later(time.Second)
	}
	w.want(fate.Used)
	if f := w.fates[0]; f.Ending != fate.Reset {
		t.Errorf("%+v", f)
	}
}

// many has data connections that are closed, and returns how often the kernel has been asked.
func (w *watched) many(n int) (stories []*fate.Story, asked *int) {
	x, _ := w.open()
	for i := range n {
		data := conntrack.Tuple{
			Src: netip.AddrPortFrom(serverAddr.Addr(), uint16(1024+i)), Dst: x.Dst,
		}
		story := fate.NewStory(dialogue.PORT, clientIn, serverAddr, &x, w.now)
		w.g.Fates.Begin(story, w.now)
		w.g.Fates.DataStarted(w.now, data, x.Master)
		w.entries[data] = conntrack.Entry{TCP: conntrack.TCP{State: done}}
		stories = append(stories, story)
	}
	return stories, w.asked(func(conntrack.Tuple) bool { return true })
}

// asked counts how often the kernel is asked for entries that are wanted.
func (w *watched) asked(wanted func(original conntrack.Tuple) bool) *int {
	n, entry := new(int), w.g.Fates.Entry
	w.g.Fates.Entry = func(original conntrack.Tuple, e *conntrack.Entry) error {
		if wanted(original) {
			*n++
		}
		return entry(original, e)
	}
	return n
}

func TestNoMoreDataConnectionsAreAskedForAtOnceThanTheLoopHasTimeFor(t *testing.T) {
	w := newWatched(t)
	const n = 1000
	_, asked := w.many(n)
	for ticks := 0; w.g.Stats.Data.Load() > 0; ticks++ {
		before := *asked
		// Those that are not asked for have their control connections looked at.
		if w.later(time.Second); *asked-before > 256+n || ticks > 10 {
			t.Fatalf("%d of %d are asked for in tick %d", *asked-before, n, ticks)
		}
	}
}

// With each packet a few, a moment after the server said so: the rest of a second is long.
func TestManyTransfersASecondAreToldOfInThatSecond(t *testing.T) {
	w := newWatched(t)
	const n = 1000
	stories, asked := w.many(n)
	for _, s := range stories {
		w.g.Fates.Said(s, w.now)
	}
	w.g.Fates.Ask(w.now)
	if *asked != 0 {
		t.Errorf("%d are asked for before they can be closed", *asked)
	}
	w.now = w.now.Add(100 * time.Millisecond)
	for rounds := 1; w.g.Stats.Data.Load() > 0; rounds++ {
		if w.g.Fates.Ask(w.now); *asked > 8*rounds || rounds > n {
			t.Fatalf("%d are asked for in %d rounds, and %d are left", *asked, rounds, w.g.Stats.Data.Load())
		}
	}
	told := w.fates[1:] // the first is the door whose place theirs took
	if len(told) != n || told[n-1].Lasted != 0 || *asked != n {
		t.Errorf("%d are told of, the last lasted %v; %d are asked for", len(told), told[n-1].Lasted, *asked)
	}
}

// The other side may be far away.
func TestDataConnectionThatIsClosedSoonAfterTheReplyEndsWithIt(t *testing.T) {
	w := newWatched(t)
	x, data := w.open()
	w.c("RETR f\r\n")
	w.starts(w.now, data, x.Master)
	w.now = w.now.Add(3 * time.Second)
	w.s("150 here it comes\r\n226 done\r\n")
	for _, state := range []conntrack.TCPState{conntrack.TCPLastAck, done} {
		w.entries[data] = conntrack.Entry{TCP: conntrack.TCP{State: state}}
		w.want()
		w.now = w.now.Add(500 * time.Millisecond)
		w.g.Fates.Ask(w.now)
	}
	w.later(time.Second)
	w.want(fate.Used)
	if f := w.fates[0]; f.Lasted != 3*time.Second {
		t.Errorf("%+v", f)
	}
}

func TestLostEndOfADataConnectionIsFoundByAsking(t *testing.T) {
	w := newWatched(t)
	x, data := w.open()
	w.starts(w.now, data, x.Master)
	w.is(data, conntrack.TCPEstablished)
	w.g.Fates.EventsLost()
	w.later(time.Second)
	w.want()
	delete(w.entries, data)
	w.g.Fates.EventsLost()
	w.later(time.Second)
	w.want() // the event may be on its way
	w.later(time.Second)
	w.want(fate.Used)
	if f := w.fates[0]; f.Ending != fate.NoEnding {
		t.Errorf("%+v", f)
	}
}

// What the kernel tells of one that is gone is what it told before.
func TestEndOfADataConnectionThatComesLateIsStillBelieved(t *testing.T) {
	w := newWatched(t)
	x, data := w.open()
	w.starts(w.now, data, x.Master)
	w.is(data, conntrack.TCPEstablished)
	delete(w.entries, data)
	w.g.Fates.EventsLost()
	w.later(time.Second)
	e := conntrack.Entry{Flow: conntrack.Flow{Tuple: [2]conntrack.Tuple{data}}}
	e.TCP.State = conntrack.TCPLastAck
	w.g.Fates.DataEnded(w.now, &e)
	w.want(fate.Used)
	if f := w.fates[0]; f.Ending != fate.Closed {
		t.Errorf("%+v", f)
	}
}

// A kernel that tells no state of an entry that is gone still tells whether its handshake was completed.
func TestAssuredDataConnectionWasUsedThoughItWasNeverAskedFor(t *testing.T) {
	for status, want := range map[conntrack.Status]fate.Outcome{
		conntrack.StatusSeenReply | conntrack.StatusAssured: fate.Used,
		0: fate.Unanswered,
	} {
		w := newWatched(t)
		x, data := w.open()
		w.starts(w.now, data, x.Master)
		w.g.Fates.DataEnded(w.now, &conntrack.Entry{
			Flow: conntrack.Flow{Tuple: [2]conntrack.Tuple{data}}, Status: status,
		})
		w.want(want)
	}
}

func TestControlConnectionIsKeptWhileItsDataConnectionLives(t *testing.T) {
	w := newWatched(t)
	x, data := w.open()
	left := 8 * time.Second
	w.k.updated = func(u conntrack.Update) {
		if u.Timeout > 0 {
			w.updates = append(w.updates, u.Timeout)
			left = u.Timeout
		}
	}
	w.starts(w.now, data, x.Master)
	w.entries[data] = conntrack.Entry{TCP: conntrack.TCP{State: conntrack.TCPEstablished}}
	for range 40 {
		w.entries[x.Master] = conntrack.Entry{Timeout: left}
		w.later(time.Second)
		if left -= time.Second; left <= 0 {
			t.Fatal("it expired")
		}
	}
	if n := len(w.updates); n == 0 || n > 20 || w.updates[0] != 8*time.Second {
		t.Errorf("timeouts were set to %v", w.updates)
	}
	w.updates = nil
	w.is(data, conntrack.TCPTimeWait)
	for range 7 {
		w.later(time.Second)
	}
	if w.updates != nil {
		t.Errorf("after the transfer timeouts were set to %v", w.updates)
	}
}
