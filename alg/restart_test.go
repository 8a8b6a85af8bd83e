package alg

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

func TestKilledGatewayIsTakenUpWhereItWas(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	d.restart()
	d.wantArrived("NOOP", d.c("NOOP\r\n"), "NOOP\r\n")
	d.wantArrived("its reply", d.s("200 ok\r\n"), "200 ok\r\n")
	d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,137\r\n"), "PORT 203,0,113,77,39,137\r\n")
	d.wantOpen("10.0.1.66>203.0.113.77:10121=10.0.13.222:10121")
}

func TestRetransmissionAfterARestartIsRewrittenAlike(t *testing.T) {
	for _, port := range []uint16{10120, 10121} {
		d := newTalk(t, snatFlow(), policy.Default()).login()
		d.k.taken[10121] = true
		line := fmt.Sprintf("EPRT |1|10.0.13.222|%d|\r\n", port)
		first := d.c(line)
		// It was lost behind the gateway, which died.
		d.lose(toServer, first)
		d.seq[toServer] -= uint32(len(line))
		d.restart()
		d.wantArrived("the repetition", d.c(line), first)
		d.wantArrived("what follows", d.c("LIST\r\n"), "LIST\r\n")
	}
	d := newTalk(t, dnatFlow(), policy.Default()).login()
	d.c("PASV\r\n")
	line := "227 x (10,0,1,66,39,136)\r\n"
	first := d.s(line)
	d.lose(toClient, first)
	d.seq[toClient] -= uint32(len(line))
	d.restart()
	d.wantArrived("the repetition", d.s(line), first)
	d.wantArrived("what follows", d.s("150 x\r\n"), "150 x\r\n")
}

// The server may speak first after a restart, whatever numbers the client counts with.
func TestRestartInOneDirectionLeavesTheOthersOffsetAlone(t *testing.T) {
	for isn := uint32(0); isn < 8; isn++ {
		d := newTalk(t, snatFlow(), policy.Default())
		d.seq[toServer] = isn << 29
		d.rcv[toServer] = isn << 29
		d.k.flow.State = conntrack.StateControl
		d.restart()
		d.packet(toClient, d.seq[toClient]-1, rewrite.SYN, nil)
		d.login()
		d.c("PORT 10,0,13,222,39,136\r\n")
		d.s("200 ok\r\n")
		want := d.k.flow.Seq[toServer]
		d.restart()
		d.s("226 done\r\n")
		if got := d.k.flow.Seq[toServer]; got != want {
			t.Errorf("with numbers from %d the kernel's offset became %+v, want %+v", isn<<29, got, want)
		}
	}
}

// Several edits are lost behind a gateway that then dies: its successor repeats them alike.
func TestSeveralLostEditsAreRepeatedAlikeAfterARestart(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	lines := []string{"PORT 10,0,13,222,39,136\r\n", "PORT 010,000,013,222,39,137\r\n", "NOOP\r\n",
		"PORT 10,0,13,222,39,138\r\n"}
	var first, all string
	for _, l := range lines {
		first += d.c(l)
		all += l
	}
	d.lose(toServer, first)
	start := d.seq[toServer] - uint32(len(all))
	d.restart()
	d.packet(toServer, start, 0, []byte(lines[0]))
	d.packet(toServer, start+uint32(len(lines[0])), 0, []byte(all[len(lines[0]):]))
	if got := string(d.got[toServer]); !strings.HasSuffix(got, first) {
		t.Errorf("the server has %q, want what the first gateway sent: %q", got, first)
	}
	d.wantArrived("what follows", d.c("LIST\r\n"), "LIST\r\n")
}

func TestNewConnectionWithTheSamePortsBeginsAnew(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.k.flow = snatFlow()
	d.k.expects = nil
	d.seq = [2]uint32{700, 900}
	d.rcv = d.seq
	d.k.flow.Opening = true
	d.packet(toClient, d.seq[toClient]-1, rewrite.SYN, nil)
	d.k.flow.Opening = false
	d.packet(toClient, d.seq[toClient]-1, rewrite.SYN, nil)
	d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,136\r\n"), "PORT xxxxxxxxxxxxxxxxxx\r\n")
	d.wantOpen()
	d.login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.wantOpen("10.0.1.66>203.0.113.77:10120=10.0.13.222:10120")
}

// The kernel's refusal is heard of when the packet has gone.
func TestRefusedUpdateIsMadeGoodWithTheNextPacket(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	var last conntrack.Update
	d.k.updated = func(u conntrack.Update) { last = u }
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	d.k.flow.State, d.k.flow.Flight = conntrack.StateControl, [2]conntrack.Flight{}
	label, failed := last, 0
	label.SetSeq = [2]bool{}
	d.g.OnKernelError = func(string, error) { failed++ }
	d.g.Refused(d.k.flow.Tuple[0], label, conntrack.ErrUnsupported)
	d.g.Refused(d.k.flow.Tuple[1], label, conntrack.ErrUnsupported) // nobody's
	last = conntrack.Update{}
	d.c("NOOP\r\n")
	if last.StateMask != ^conntrack.State(0) || failed != 1 {
		t.Errorf("after %d failures %+v is stored", failed, last)
	}
	d.g.Refused(d.k.flow.Tuple[0], conntrack.Update{SetSeq: [2]bool{true}}, conntrack.ErrUnsupported)
	d.k.flow.Seq = [2]conntrack.SeqAdj{}
	d.c("NOOP\r\n")
	if last.State&conntrack.StateBusy == 0 {
		t.Errorf("the kernel took no offset, and not all packets are seen: %+v", last)
	}
}

// The kernel's events come later than packets.
func TestEndOfAnEarlierConnectionWithTheSamePortsEndsNothing(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.k.flow.ID++
	d.g.Destroyed(d.k.flow.Tuple[0], d.k.flow.ID)
	if n := d.g.Stats.Sessions.Load(); n != 1 {
		t.Errorf("%d sessions", n)
	}
	d.k.flow.ID--
	d.k.gone = true
	d.g.Destroyed(d.k.flow.Tuple[0], d.k.flow.ID)
	if n := d.g.Stats.Sessions.Load(); n != 0 {
		t.Errorf("%d sessions after the end", n)
	}
}

// The kernel makes the number from where the entry is in its memory, which is where the last one was.
func TestEndOfAnEarlierConnectionWithTheSamePortsAndNumberEndsNothing(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.g.Destroyed(d.k.flow.Tuple[0], d.k.flow.ID)
	d.wantArrived("the reply", d.s("200 ok\r\n"), "200 ok\r\n")
	d.wantArrived("the next command", d.c("RETR a\r\n"), "RETR a\r\n")
	n, total := d.g.Stats.Sessions.Load(), d.g.Stats.SessionsTotal.Load()
	if len(d.k.expects) != 1 || n != 1 || total != 1 {
		t.Errorf("%d doors, %d sessions, %d since the start", len(d.k.expects), n, total)
	}
}

// A line that went by while no program was there is kept by the kernel where the next hop is not known, and
// repeated meanwhile. It arrives before what would be made of the repetition.
func TestLineThatWentByAndIsOnItsWayIsNotEditedWhenItIsRepeated(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n")
	d.restart()
	d.s("226 it has nothing of it yet\r\n")
	const line = "PORT 10,0,13,222,39,137\r\n"
	d.rcv[toServer] += uint32(len(line))
	d.wantArrived("the repetition", d.c(line), "")
	d.wantArrived("what follows", d.c("NOOP\r\n"), "NOOP\r\n")

	d = newTalk(t, dnatFlow(), policy.Default()).login()
	d.c("PASV\r\n")
	d.s("227 x (10,0,1,66,39,136)\r\n")
	d.restart()
	d.c("PASV\r\n")
	const reply = "227 x (10,0,1,66,39,137)\r\n"
	d.rcv[toClient] += uint32(len(reply))
	d.wantArrived("the repeated reply", d.s(reply), "")
	d.wantArrived("what follows", d.s("200 ok\r\n"), "200 ok\r\n")
}

func TestSessionWhoseBeginningWasSeenIsAskedForNothing(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default())
	d.k.flow.State = conntrack.StateControl
	d.restart()
	d.packet(toClient, d.seq[toClient]-1, rewrite.SYN, nil)
	d.s("220 ready\r\n")
	p := tcpPacket(d.k.flow.Tuple[toServer], d.seq[toServer], d.ackOf(toServer), rewrite.ACK, []byte("P"))
	if v, out := d.g.Handle(d.now, 1, p, false); v != Accept {
		t.Errorf("it is asked with %x", out)
	}
}

// A program that takes the packets over from another asks nobody for what that one let pass.
func TestSuccessorEditsTheFirstLineAtOnce(t *testing.T) {
	for _, succeeds := range []bool{false, true} {
		d := newTalk(t, snatFlow(), policy.Default()).login()
		d.c("PORT 10,0,13,222,39,136\r\n")
		d.s("200 ok\r\n")
		d.restart()
		d.g.Succeeds = succeeds
		d.s("226 done\r\n")
		p := tcpPacket(d.k.flow.Tuple[toServer], d.seq[toServer], d.ackOf(toServer), rewrite.ACK,
			[]byte("PORT 10,0,13,222,39,137\r\n"))
		if _, out := d.g.Handle(d.now, 1, p, false); strings.Contains(string(out), "PORT 203,") != succeeds {
			t.Errorf("succeeds %v: it goes on as %q", succeeds, out)
		}
	}
}
