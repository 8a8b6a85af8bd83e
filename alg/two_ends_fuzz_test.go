package alg

import (
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
	"github.com/ftpalg/ftpalg/test/sim"
)

// Input of the fuzz test: steps of three bytes. The first is what happens (bits 0 to 3) and the direction
// (bit 4), the others are x and y.
const (
	opSay    = iota // line x, new, and its receiver acknowledges
	opSend          // x bytes of line y, new
	opRepeat        // y bytes from x before the next new one
	opOther         // line y under a number x away from the next new one
	opFlag          // RST, FIN or SYN (y) with a number x away
	opAck           // the receiver says what it has
	opLie           // it says x more or less than that
	opLose          // the next x packets that leave are lost
	opTick          // a second passes
	opFill          // more than is remembered is sent
	opCount
)

// linesToSay are what is said; the first five log in.
var linesToSay = []string{
	"220 hi\r\n", "USER a\r\n", "331 pw\r\n", "PASS b\r\n", "230 in\r\n",
	"PORT 10,0,13,222,39,136\r\n", "EPRT |1|10.0.13.222|10137|\r\n", "PASV\r\n", "EPSV\r\n",
	"227 x (10,0,1,66,39,138)\r\n", "229 x (|||10139|)\r\n", "200 ok\r\n", "NOOP  a\r\n", "DELE  a\r\n",
	"227 y (10,0,1,66,4,1)\r\nPORT 10,0,13,222,4,2\r\n", "STOR PORT 10,0,13,222,39,140\r\n",
	"150-x\r\n226 y\r\n150 z\r\n", "CWD a\nPORT 10,0,13,222,39,141\r\n", "AUTH TLS\r\n",
	"234 x\r\n", "REIN\r\n",
}

const fromS = 1 << 4 // the direction bit of a step

// afterLogin are the steps of a login, with others behind them.
func afterLogin(steps ...byte) []byte {
	in := []byte{opSay | fromS, 0, 0, opSay, 1, 0, opSay | fromS, 2, 0, opSay, 3, 0, opSay | fromS, 4, 0}
	return append(in, steps...)
}

func FuzzTwoEnds(f *testing.F) {
	f.Add(afterLogin(opSay, 5, 0, opSay|fromS, 11, 0, opSay, 7, 0, opSay|fromS, 9, 0))
	// A 227 is lost, and comes again when no more is remembered.
	f.Add(afterLogin(opSay, 7, 0, opLose, 1, 0, opSend|fromS, 26, 9, opFill|fromS, 0, 0,
		opRepeat|fromS, 255, 255, opAck|fromS, 0, 0))
	// A NOOP is lost, and under its numbers comes a DELE.
	f.Add(afterLogin(opLose, 1, 0, opSend, 9, 12, opOther, 256-9, 13, opFill, 0, 0, opOther, 256-9, 13))
	// Flags that end nothing.
	for flag := range byte(3) {
		f.Add(afterLogin(opSay, 5, 0, opFlag, 100, flag, opFlag|fromS, 100, flag,
			opSay|fromS, 11, 0, opSay, 6, 0))
	}
	// An acknowledgement of what was never sent, and a command in pieces around other content.
	f.Add(afterLogin(opLie|fromS, 50, 0, opLie, 50, 0, opSay, 5, 0, opTick, 0, 0))
	f.Add(afterLogin(opSend, 7, 5, opOther, 256-3, 6, opOther, 20, 5, opSend, 20, 6,
		opTick, 0, 0, opRepeat, 30, 30))
	f.Add([]byte{opSay, 5, 0, opSay | fromS, 9, 0})
	f.Fuzz(func(t *testing.T, input []byte) {
		strict := policy.Default()
		strict.Strict.Deny = []string{"DELE"}
		for _, flow := range []conntrack.Flow{firewallFlow(), snatFlow(), dnatFlow()} {
			playTwoEnds(t, flow, strict, input)
		}
	})
}

// playTwoEnds has happen what the input says.
func playTwoEnds(t *testing.T, flow conntrack.Flow, p policy.Policy, input []byte) {
	w := newTwoEnds(t, flow, p)
	o := &oracle{
		allowed: map[string]bool{}, client: clientIn.Addr().String(), server: serverAddr.Addr().String(),
	}
	w.read = o.feed
	fills := 0
	const steps = 200
	for input = input[:min(len(input), 3*steps)]; len(input) >= 3; input = input[3:] {
		op, dir := input[0]&15%opCount, conntrack.Dir(input[0]>>4&1)
		if op == opFill {
			if fills++; fills > 1 {
				continue
			}
		}
		w.play(op, dir, input[1], input[2])
	}
	for _, e := range w.k.made {
		who := "passive "
		if e.Dir == conntrack.Reply {
			who = "active "
		}
		if !o.allowed[who+e.Target.String()] {
			t.Fatalf("%s%v was opened, there is a reason only for %v", who, e.Target, o.allowed)
		}
	}
}

// play is one step.
func (w *twoEnds) play(op byte, dir conntrack.Dir, x, y byte) {
	s := &w.side[dir]
	away := uint32(int32(int8(x)))
	switch op {
	case opSay:
		w.say(dir, linesToSay[int(x)%len(linesToSay)])
	case opSend:
		line := linesToSay[int(y)%len(linesToSay)]
		w.send(dir, []byte(line[:min(len(line), int(x))]))
	case opRepeat:
		w.repeat(dir, max(0, len(s.sent)-int(x)), int(y))
	case opOther:
		w.other(dir, s.nxt+away, []byte(linesToSay[int(y)%len(linesToSay)]))
	case opFlag:
		flags := []byte{rewrite.RST, rewrite.FIN, rewrite.SYN}[y%3]
		w.segment(dir, sim.Segment{Seq: s.nxt + away, Flags: flags})
	case opAck:
		w.ack(dir)
	case opLie:
		w.segment(dir.Opposite(), sim.Segment{Seq: w.side[1-dir].nxt, Ack: away})
	case opLose:
		w.lose = int(x)
	case opTick:
		w.tick()
	case opFill:
		w.fill(dir)
	}
}

// other sends data that nobody said under the number seq. Where the gateway may take only a part of it, for
// want of room, it ends at what is known: from outside one cannot tell how much it took.
func (w *twoEnds) other(dir conntrack.Dir, seq uint32, data []byte) {
	s := &w.side[dir]
	known := int(int32(s.edge - seq))
	if int32(s.end-s.acked) > 32<<10 && known > 0 && known < len(data) {
		data = data[:known]
	}
	w.segment(dir, sim.Segment{Seq: seq, Data: data})
}
