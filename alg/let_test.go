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

// answer has the server acknowledge what it has.
func (d *talk) answer() {
	t := d.k.flow.Tuple[toClient]
	d.handle(tcpPacket(t, d.seq[toClient], d.ackOf(toClient), rewrite.ACK, nil), toClient)
	d.asked = false
}

// The sender waits twice as long after each repetition, and each time another program has begun meanwhile.
func TestCommandGoesByWhereEachProgramEndsBeforeItIsRepeated(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	d.restart()
	d.wantArrived("a command", d.once("PASV\r\n"), "")
	d.wantArrived("its repetition", d.once("PASV\r\n"), "") // another program might have asked for it
	d.restart()
	d.wantArrived("a repetition for the next program", d.once("PASV\r\n"), "PASV\r\n")
	d.rcv[toServer] -= uint32(len("PASV\r\n")) // it is lost
	d.got[toServer] = d.got[toServer][:len(d.got[toServer])-len("PASV\r\n")]
	d.wantArrived("the one after that", d.once("PASV\r\n"), "PASV\r\n")
	d.seq[toServer] += uint32(len("PASV\r\n"))
	d.s("227 x (10,0,1,66,39,137)\r\n")
	d.wantOpen("10.0.13.222>10.0.1.66:10121=10.0.1.66:10121")
	d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,138\r\n"), "PORT 203,0,113,77,39,138\r\n")
}

// What its receiver answered outlives the program that asked, as long as nothing can go by meanwhile.
func TestProgramIsToldWhatTheReceiverAnsweredTheOneBefore(t *testing.T) {
	for _, gap := range []bool{false, true} { // the rules were gone
		d := newTalk(t, snatFlow(), policy.Default()).login()
		d.c("PORT 10,0,13,222,39,136\r\n")
		d.s("200 ok\r\n")
		d.restart()
		d.wantArrived("PORT", d.once("PORT 10,0,13,222,39,138\r\n"), "")
		d.answer()
		if d.k.flow.State&conntrack.StateNoBypass == 0 {
			t.Error("without a program the command would go by")
		}
		d.restart()
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
	d.restart()
	d.wantArrived("the repetition", d.once(line), "")
	d.answer()
	for range 2 {
		d.restart()
		d.wantArrived("the one for the next program", d.once(line), first)
		d.lose(toServer, first)
		d.restart()
		d.wantArrived("one of which nobody knows again", d.once(line), "")
		d.answer()
	}
	d.wantArrived("the last", d.once(line), first)
	d.seq[toServer] += uint32(len(line))
	d.wantArrived("what follows", d.c("LIST\r\n"), "LIST\r\n")
}

// A command that nothing is edited in leaves nothing behind that keeps others from going by.
func TestNothingIsHeldUpOnceTheAnsweredCommandIsThere(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	d.restart()
	d.wantArrived("NOOP", d.c("NOOP\r\n"), "NOOP\r\n")
	if d.k.flow.State&conntrack.StateNoBypass != 0 {
		t.Errorf("without a program nothing would go by: %b", d.k.flow.State)
	}
	if a := d.k.flow.Seq[toServer]; a.Before != a.After {
		t.Errorf("the offset is %+v", a)
	}
}

func TestPortCommandNeverGoesByThoughEachProgramEndsBeforeItIsRepeated(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	for range 4 {
		d.restart()
		d.wantArrived("PORT", d.once("PORT 10,0,13,222,39,138\r\n"), "")
	}
	d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,138\r\n"), "PORT 203,0,113,77,39,138\r\n")
}
