package alg

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// other is the gateway that has the entry of d replicated, and nothing else.
func other(d *talk) (*Gateway, *fakeKernel) {
	k := &fakeKernel{flow: d.k.flow, taken: map[uint16]bool{}}
	g := New(k, policy.Default())
	g.Changed(d.now, k.flow.Tuple[0])
	return g, k
}

func wantOnly(t *testing.T, what string, have, want []conntrack.Expectation) {
	t.Helper()
	if len(have) != len(want) {
		t.Fatalf("%s: open there is %v, here %v", what, have, want)
	}
	for i := range want {
		if have[i] != want[i] {
			t.Errorf("%s: open there is %v, here %v", what, have[i], want[i])
		}
	}
}

func TestDoorIsOpenedWhereOnlyTheEntryIsKnown(t *testing.T) {
	for _, c := range []struct {
		name string
		flow conntrack.Flow
		say  func(*talk)
	}{
		{"PORT", snatFlow(), func(d *talk) { d.c("PORT 10,0,13,222,39,136\r\n") }},
		{"EPRT", natFlow(client6, server6, server6, outside6), func(d *talk) {
			d.c("EPRT |2|2001:db8:1::222|10120|\r\n")
		}},
		{"227", dnatFlow(), func(d *talk) {
			d.c("PASV\r\n")
			d.s("227 Entering Passive Mode (10,0,1,66,39,136).\r\n")
		}},
		{"229", dnatFlow(), func(d *talk) {
			d.c("EPSV\r\n")
			d.s("229 Extended (|||10120|)\r\n")
		}},
		{"without NAT", firewallFlow(), func(d *talk) { d.c("PORT 10,0,13,222,39,136\r\n") }},
		{"on another port", snatFlow(), func(d *talk) {
			d.k.taken[10120] = true
			d.c("PORT 10,0,13,222,39,136\r\n")
		}},
	} {
		d := newTalk(t, c.flow, policy.Default()).login()
		c.say(d)
		if len(d.k.expects) != 1 {
			t.Fatalf("%s: open is %v", c.name, d.k.expects)
		}
		g, k := other(d)
		wantOnly(t, c.name, k.expects, d.k.expects)
		if g.Stats.Standby.Load() != 1 || g.Stats.Sessions.Load() != 0 {
			t.Errorf("%s: a replicated entry counts as a session", c.name)
		}
		g.Changed(d.now, k.flow.Tuple[0])
		wantOnly(t, c.name+" once more", k.expects, d.k.expects)

		d.c("RETR f\r\n")
		d.s("425 no\r\n") // here it is shut
		k.flow = d.k.flow
		g.Changed(d.now, k.flow.Tuple[0])
		wantOnly(t, c.name+" shut", k.expects, nil)
		g.Destroyed(k.flow.Tuple[0], 0)
		if g.Stats.Standby.Load() != 0 {
			t.Errorf("%s: an entry that is gone counts", c.name)
		}
	}
}

func TestDoorThroughWhichTheConnectionCameIsNotOpenedElsewhere(t *testing.T) {
	w := newWatched(t)
	x, data := w.open()
	w.k.expects = nil // the kernel has used it
	w.g.Fates.DoorGone(w.now, &x, true)
	w.starts(w.now, data, x.Master)
	_, k := other(w.talk)
	wantOnly(t, "used", k.expects, nil)
}

func TestDoorThatExpiredIsNotOpenedElsewhere(t *testing.T) {
	w := newWatched(t)
	w.open()
	w.k.expects = nil
	w.later(policy.Default().Timeout + time.Second)
	w.later(time.Second)
	_, k := other(w.talk)
	wantOnly(t, "expired", k.expects, nil)
}

// Its address is not in the entry.
func TestDoorOfAnotherHostIsNotOpenedElsewhere(t *testing.T) {
	p := policy.Default()
	p.FXP = append(p.FXP, netip.MustParsePrefix("10.0.14.0/24"))
	d := newTalk(t, snatFlow(), p).login()
	d.c("PORT 10,0,14,1,39,136\r\n")
	if len(d.k.expects) != 1 {
		t.Fatalf("open is %v (refused %v)", d.k.expects, d.refuse)
	}
	_, k := other(d)
	wantOnly(t, "another host's", k.expects, nil)
}

func TestGatewayThatGetsTheTrafficHasTheDoor(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	g, k := other(d)
	d.g, d.k = g, k
	g.Drained()
	d.s("200 ok\r\n")
	if g.Stats.Standby.Load() != 0 || g.Stats.Sessions.Load() != 1 {
		t.Error("a session whose packets come is no replica any more")
	}
	d.c("RETR f\r\n")
	d.s("425 no\r\n")
	d.wantOpen()
}

// A change that is told late tells of what was before: whoever takes a session counts on in its entry.
func TestSessionThatOthersWroteIsPickedUpAnewUnlessItsPacketsComeHere(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.g.Changed(d.now, d.k.flow.Tuple[0])
	if d.g.Stats.Sessions.Load() != 1 || d.g.Stats.Standby.Load() != 0 {
		t.Error("the session is not remembered, though nothing of its entry is another")
	}
	d.now = d.now.Add(verifyEvery)
	d.g.Changed(d.now, d.k.flow.Tuple[0])
	if d.g.Stats.Sessions.Load() != 0 || d.g.Stats.Standby.Load() != 1 {
		t.Error("the session is remembered")
	}
	d.g.Changed(d.now, d.k.flow.Tuple[1]) // nobody's original tuple
	d.wantArrived("what may have waited", d.c("NOOP\r\n"), "")
	d.g.Drained()
	d.c("NOOP\r\n")
	if d.g.Stats.Sessions.Load() != 1 || d.g.Stats.Standby.Load() != 0 {
		t.Error("it is not picked up")
	}
}

// What is known here is old then, and would be replicated over what the other gateway wrote.
func TestNothingIsWrittenWithoutAPacketWhileAnotherGatewayMayHaveTheSession(t *testing.T) {
	for _, what := range []string{"its connection comes", "it expires"} {
		w := newWatched(t)
		w.c("PORT 10,0,13,222,39,136\r\n") // in flight: not acknowledged
		x := w.k.expects[0]
		w.g.Changed(w.now, x.Master)
		if w.g.Stats.Sessions.Load() != 1 {
			t.Fatal("the session with an edit in flight is not remembered")
		}
		w.k.updated = func(u conntrack.Update) { t.Errorf("%s: %+v is written", what, u) }
		if what == "it expires" {
			w.later(x.Timeout + time.Second)
			w.later(time.Second)
			continue
		}
		w.g.Fates.DoorGone(w.now, &x, true)
		w.starts(w.now, conntrack.Tuple{Src: serverAddr, Dst: x.Dst}, x.Master)
	}
}

// The event that tells of it may come later than that of the data connection. Whose turn it is tells whether
// the other has the session, or only sent back what it knew of it.
func TestNothingIsWrittenOfAnEntryThatAnotherReplaced(t *testing.T) {
	for turn, sessions := range map[conntrack.State]int64{oneTurn: 0, 0: 1} {
		w := newWatched(t)
		x, data := w.open()
		w.k.expects = nil
		w.k.flow.ID++ // otherwise it is the same
		w.k.flow.State += turn
		w.k.updated = func(u conntrack.Update) { t.Errorf("turn %b: %+v is written", turn, u) }
		w.g.Fates.DoorGone(w.now, &x, true)
		w.starts(w.now, data, x.Master)
		if n := w.g.Stats.Sessions.Load(); n != sessions {
			t.Errorf("turn %b: %d sessions, want %d", turn, n, sessions)
		}
	}
}

// editedTwice has a session in which two lines were edited, and returns its entry after the first of them.
func editedTwice(t *testing.T) (d *talk, old conntrack.Flow) {
	t.Helper()
	d = newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	old = d.k.flow
	d.c("PORT 10,0,13,222,39,137\r\n")
	d.s("200 ok\r\n")
	if d.k.flow.Seq[0].After == old.Seq[0].After {
		t.Fatal("nothing has changed")
	}
	return d, old
}

// What replicates entries may bring back what it sent long ago, with the offsets of then.
func TestEntryThatIsBroughtBackAsItWasIsWrittenAnew(t *testing.T) {
	for _, told := range []bool{false, true} {
		d, old := editedTwice(t)
		now := d.k.flow
		old.ID++
		d.k.flow = old
		if told {
			d.g.Changed(d.now, old.Tuple[0])
		}
		if d.k.flow.Seq != old.Seq {
			t.Error("it was written before a packet proved that nobody else has the session")
		}
		d.now = d.now.Add(aloneFor)
		if got, want := string(d.c("NOOP\r\n")), "NOOP\r\n"; got != want || d.asked {
			t.Errorf("told: %v: the next line leaves as %q", told, got)
		}
		if have, want := d.k.flow.Seq[0].After, now.Seq[0].After; have != want {
			t.Errorf("told: %v: the offset is %d, want %d", told, have, want)
		}
	}
}

// First what was long ago is brought back, and then the other gateway has the session and replicates it.
func TestSessionThatAnotherTookAfterAnEchoIsPickedUpAnew(t *testing.T) {
	d, old := editedTwice(t)
	theirs := d.k.flow
	d.k.flow = old
	d.g.Changed(d.now, old.Tuple[0])
	theirs.State += oneTurn
	theirs.Seq[0].After++ // and it edited a line
	theirs.Seq[0].Before++
	d.k.flow = theirs
	d.g.Changed(d.now, old.Tuple[0])
	if d.g.Stats.Sessions.Load() != 0 || d.g.Stats.Standby.Load() != 1 {
		t.Error("what was remembered is believed")
	}
	d.rcv[toServer]++
	d.now = d.now.Add(time.Millisecond)
	d.c("NOOP\r\n")
	if have := d.k.flow.Seq[0]; have.After != theirs.Seq[0].After || have.Before != theirs.Seq[0].Before {
		t.Errorf("the offset is %+v, want the other's %+v", have, theirs.Seq[0])
	}
}

// With many clients nearly every packet comes after a pause, and a look is a request and an answer.
func TestEntryIsLookedAtAfterAPauseOnlyWhereAnotherMayHaveWrittenIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		told  bool
		pause time.Duration
		alone bool
		looks int
	}{
		{"nobody tells", false, verifyEvery, true, 1},
		{"nobody else is there", true, verifyEvery, true, 0},
		{"nobody else is there, after a while", true, aloneFor, true, 1},
		{"another is there", true, verifyEvery, false, 1},
	} {
		d := newTalk(t, snatFlow(), policy.Default()).login()
		d.g.Told = c.told
		if !c.alone {
			d.g.Changed(d.now, natFlow(client6, server6, server6, outside6).Tuple[0]) // of another session
		}
		d.k.looks = 0
		d.now = d.now.Add(c.pause)
		d.c("NOOP\r\n")
		if d.k.looks != c.looks {
			t.Errorf("%s: the entry was looked at %d times, want %d", c.name, d.k.looks, c.looks)
		}
	}
}

func TestEndedSessionOpensNothingAfterTheRulesWereGone(t *testing.T) {
	for _, ended := range []bool{false, true} {
		d := newTalk(t, snatFlow(), policy.Default()).login()
		if ended {
			d.g.end(d.g.table.find(d.k.flow.Tuple[0]))
		}
		d.g.Damaged(d.now)
		d.c("PORT 10,0,13,222,39,136\r\n")
		if opened := len(d.k.expects) > 0; opened == ended {
			t.Errorf("ended: %v, and a door is open: %v", ended, opened)
		}
	}
}

// What replicates entries deletes one that it cannot change, and makes another with what it heard of last.
func TestEntryThatIsReplacedByAnOlderOneCostsNoOffset(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.g.NotAlone()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	old := d.k.flow
	d.c("PORT 10,0,13,222,39,137\r\n")
	d.s("200 ok\r\n")
	want := d.k.flow.Seq[toServer].After
	d.k.flow = old
	d.k.flow.ID++
	d.g.Deleted(d.now, old.Tuple[0], old.ID)
	if s := d.g.table.find(old.Tuple[0]); s == nil || s.door() != nil {
		t.Error("the session is gone, or its door is still there, which went with the entry")
	}
	d.g.Changed(d.now, old.Tuple[0])
	d.g.Tick(d.now)
	d.g.Drained()
	d.g.Drained()
	d.wantArrived("what follows", d.c("NOOP\r\n"), "NOOP\r\n")
	if a := d.k.flow.Seq[toServer]; a.After != want || a.Before != want {
		t.Errorf("the offset is %+v, want %d", a, want)
	}
}

func TestSessionWhoseEntryIsDeletedIsForgotten(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.g.NotAlone()
	tuple := d.k.flow.Tuple[0]
	d.k.flow.Tuple = [2]conntrack.Tuple{} // it is not there
	d.g.Deleted(d.now, tuple, d.k.flow.ID)
	if d.g.Tick(d.now); d.g.Stats.Sessions.Load() != 0 || d.g.Stats.Vanished.Load() != 1 {
		t.Errorf("%d sessions, %d vanished", d.g.Stats.Sessions.Load(), d.g.Stats.Vanished.Load())
	}
}

// What ended on the other gateway may have gone here before its door is made.
func TestDoorOfAConnectionThatIsGoneIsNoErrorOfTheKernel(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	for _, c := range []struct {
		err  error
		told int
	}{{conntrack.ErrNotFound, 0}, {conntrack.ErrTableFull, 1}} {
		k := &fakeKernel{flow: d.k.flow, taken: map[uint16]bool{}, fail: fmt.Errorf("expect: %w", c.err)}
		g, told := New(k, policy.Default()), 0
		g.OnKernelError = func(string, error) { told++ }
		g.Changed(d.now, k.flow.Tuple[0])
		if told != c.told {
			t.Errorf("%v is told %d times, want %d", c.err, told, c.told)
		}
	}
}
