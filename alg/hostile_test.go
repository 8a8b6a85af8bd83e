package alg

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
	"github.com/ftpalg/ftpalg/test/sim"
)

// fill sends more new data than is remembered, until the gateway takes no more.
func (w *twoEnds) fill(dir conntrack.Dir) {
	line := bytes.Repeat([]byte("200-"+strings.Repeat("a", 94)+"\r\n"), 14)
	for range 52 {
		w.send(dir, line)
	}
}

// catchUp has the sender of a direction repeat from what its receiver lacks, until that has everything.
func (w *twoEnds) catchUp(dir conntrack.Dir, offset int) {
	s := &w.side[dir]
	for round := 0; len(s.got) < len(s.sent)+offset; round++ {
		if round > 500 {
			w.t.Fatalf("the receiver stalls at %d of %d", len(s.got), len(s.sent)+offset)
		}
		w.repeat(dir, max(0, len(s.got)-offset), 1400)
		w.ack(dir)
		w.tick()
	}
}

func TestLostRewrittenReplyComesAgainBehindMuchUnacknowledged(t *testing.T) {
	w := newTwoEnds(t, dnatFlow(), policy.Default()).login()
	w.say(toServer, "PASV\r\n")
	was := len(w.side[toClient].got)
	w.lose = 1
	w.send(toClient, []byte("227 x (10,0,1,66,39,136)\r\n"))
	w.fill(toClient)
	s := &w.side[toClient]
	w.repeat(toClient, was, 26)
	w.ack(toClient)
	const want = "227 x (198,51,100,1,39,136)\r\n"
	if got := string(s.got[was:min(len(s.got), was+len(want))]); got != want {
		t.Fatalf("the repetition arrived as %q, want %q", got, want)
	}
	w.catchUp(toClient, len(want)-26)
	if got := string(s.got[was+len(want):]); got != string(s.sent[was+26:]) {
		t.Errorf("what followed arrived otherwise than it was sent")
	}
}

func TestRefusedCommandDoesNotComeUnderOldNumbers(t *testing.T) {
	p := policy.Default()
	p.Strict.Deny = []string{"DELE"}
	w := newTwoEnds(t, snatFlow(), p).login()
	at := w.side[toServer].nxt
	w.lose = 100 // the server takes nothing
	w.send(toServer, []byte("NOOP  a\r\n"))
	for range 52 {
		w.send(toServer, bytes.Repeat([]byte("NOOP\r\n"), 230))
	}
	w.lose = 0
	w.segment(toServer, sim.Segment{Seq: at, Data: []byte("DELE  a\r\n")})
	if got := string(w.side[toServer].got); strings.Contains(got, "DELE") {
		t.Errorf("the server got %q", got)
	}
}

// Segments that both ends answer with a challenge, or keep for later, end nothing.
func TestSegmentThatEndsNothingLeavesTheDoorOpen(t *testing.T) {
	for name, s := range map[string]sim.Segment{
		"a reset in the window":      {Seq: 100, Flags: rewrite.RST},
		"a reset behind the window":  {Seq: 1 << 20, Flags: rewrite.RST},
		"an old reset":               {Seq: 0xfffffff0, Flags: rewrite.RST},
		"a FIN out of order":         {Seq: 100, Flags: rewrite.FIN},
		"a SYN/ACK in the middle":    {Seq: 0, Flags: rewrite.SYN},
		"a SYN/ACK of other numbers": {Seq: 5000, Flags: rewrite.SYN},
	} {
		for _, dir := range []conntrack.Dir{toServer, toClient} {
			w := newTwoEnds(t, snatFlow(), policy.Default()).login()
			w.say(toServer, "PORT 10,0,13,222,39,136\r\n")
			s := s
			s.Seq += w.side[dir].nxt
			w.segment(dir, s)
			if len(w.k.expects) != 1 {
				t.Errorf("%s (%v) leaves %d doors open, want 1", name, dir, len(w.k.expects))
			}
			w.say(toClient, "200 ok\r\n")
			w.say(toServer, "PORT 10,0,13,222,39,137\r\n")
			if n := len(w.k.expects); n != 1 || w.k.expects[0].Target.Port() != 10121 {
				t.Errorf("after %s (%v) the next PORT leaves open %v", name, dir, w.k.expects)
			}
		}
	}
}
