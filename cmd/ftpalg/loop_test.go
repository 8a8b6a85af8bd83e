package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/metrics"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

// The client 10.0.13.222 dials 10.0.1.66 through source NAT to 203.0.113.1.
var (
	clientAddr  = netip.MustParseAddrPort("10.0.13.222:40000")
	serverAddr  = netip.MustParseAddrPort("10.0.1.66:21")
	outsideAddr = netip.MustParseAddrPort("203.0.113.1:40000")
)

// oneFlow is a kernel with one control connection, which is logged in.
type oneFlow struct{ flow conntrack.Flow }

func newFlow() *oneFlow {
	return &oneFlow{conntrack.Flow{
		Tuple: [2]conntrack.Tuple{{Src: clientAddr, Dst: serverAddr}, {Src: serverAddr, Dst: outsideAddr}},
		SNAT:  true, Helper: "test", HasState: true, HasSeq: true,
		State: conntrack.StateControl | conntrack.State(dialogue.Greeted|dialogue.LoggedIn),
	}}
}

func (k *oneFlow) Flow(conntrack.Tuple) (conntrack.Flow, error)   { return k.flow, nil }
func (k *oneFlow) Update(conntrack.Tuple, conntrack.Update) error { return nil }
func (k *oneFlow) Expect(*conntrack.Expectation) error            { return nil }
func (k *oneFlow) Withdraw(conntrack.Expectation) error           { return nil }

// command makes a packet of the client with sequence number seq.
func command(t testing.TB, seq uint32, text string) []byte {
	return packet(t, clientAddr, serverAddr, seq, 1, text)
}

func packet(t testing.TB, from, to netip.AddrPort, seq, ack uint32, text string) []byte {
	t.Helper()
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP,
		SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(),
	}
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()),
		Seq: seq, Ack: ack, ACK: true, Window: 1000,
	}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	whole := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, whole, ip, tcp, gopacket.Payload(text)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// answer is a verdict that was given.
type answer struct {
	id      uint32
	v       nfqueue.Verdict
	payload string // of TCP, if the packet was replaced
}

// batchOrError is what one Receive returns.
type batchOrError struct {
	packets [][]byte
	err     error
	full    bool // packets passed unseen
}

// fakeQueue gives its batches, numbering packets from 1, and then only deadlines.
type fakeQueue struct {
	batches []batchOrError
	lastID  uint32
	answers []answer
	refuse  error // of verdicts with a payload
	flushed int   // answers that were sent
	sends   int   // datagrams of answers
	lost    uint64
	full    bool   // when the last batch was received
	tells   int    // how often it was asked for the entries of packets
	sending func() // is called before answers are sent
}

func (q *fakeQueue) SetDeadline(time.Time) error { return nil }
func (q *fakeQueue) Wake() error                 { return nil }
func (q *fakeQueue) Lost() uint64                { return q.lost }
func (q *fakeQueue) WasFull() bool               { return q.full }
func (q *fakeQueue) More() bool                  { return false }
func (q *fakeQueue) TellEntries()                { q.tells++ }

func (q *fakeQueue) Flush() error {
	if len(q.answers) > q.flushed {
		if q.sending != nil {
			q.sending()
		}
		q.flushed = len(q.answers)
		q.sends++
	}
	return nil
}

func (q *fakeQueue) Receive(pkts []nfqueue.Packet) (int, error) {
	if len(q.batches) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	b := q.batches[0]
	q.batches, q.full = q.batches[1:], b.full
	for i, p := range b.packets {
		q.lastID++
		pkts[i] = nfqueue.Packet{ID: q.lastID, Payload: p}
	}
	return len(b.packets), b.err
}

func (q *fakeQueue) Verdict(id uint32, v nfqueue.Verdict, payload []byte) error {
	if payload != nil && q.refuse != nil {
		return q.refuse
	}
	text := ""
	if payload != nil {
		text = string(payload[40:])
	}
	q.answers = append(q.answers, answer{id, v, text})
	return nil
}

// testLoop returns a loop whose gateway has heard from the server what it has of the client.
func testLoop(t testing.TB, q packetQueue, log io.Writer) *loop {
	g := alg.New(newFlow(), policy.Default())
	g.Succeeds = true // it need not ask the server once more
	g.Handle(time.Now(), 0, packet(t, serverAddr, outsideAddr, 1, startSeq, ""), false)
	j := newJournal(log, false, slog.LevelInfo)
	g.OnOpened, g.OnRefused, g.OnKernelError = j.opened, j.refused, j.kernelError
	l := newLoop()
	l.gateway, l.queue, l.packets, l.journal = g, q, make([]nfqueue.Packet, batch), j
	l.latency = &metrics.Latency{}
	l.overruns, l.lost = &atomic.Uint64{}, &atomic.Uint64{}
	return l
}

// rounds lets the loop handle all batches.
func rounds(t *testing.T, l *loop, q *fakeQueue) {
	t.Helper()
	for len(q.batches) > 0 {
		if _, err := l.round(); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	port     = "PORT 10,0,13,222,39,136\r\n"
	portOut  = "PORT 203,0,113,1,39,136\r\n"
	noop     = "NOOP\r\n"
	startSeq = 1000
)

func TestLoopAnswersEachPacket(t *testing.T) {
	for _, c := range []struct {
		name    string
		batches []batchOrError
		want    []answer
	}{
		{"as it is",
			[]batchOrError{{packets: [][]byte{command(t, startSeq, noop)}}},
			[]answer{{1, nfqueue.Accept, ""}}},
		{"not TCP", []batchOrError{{packets: [][]byte{[]byte("x")}}}, []answer{{1, nfqueue.Accept, ""}}},
		{"rewritten",
			[]batchOrError{{packets: [][]byte{command(t, startSeq, port)}}},
			[]answer{{1, nfqueue.Accept, portOut}}},
		{"held until its predecessor comes",
			[]batchOrError{
				{packets: [][]byte{command(t, startSeq, noop), command(t, startSeq+6+8, port)}},
				{packets: [][]byte{command(t, startSeq+6, "TYPE I\r\n")}},
			},
			[]answer{{1, nfqueue.Accept, ""}, {3, nfqueue.Accept, ""}, {2, nfqueue.Accept, portOut}}},
		{"held until the queue is full", []batchOrError{
			{packets: [][]byte{command(t, startSeq+6+8, noop), command(t, startSeq+6, "TYPE I\r\n")}},
			{full: true}, {packets: [][]byte{command(t, startSeq+6+8+6, port)}}},
			[]answer{{2, nfqueue.Accept, ""}, {1, nfqueue.Accept, ""}, {3, nfqueue.Accept, portOut}}},
		{"a batch with an overrun, and the next", []batchOrError{
			{err: nfqueue.ErrOverrun}, {packets: [][]byte{command(t, startSeq, port)}}},
			[]answer{{1, nfqueue.Accept, portOut}}},
		{"a deadline, and the next", []batchOrError{
			{err: os.ErrDeadlineExceeded}, {packets: [][]byte{command(t, startSeq, noop)}}},
			[]answer{{1, nfqueue.Accept, ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := &fakeQueue{batches: c.batches}
			rounds(t, testLoop(t, q, io.Discard), q)
			if len(q.answers) != len(c.want) {
				t.Fatalf("answers %+v, want %+v", q.answers, c.want)
			}
			for i, a := range q.answers {
				if a != c.want[i] {
					t.Errorf("answer %d: %+v, want %+v", i, a, c.want[i])
				}
			}
		})
	}
}

func TestOverrunsAreCounted(t *testing.T) {
	q := &fakeQueue{batches: []batchOrError{{err: nfqueue.ErrOverrun}, {err: nfqueue.ErrOverrun}}}
	l := testLoop(t, q, io.Discard)
	rounds(t, l, q)
	if n := l.overruns.Load(); n != 2 {
		t.Errorf("counted %d", n)
	}
}

func TestBrokenQueueEndsTheLoop(t *testing.T) {
	broken := errors.New("broken")
	q := &fakeQueue{batches: []batchOrError{{err: broken}}}
	if _, err := testLoop(t, q, io.Discard).round(); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestVerdictThatCannotBeGivenDropsThePacket(t *testing.T) {
	var log bytes.Buffer
	q := &fakeQueue{
		batches: []batchOrError{{packets: [][]byte{command(t, startSeq, port)}}},
		refuse:  errors.New("message too long"),
	}
	rounds(t, testLoop(t, q, &log), q)
	if len(q.answers) != 1 || q.answers[0] != (answer{1, nfqueue.Drop, ""}) {
		t.Errorf("answers %v", q.answers)
	}
	if !strings.Contains(log.String(), `msg="kernel error" doing="give a verdict" error="message too long"`) {
		t.Error(log.String())
	}
}

// endless gives the same packet again and again, as a sender does that hears no acknowledgement.
type endless struct{ p nfqueue.Packet }

func (q *endless) SetDeadline(time.Time) error                   { return nil }
func (q *endless) Receive(pkts []nfqueue.Packet) (int, error)    { pkts[0] = q.p; return 1, nil }
func (q *endless) Verdict(uint32, nfqueue.Verdict, []byte) error { return nil }
func (q *endless) Flush() error                                  { return nil }
func (q *endless) Wake() error                                   { return nil }
func (q *endless) Lost() uint64                                  { return 0 }
func (q *endless) WasFull() bool                                 { return false }
func (q *endless) More() bool                                    { return false }
func (q *endless) TellEntries()                                  {}

func TestLoopAllocatesNothingForAPacket(t *testing.T) {
	l := testLoop(t, &endless{nfqueue.Packet{ID: 1, Payload: command(t, startSeq, noop)}}, io.Discard)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := l.round(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// writes counts how often it is written to.
type writes struct{ n, bytes int }

func (w *writes) Write(b []byte) (int, error) {
	w.n++
	w.bytes += len(b)
	return len(b), nil
}

func TestRoundIsOneDatagramAndOneWriteOfTheLog(t *testing.T) {
	q, w := &fakeQueue{}, &writes{}
	var ps [][]byte
	for i := range uint32(3) {
		ps = append(ps, command(t, startSeq+i*uint32(len(port)), port))
	}
	q.batches = []batchOrError{{packets: ps}}
	rounds(t, testLoop(t, q, w), q)
	if len(q.answers) != 3 || q.sends != 1 {
		t.Errorf("%d datagrams with %d verdicts", q.sends, len(q.answers))
	}
	if w.n != 1 || w.bytes < 300 {
		t.Errorf("the log was written %d times, %d bytes", w.n, w.bytes)
	}
}

func TestThousandNOOPsAreOneDatagramARound(t *testing.T) {
	q := &fakeQueue{}
	for at := uint32(0); at < 1000; at += batch {
		var ps [][]byte
		for i := at; i < min(at+batch, 1000); i++ {
			ps = append(ps, command(t, startSeq+i*uint32(len(noop)), noop))
		}
		q.batches = append(q.batches, batchOrError{packets: ps})
	}
	want := len(q.batches)
	rounds(t, testLoop(t, q, io.Discard), q)
	if len(q.answers) != 1000 || q.flushed != 1000 || q.sends != want {
		t.Errorf("%d datagrams with %d of %d verdicts, want %d", q.sends, q.flushed, len(q.answers), want)
	}
}

func TestLostPacketsAreCountedOnce(t *testing.T) {
	q := &fakeQueue{batches: []batchOrError{{err: os.ErrDeadlineExceeded}}, lost: 3}
	l := testLoop(t, q, io.Discard)
	l.lost.Store(10) // of another loop
	for range 2 {
		if _, err := l.round(); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.lost.Load(); n != 13 {
		t.Errorf("counted %d", n)
	}
}

func TestQueueIsAskedForEntriesOnceAnotherProgramWritesThem(t *testing.T) {
	q := &fakeQueue{batches: make([]batchOrError, 3)}
	l := testLoop(t, q, io.Discard)
	turn := func() {
		if _, err := l.round(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if turn(); q.tells != 0 {
		t.Error("it is asked before")
	}
	l.gateway.Changed(time.Now(), conntrack.Tuple{Src: clientAddr, Dst: serverAddr})
	turn()
	if turn(); q.tells != 1 {
		t.Errorf("it is asked %d times, want once", q.tells)
	}
}
