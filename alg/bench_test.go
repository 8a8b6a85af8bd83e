package alg

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/rewrite"
)

// steady is a session in which packets can be handled over and over.
type steady struct {
	d       *talk
	payload []byte // a command, again and again with new sequence numbers
	seq     uint32
}

func newSteady(t testing.TB) *steady {
	s := &steady{d: newTalk(t, snatFlow(), policy.Default()).login()}
	s.d.g.OnOpened, s.d.g.OnRefused = nil, nil
	s.payload = []byte("NOOP\r\n")
	s.seq = s.d.seq[toServer]
	s.d.now = time.Now() // as in the program: its clock is monotonic
	return s
}

// noop is a command and its acknowledgement by a reply, without any edit.
func (s *steady) noop(pkt, answer []byte) {
	g := s.d.g
	put32(pkt[24:], s.seq)
	put32(pkt[28:], s.d.seq[toClient]) // it has the reply before
	g.Handle(s.d.now, 1, pkt, false)
	s.seq += uint32(len(s.payload))
	put32(answer[24:], s.d.seq[toClient])
	put32(answer[28:], s.seq)
	g.Handle(s.d.now, 2, answer, false)
	s.d.seq[toClient] += 8
}

func put32(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
}

func (s *steady) packets() (pkt, answer []byte) {
	f := s.d.k.flow
	return tcpPacket(f.Tuple[toServer], s.seq, s.d.seq[toClient], rewrite.ACK, s.payload),
		tcpPacket(f.Tuple[toClient], s.d.seq[toClient], s.seq, rewrite.ACK, []byte("200 ok\r\n"))
}

// inFlight leaves a PORT unacknowledged and returns a pure ACK from the server to translate.
func (s *steady) inFlight() []byte {
	s.d.c("PORT 10,0,13,222,39,136\r\n")
	return tcpPacket(s.d.k.flow.Tuple[toClient], s.d.seq[toClient], s.d.rcv[toServer]-3, rewrite.ACK, nil)
}

func TestPayloadWithoutEditAndACKAllocateNothing(t *testing.T) {
	s := newSteady(t)
	pkt, answer := s.packets()
	if n := testing.AllocsPerRun(1000, func() { s.noop(pkt, answer) }); n != 0 {
		t.Errorf("a command and its reply allocate %v times", n)
	}
	s = newSteady(t)
	ack := s.inFlight()
	if v, _ := s.d.g.Handle(s.d.now, 1, ack, false); v != Rewrite {
		t.Fatalf("the ACK is not translated: %v", v)
	}
	if n := testing.AllocsPerRun(1000, func() { s.d.g.Handle(s.d.now, 1, ack, false) }); n != 0 {
		t.Errorf("an ACK to translate allocates %v times", n)
	}
}

// Two packets an operation.
func BenchmarkPayloadWithoutEdit(b *testing.B) {
	s := newSteady(b)
	pkt, answer := s.packets()
	b.ReportAllocs()
	for b.Loop() {
		s.noop(pkt, answer)
	}
}

// A PORT that grows, its ACK and the server's reply.
func BenchmarkEdit(b *testing.B) {
	s := newSteady(b)
	p := policy.Default()
	p.Limits = policy.Limits{}
	s.d.g.SetPolicy(p)
	s.payload = []byte("PORT 10,0,13,222,39,136\r\n")
	g, f := s.d.g, s.d.k.flow
	pkt := tcpPacket(f.Tuple[toServer], s.seq, s.d.seq[toClient], rewrite.ACK, s.payload)
	answer := tcpPacket(f.Tuple[toClient], s.d.seq[toClient], s.seq, rewrite.ACK, []byte("200 ok\r\n"))
	final := s.seq
	b.ReportAllocs()
	for b.Loop() {
		s.d.k.expects = s.d.k.expects[:0]
		put32(pkt[24:], s.seq)
		if v, _ := g.Handle(s.d.now, 1, pkt, false); v != Rewrite {
			b.Fatal(v)
		}
		s.seq += uint32(len(s.payload))
		final += uint32(len(s.payload)) + 1
		put32(answer[24:], s.d.seq[toClient])
		put32(answer[28:], final)
		g.Handle(s.d.now, 2, answer, false)
		s.d.seq[toClient] += 8
	}
}

func BenchmarkACKToTranslate(b *testing.B) {
	s := newSteady(b)
	ack := s.inFlight()
	b.ReportAllocs()
	for b.Loop() {
		s.d.g.Handle(s.d.now, 1, ack, false)
	}
}
