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
