package alg

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// wipe has another program overwrite the label, as one does whose own bits lie in it, and the kernel tell.
func (d *talk) wipe() {
	d.k.flow.State, d.k.flow.Flight = 0, [2]conntrack.Flight{}
	d.g.Changed(d.now, d.k.flow.Tuple[0])
}

func TestSessionGoesOnWhenItsLabelIsWiped(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.wipe()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.wantOpen("10.0.1.66>203.0.113.77:10120=10.0.13.222:10120")
	d.s("200 ok\r\n")
	if n := d.g.Stats.Wiped.Load(); n != 1 {
		t.Errorf("%d labels were wiped", n)
	}
	if d.k.flow.State&conntrack.StateControl == 0 {
		t.Error("the label was not written anew")
	}
}

// A program that writes it once, and listens to nothing, nobody tells of.
func TestWipedLabelIsFoundWithinASecondThoughNobodyTells(t *testing.T) {
	for hears, found := range map[bool]bool{false: true, true: false} {
		d := newTalk(t, snatFlow(), policy.Default()).login()
		d.g.Told, d.g.Hears = true, hears
		d.k.flow.State, d.k.flow.Flight = 0, [2]conntrack.Flight{}
		d.now = d.now.Add(time.Duration(lookedAt))
		d.tick(toServer)
		if got := d.k.flow.State&conntrack.StateControl != 0; got != found {
			t.Errorf("where it is told of %v: it was written anew: %v", hears, got)
		}
	}
}

// With another gateway only a packet proves that the session is here.
func TestWipedLabelOfASessionThatAnotherMayHaveIsNotWrittenByATick(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.g.Told = true
	d.g.NotAlone()
	d.k.flow.State, d.k.flow.Flight = 0, [2]conntrack.Flight{}
	d.now = d.now.Add(time.Duration(lookedAt))
	if d.tick(toServer); d.k.flow.State != 0 {
		t.Errorf("it was written without a packet: %b", d.k.flow.State)
	}
	if d.c("NOOP\r\n"); d.k.flow.State&conntrack.StateControl == 0 {
		t.Error("it was not written with one")
	}
}

func TestTickLooksAtAFewSessionsInTurn(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.g.Told = true
	for range 10 {
		looks := d.k.looks
		d.now = d.now.Add(time.Duration(lookedAt))
		if d.tick(toServer); d.k.looks != looks+1 {
			t.Errorf("with one session a tick looks %d times", d.k.looks-looks)
		}
		d.now = d.now.Add(time.Duration(lookedAt / 4))
		if d.tick(toServer); d.k.looks != looks+1 {
			t.Error("it looks again so soon")
		}
	}
}

// What is written without a packet would be replicated over what the other has done since.
func TestWipedLabelIsMendedByAPacketWhereAnotherGatewayMayHaveTheSession(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.g.NotAlone()
	d.now = d.now.Add(verifyEvery)
	d.wipe()
	if d.k.flow.State != 0 {
		t.Errorf("the label was written without a packet: %b", d.k.flow.State)
	}
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.wantOpen("10.0.1.66>203.0.113.77:10120=10.0.13.222:10120")
	if d.k.flow.State&conntrack.StateControl == 0 {
		t.Error("the label was not written anew")
	}
}

func TestEditInFlightIsKnownWhenTheLabelIsWiped(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	const line = "PORT 10,0,13,222,39,136\r\n"
	first := d.c(line)
	d.lose(toServer, first)
	d.seq[toServer] -= uint32(len(line))
	d.wipe()
	if d.k.flow.State&conntrack.StateNoBypass == 0 {
		t.Error("the label was not written anew, and without the program the edit would go by")
	}
	d.wantArrived("the repetition", d.c(line), first)
	d.wantArrived("what follows", d.c("LIST\r\n"), "LIST\r\n")
}

// What is in flight lies in the sequence adjustment, too.
func TestNextProgramKnowsWhatIsInFlightThoughTheLabelIsWiped(t *testing.T) {
	for _, f := range []conntrack.Flow{snatFlow(), dnatFlow()} {
		d := newTalk(t, f, policy.Default()).login()
		dir := toServer
		if f.DNAT {
			dir = toClient
			d.c("PASV\r\n")
			d.s("227 x (10,0,1,66,39,136)\r\n")
		} else {
			d.c("PORT 10,0,13,222,39,136\r\n")
		}
		if f := d.k.flow; f.Flight[dir].Base == 0 || f.Seq[dir].Before != 0 {
			t.Fatalf("nothing that adds bytes is in flight: %+v", f)
		}
		grown := int32(d.k.flow.Flight[dir].Base)
		d.k.flow.State, d.k.flow.Flight = 0, [2]conntrack.Flight{}
		d.restart()
		const next = "200 or NOOP\r\n"
		got := d.send(dir, next)
		for range 3 { // it may have gone by while no program was there: the sender tells
			if got == "" {
				d.seq[dir] -= uint32(len(next))
				got = d.send(dir, next)
			}
		}
		d.wantArrived("what follows", got, next)
		if got := d.k.flow.Seq[dir]; got.Before != grown || got.After != grown {
			t.Errorf("the kernel has the offset %+v, want %d", got, grown)
		}
	}
}

// Whether there is room for a label is found out by writing one.
func TestEntryWithoutRoomForALabelIsNoError(t *testing.T) {
	f := snatFlow()
	f.HasState, f.State = false, 0
	d := newTalk(t, f, trusting())
	var asked conntrack.Update
	d.k.updated = func(u conntrack.Update) { asked = u }
	d.g.OnKernelError = func(doing string, err error) { t.Errorf("%s: %v", doing, err) }
	d.c("NOOP\r\n")
	if asked.StateMask == 0 {
		t.Error("no label was written")
	}
	d.g.Refused(f.Tuple[0], asked, conntrack.ErrUnsupported)
	d.s("200 ok\r\n")
	d.wantArrived("NOOP", d.c("NOOP\r\n"), "NOOP\r\n")
}
