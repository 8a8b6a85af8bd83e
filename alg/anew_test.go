package alg

import (
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
	"github.com/ftpalg/ftpalg/test/sim"
)

// A SYN/ACK of other numbers begins nothing once the handshake is over, be it before the first byte, in the
// middle of the greeting, or behind it.
func TestSYNACKAfterTheHandshakeBeginsNothing(t *testing.T) {
	const greeting = "220-hello\r\n220 ready\r\n"
	for _, said := range []int{0, 2, 11, len(greeting)} {
		for _, away := range []uint32{1, 1 << 10, 1 << 30, 1<<32 - 1<<10} {
			w := newTwoEnds(t, snatFlow(), policy.Default())
			w.say(toClient, greeting[:said])
			at := w.side[toClient].nxt + away
			w.segment(toClient, sim.Segment{Seq: at, Ack: away, Flags: rewrite.SYN})
			if n := w.g.Stats.HalfOpen.Load(); n != 1 {
				t.Errorf("behind %d bytes: %d handshakes are counted, want 1", said, n)
			}
			w.say(toClient, greeting[said:])
			w.say(toServer, "USER a\r\n")
			w.say(toClient, "230 in\r\n")
			w.say(toServer, "PORT 10,0,13,222,39,136\r\n")
			if s := w.g.table.find(w.k.flow.Tuple[0]); !s.begun || len(w.k.expects) != 1 {
				t.Errorf("behind %d bytes, %d away: open is %v", said, away, w.k.expects)
			}
		}
	}
}

// A server that keeps no record of those who connect answers each SYN with other numbers; the client takes
// the first that comes.
func TestServerThatAnswersTwiceWithOtherNumbers(t *testing.T) {
	for _, away := range []uint32{1 << 24, 3 << 30} {
		for _, second := range []bool{false, true} { // is what the client takes
			d := newTalk(t, snatFlow(), policy.Default())
			d.k.flow.Opening = true
			first := d.seq[toClient]
			d.packet(toClient, first+away-1, rewrite.SYN, nil)
			d.k.flow.Opening = false
			if second {
				d.seq[toClient] += away
				d.rcv[toClient] += away
			}
			d.login().c("PORT 10,0,13,222,39,136\r\n")
			d.wantOpen("10.0.1.66>203.0.113.77:10120=10.0.13.222:10120")
		}
	}
}

// The kernel goes on with the entry of a connection that both ends have forgotten.
func TestConnectionInAnEntryThatIsThereBeginsAnew(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	if d.k.flow.Seq == [2]conntrack.SeqAdj{} {
		t.Fatal("the kernel has no offset, the test proves nothing")
	}
	d.k.flow.Opening = true
	d.seq = [2]uint32{700, 900}
	d.rcv = d.seq
	d.packet(toClient, d.seq[toClient]-1, rewrite.SYN, nil)
	d.k.flow.Opening = false
	d.wantOpen()
	if f := d.k.flow; f.State != conntrack.StateControl || f.Seq != [2]conntrack.SeqAdj{} {
		t.Errorf("the kernel still has the state %b and the offsets %+v", f.State, f.Seq)
	}
	d.s("220 ready\r\n")
	d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,136\r\n"), "PORT xxxxxxxxxxxxxxxxxx\r\n")
	d.s("530 no\r\n")
	d.c("USER joe\r\n")
	d.s("230 in\r\n")
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.wantOpen("10.0.1.66>203.0.113.77:10120=10.0.13.222:10120")
}
