package alg

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// moved is a session whose numbers are moved, where another program writes entries too.
func moved(t *testing.T) *talk {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.g.copied = true
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	return d
}

// replace puts another entry in the place of that of the session, with what was kept in the old one.
func (d *talk) replace(old conntrack.Flow) {
	old.ID = d.k.flow.ID + 1
	d.k.flow = old
}

// A packet leaves with the numbers of the entry with which it came, whatever is in its place by then.
func TestPacketThatCameBeforeItsEntryWasReplacedIsDropped(t *testing.T) {
	for _, told := range []bool{false, true} {
		d := moved(t)
		old, tuple := d.k.flow, d.k.flow.Tuple[0]
		if d.replace(old); told {
			d.g.Deleted(d.now, tuple, old.ID)
			d.g.Changed(d.now, tuple)
		}
		d.entry, d.now = old.ID, d.now.Add(10*time.Millisecond)
		line := []byte("PORT 10,0,13,222,39,137\r\n")
		had := len(d.got[toServer])
		if d.packet(toServer, d.seq[toServer], rewrite.PSH, line); len(d.got[toServer]) != had {
			t.Errorf("told %v: %q leaves", told, d.got[toServer][had:])
		}
		if n := d.g.Stats.Untouched[policy.OldEntry].Load(); n != 1 {
			t.Errorf("told %v: %d packets are dropped", told, n)
		}
		d.entry = d.k.flow.ID
		d.wantArrived("its repetition", d.c(string(line)), "PORT 203,0,113,77,39,137\r\n")
		d.wantArrived("what follows", d.c("NOOP\r\n"), "NOOP\r\n")
	}
}

func TestPacketThatWaitedWhileItsEntryWasReplacedIsDropped(t *testing.T) {
	d := moved(t)
	d.entry = d.k.flow.ID
	old, had := d.k.flow, len(d.got[toServer])
	first, second := []byte("NOOP\r\n"), []byte("PORT 10,0,13,222,39,137\r\n")
	d.packet(toServer, d.seq[toServer]+uint32(len(first)), rewrite.PSH, second)
	d.replace(old)
	d.entry = d.k.flow.ID
	d.wantArrived("what was missing", d.c(string(first)), "NOOP\r\n")
	if got := d.got[toServer][had:]; string(got) != string(first) {
		t.Errorf("%q arrived", got)
	}
	d.wantArrived("its repetition", d.c(string(second)), "PORT 203,0,113,77,39,137\r\n")
}

func TestPacketOfAnEntryThatNobodyToldOfGoesOn(t *testing.T) {
	d := moved(t)
	d.entry = d.k.flow.ID
	d.c("PORT 10,0,13,222,39,137\r\n")
	d.s("200 ok\r\n")
	want := d.k.flow.Seq[toServer].After
	d.replace(d.k.flow)
	d.entry = d.k.flow.ID
	d.wantArrived("a line", d.c("NOOP\r\n"), "NOOP\r\n")
	if a := d.k.flow.Seq[toServer]; a.After != want {
		t.Errorf("the offset is %+v, want %d", a, want)
	}
}

// Where the kernel does not tell the entries of packets, those that were there when an entry was found
// replaced are dropped, and those that were read next.
func TestPacketsThatMayHaveComeBeforeTheirEntryWasReplacedAreDropped(t *testing.T) {
	d := moved(t)
	old := d.k.flow
	d.c("PORT 10,0,13,222,39,137\r\n")
	d.s("200 ok\r\n")
	want := d.k.flow.Seq[toServer].After
	d.replace(old)
	d.now = d.now.Add(10 * time.Millisecond)
	line, had := []byte("NOOP\r\n"), len(d.got[toServer])
	for range 2 {
		d.packet(toServer, d.seq[toServer], rewrite.PSH, line)
		d.g.Drained()
	}
	if got := d.got[toServer][had:]; len(got) > 0 {
		t.Errorf("%q leaves", got)
	}
	if a := d.k.flow.Seq[toServer]; a.After != want {
		t.Errorf("the offset in the new entry is %+v, want %d at once", a, want)
	}
	d.wantArrived("what came after that", d.c(string(line)), string(line))
}
