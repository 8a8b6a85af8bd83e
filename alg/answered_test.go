package alg

import (
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// once sends the next text of the client once, whose sender hears of nothing, and returns what arrives.
func (d *talk) once(text string) string {
	had := len(d.got[toServer])
	t := d.k.flow.Tuple[toServer]
	d.handle(tcpPacket(t, d.seq[toServer], d.ackOf(toServer), rewrite.ACK, []byte(text)), toServer)
	return string(d.got[toServer][had:])
}

// next is restart on a gateway that knows of no other.
func (d *talk) next() {
	d.restart()
	d.g.Told = true
}

// answer has the server acknowledge what it has.
func (d *talk) answer() {
	t := d.k.flow.Tuple[toClient]
	d.handle(tcpPacket(t, d.seq[toClient], d.ackOf(toClient), rewrite.ACK, nil), toClient)
	d.asked = false
}

// What its receiver answered outlives the program that asked, as long as nothing can go by meanwhile.
func TestProgramIsToldWhatTheReceiverAnsweredTheOneBefore(t *testing.T) {
	for _, gap := range []bool{false, true} { // the rules were gone
		d := newTalk(t, snatFlow(), policy.Default()).login()
		d.c("PORT 10,0,13,222,39,136\r\n")
		d.s("200 ok\r\n")
		d.next()
		d.wantArrived("PORT", d.once("PORT 10,0,13,222,39,138\r\n"), "")
		d.answer()
		if d.k.flow.State&conntrack.StateNoBypass == 0 {
			t.Error("without a program the command would go by")
		}
		d.next()
		want := "PORT 203,0,113,77,39,138\r\n"
		if gap {
			d.g.Damaged(d.now)
			want = ""
		}
		d.wantArrived("PORT", d.once("PORT 10,0,13,222,39,138\r\n"), want)
	}
}

func TestLostEditIsRepeatedAtOnceByAProgramThatIsToldThatItDidNotArrive(t *testing.T) {
	const line = "PORT 10,0,13,222,39,138\r\n"
	d := newTalk(t, snatFlow(), policy.Default()).login()
	first := d.c(line)
	d.lose(toServer, first)
	d.seq[toServer] -= uint32(len(line))
	d.next()
	d.wantArrived("the repetition", d.once(line), "")
	d.answer()
	for range 2 {
		d.next()
		d.wantArrived("the one for the next program", d.once(line), first)
		d.lose(toServer, first)
		d.next()
		d.wantArrived("one of which nobody knows again", d.once(line), "")
		d.answer()
	}
	d.wantArrived("the last", d.once(line), first)
	d.seq[toServer] += uint32(len(line))
	d.wantArrived("what follows", d.c("LIST\r\n"), "LIST\r\n")
}

// What an entry tells that was replicated may be older than what the other gateway did.
func TestWhatWasAnsweredIsNotBelievedWhereThereIsAnotherGateway(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	for i := range 4 {
		d.next()
		if i%2 == 0 {
			d.g.NotAlone()
		} else {
			d.k.flow.ID++ // it was written in another kernel
		}
		d.wantArrived("PORT", d.once("PORT 10,0,13,222,39,138\r\n"), "")
		d.answer()
	}
}

// A command that nothing is edited in leaves nothing behind that keeps others from going by.
func TestNothingIsHeldUpOnceTheAnsweredCommandIsThere(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	d.next()
	d.wantArrived("NOOP", d.c("NOOP\r\n"), "NOOP\r\n")
	if d.k.flow.State&conntrack.StateNoBypass != 0 {
		t.Errorf("without a program nothing would go by: %b", d.k.flow.State)
	}
	if a := d.k.flow.Seq[toServer]; a.Before != a.After {
		t.Errorf("the offset is %+v", a)
	}
}
