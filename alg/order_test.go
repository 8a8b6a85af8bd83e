package alg

import (
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
)

func TestReorderedSegmentsWaitForEachOther(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	a, b := "PORT 10,0,13,222,39,136\r\n", "LIST\r\n"
	d.packet(toServer, d.seq[toServer]+uint32(len(a)), 0, []byte(b))
	if had := string(d.got[toServer]); strings.Contains(had, "LIST") {
		t.Fatal("LIST went on before what precedes it")
	}
	d.packet(toServer, d.seq[toServer], 0, []byte(a))
	if got := string(d.got[toServer]); !strings.HasSuffix(got, "PORT 203,0,113,77,39,136\r\nLIST\r\n") {
		t.Errorf("the server has %q", got)
	}
}

// The sender takes its time to repeat what was lost, and sends it together with what came after it.
func TestLostSegmentArrivesHoweverLateItIsRepeated(t *testing.T) {
	d := newTalk(t, dnatFlow(), policy.Default()).login()
	d.c("PASV\r\n")
	d.s("227 x (10,0,1,66,39,136)\r\n")
	lost, next := "150 x\r\n", "226 y\r\n"
	had := len(d.got[toClient])
	for range 3 {
		d.packet(toClient, d.seq[toClient]+uint32(len(lost)), 0, []byte(next))
		d.now = d.now.Add(2 * time.Second)
		d.tick(toClient)
	}
	if got := d.got[toClient][had:]; len(got) > 0 {
		t.Fatalf("%q went on before what precedes it", got)
	}
	d.wantArrived("the repetition", d.s(lost+next), lost+next)
	d.wantArrived("what follows", d.s("200 z\r\n"), "200 z\r\n")
}

// While the queue was full a line passed by unseen. When the receiver, asked, says that it has
// it, the next one goes on.
func TestSegmentThatPassedUnseenIsNotWaitedForAnyLonger(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	unseen, next := "NOOP\r\n", "LIST\r\n"
	d.seq[toServer] += uint32(len(unseen))
	d.rcv[toServer] += uint32(len(unseen))
	d.wantArrived("what follows at first", d.c(next), "")
	d.seq[toServer] -= uint32(len(next))
	d.now = d.now.Add(3 * time.Second)
	d.tick(toServer)
	d.packet(toClient, d.seq[toClient], 0, nil) // the answer
	d.wantArrived("what follows", d.c(next), next)
}

func TestNothingIsWaitedForWhilePacketsPassUnseen(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	unseen, next := "NOOP\r\n", "LIST\r\n"
	pass := func() {
		d.seq[toServer] += uint32(len(unseen))
		d.rcv[toServer] += uint32(len(unseen))
	}
	pass()
	d.wantArrived("what waits", d.c(next), "")
	had := len(d.got[toServer])
	d.g.Unseen(true)
	d.release(toServer)
	d.wantArrived("what has waited", string(d.got[toServer][had:]), next)
	pass()
	d.wantArrived("what follows another that passed", d.c(next), next)
	d.g.Unseen(false)
	pass()
	d.wantArrived("what comes when it is over", d.c(next), "")
}

// An edited line that is lost must come again as it was, and what passed beside it has another offset.
func TestWhileAnEditIsOnItsWayTheReceiverIsAskedForWhatIsMissing(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	line, unseen := "PORT 10,0,13,222,39,136\r\n", "NOOP\r\n"
	start := d.seq[toServer]
	first := d.c(line)
	d.lose(toServer, first)
	d.g.Unseen(true)
	d.packet(toServer, d.seq[toServer]+uint32(len(unseen)), 0, []byte("LIST\r\n"))
	d.packet(toServer, start, 0, []byte(line))
	if got := string(d.got[toServer]); !strings.HasSuffix(got, first) {
		t.Errorf("the server has %q, want %q at its end", got, first)
	}
}

func TestRetransmissionWithOtherBordersGivesTheSameBytes(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	line := "PORT 10,0,13,222,39,136\r\n"
	start := d.seq[toServer]
	first := d.c(line)
	for from := range len(line) {
		d.lose(toServer, first)
		d.packet(toServer, start, 0, []byte(line[:from]))
		d.packet(toServer, start+uint32(from), 0, []byte(line[from:]))
		if !strings.HasSuffix(string(d.got[toServer]), first) {
			t.Fatalf("cut at %d the server has %q, first it was %q", from, d.got[toServer], first)
		}
	}
}
