package nfqueue

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

func TestGapsOfIDsAreLostPackets(t *testing.T) {
	q := &Queue{}
	for _, c := range []struct {
		id   uint32
		lost uint64
		full bool
	}{
		{1, 0, false}, {2, 0, false}, {5, 2, true}, {6, 2, false}, {6, 2, false},
		{3, 2, false}, {4, 2, false}, {10, 7, true},
	} {
		q.noteID(c.id)
		if full := q.WasFull(); q.Lost() != c.lost || full != c.full {
			t.Errorf("after packet %d: %d lost, full %v; want %d, %v", c.id, q.Lost(), full, c.lost, c.full)
		}
	}
}

func TestIDsGoOnFromZeroAfterTheLast(t *testing.T) {
	q := &Queue{}
	q.pressure.last = 1<<32 - 2
	for _, id := range []uint32{1<<32 - 1, 0, 1} {
		q.noteID(id)
	}
	if q.Lost() != 0 || q.WasFull() {
		t.Errorf("%d lost", q.Lost())
	}
}

// TestFullQueueIsToldUntilItsEndIsRead has a queue of 100 of which 32 were read since it
// was looked at; the packet with id 91 was queued last.
func TestFullQueueIsToldUntilItsEndIsRead(t *testing.T) {
	q := &Queue{queue: 7}
	table := func(waiting, last int) *bytes.Reader {
		const line = "    7   1234 %5d 2 65531     0     0 %8d  1\n"
		return bytes.NewReader(fmt.Appendf(nil, line, waiting, last))
	}
	q.pressure = pressure{buf: make([]byte, 4096), maxLen: 100, table: table(67, 91)}
	full := func(rounds int) bool {
		for range rounds {
			q.pressure.noteBatch(7, 2, 2)
		}
		return q.WasFull()
	}
	q.noteID(1)
	if full(sampleRounds) {
		t.Error("67 waiting and 32 just read are fewer than 100")
	}
	q.pressure.table = table(68, 91)
	if full(sampleRounds - 1) {
		t.Error("it was asked too early")
	}
	q.pressure.noteBatch(7, 1, 2)
	if full(sampleRounds - 1) {
		t.Error("it was asked though a batch was not full")
	}
	if !full(1) || !q.WasFull() {
		t.Error("a full queue was not told")
	}
	for id := uint32(2); id <= 92; id++ {
		q.noteID(id)
		if !q.WasFull() {
			t.Fatalf("not told at packet %d", id)
		}
	}
	if q.noteID(93); q.WasFull() {
		t.Error("told after it was over")
	}
}

func TestSamplingDoesNotAllocate(t *testing.T) {
	table := bytes.NewReader([]byte("    7 1 2 2 65531 0 0 9  1\n"))
	p := pressure{buf: make([]byte, 4096), maxLen: 100, table: table}
	if n := testing.AllocsPerRun(100, func() { p.sample(7, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestKernelTellsThatTheQueueWasFull(t *testing.T) {
	ns := queued(t)
	from, _ := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue, MaxLen: 40, Batch: 2})
	send := func(n int) {
		for range n {
			if _, err := from.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(30)
	if n, _ := serve(t, q, 100*time.Millisecond); n != 30 || q.WasFull() {
		t.Errorf("%d packets, and the queue is said to have been full", n)
	}
	send(60)
	if n, _ := serve(t, q, 100*time.Millisecond); n != 40 || !q.WasFull() {
		t.Errorf("%d packets, and the queue is not said to have been full", n)
	}
	send(2)
	if n, _ := serve(t, q, 100*time.Millisecond); n != 2 || !q.WasFull() || q.WasFull() || q.Lost() != 0 {
		t.Errorf("%d packets, %d lost", n, q.Lost())
	}
}
