package nfqueue

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
)

// waitingPackets is what the kernel has of a queue: the packets without a verdict, in the order of their ids.
type waitingPackets struct {
	ids      []uint32
	became   map[uint32]string
	messages int
}

// take does what nfqnl_recv_verdict and nfqnl_recv_verdict_batch in net/netfilter/nfnetlink_queue.c do.
func (w *waitingPackets) take(b []byte) {
	for len(b) > 0 {
		size := int(binary.NativeEndian.Uint32(b))
		msg := b[:size]
		b = b[nlread.Aligned(size):]
		w.messages++
		id, what := verdictID(msg), "accepted"
		if binary.BigEndian.Uint32(msg[messageStart+4:]) == 0 {
			what = "dropped"
		}
		if size > verdictRoom {
			what = "replaced"
		}
		until := binary.NativeEndian.Uint16(msg[4:]) == msgVerdicts
		w.ids = slices.DeleteFunc(w.ids, func(waits uint32) bool {
			if waits != id && !(until && int32(waits-id) <= 0) {
				return false
			}
			w.became[waits] = what
			return true
		})
	}
}

const rounds = 100

// trial has packets come, wait and get verdicts at random. One in so many is held, or edited.
type trial struct {
	*rand.Rand
	t            *testing.T
	q            *Queue
	kernel       *net.UnixConn
	holds, edits int // 0: none
	next         uint32
	waits        waitingPackets
	want         map[uint32]string
	held         []uint32
}

func newTrial(t *testing.T, seed uint64, holds, edits int) *trial {
	q, kernel := pair(t)
	return &trial{
		Rand: rand.New(rand.NewPCG(seed, 1)), t: t, q: q, kernel: kernel, holds: holds, edits: edits,
		next:  ^uint32(200), // the ids go on from 0 soon
		waits: waitingPackets{became: map[uint32]string{}}, want: map[uint32]string{},
	}
}

// come has some packets come.
func (r *trial) come() {
	for range 1 + r.IntN(8) {
		if r.next++; r.IntN(20) == 0 {
			r.next++ // one that the kernel could not give out
		}
		if _, err := r.kernel.Write(packetMessage(r.next, []byte("NOOP\r\n"))); err != nil {
			r.t.Fatal(err)
		}
		r.waits.ids = append(r.waits.ids, r.next)
	}
}

func (r *trial) decide(id uint32) {
	v, payload := Accept, []byte(nil)
	switch r.want[id] = "accepted"; {
	case r.edits > 0 && r.IntN(r.edits) == 0:
		payload, r.want[id] = []byte("other"), "replaced"
	case r.edits > 0 && r.IntN(r.edits) == 0:
		v, r.want[id] = Drop, "dropped"
	}
	if err := r.q.Verdict(id, v, payload); err != nil {
		r.t.Fatal(err)
	}
}

// round gives verdicts on what came, and now and then on what was held.
func (r *trial) round() {
	pkts := make([]Packet, 8)
	n, err := r.q.Receive(pkts)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range pkts[:n] {
		if r.holds > 0 && r.IntN(r.holds) == 0 {
			r.held = append(r.held, p.ID)
		} else {
			r.decide(p.ID)
		}
		if r.IntN(4) == 0 {
			for _, id := range r.held {
				r.decide(id)
			}
			r.held = r.held[:0]
		}
	}
	if err := r.q.Flush(); err != nil {
		r.t.Fatal(err)
	}
}

// run compares what becomes of the packets with the verdicts, and returns how many messages there were.
func (r *trial) run() int {
	for range rounds {
		r.come()
		r.round()
		for _, d := range datagrams(r.t, r.kernel) {
			r.waits.take(d)
		}
		if !slices.Equal(r.waits.ids, r.held) {
			r.t.Fatalf("packets %v wait, want %v", r.waits.ids, r.held)
		}
	}
	for id, what := range r.want {
		if got := r.waits.became[id]; got != what {
			r.t.Errorf("packet %d was %s, want %s", id, got, what)
		}
	}
	return r.waits.messages
}

func TestEachPacketGetsItsVerdict(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			newTrial(t, seed, []int{0, 4, 30}[seed%3], []int{0, 3, 30}[seed/3%3]).run()
		})
	}
}

func TestPacketsThatAreAllAcceptedNeedOneMessageARound(t *testing.T) {
	if n := newTrial(t, 1, 0, 0).run(); n != rounds {
		t.Errorf("%d messages for %d rounds", n, rounds)
	}
}

// It may fail, and then what is left of it is sent later.
func TestNoPacketIsAcceptedByTheWayBehindOneThatIsReplaced(t *testing.T) {
	q, kernel := pair(t)
	for id := range uint32(4) {
		if _, err := kernel.Write(packetMessage(id, []byte("NOOP\r\n"))); err != nil {
			t.Fatal(err)
		}
	}
	pkts := make([]Packet, 4)
	if n, err := q.Receive(pkts); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	for id, payload := range [][]byte{nil, []byte("other"), nil, nil} {
		if err := q.Verdict(uint32(id), Accept, payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, d := range datagrams(t, kernel) {
		if got := ids(d); !slices.Equal(got, []uint32{0, 1, 2, 3}) {
			t.Errorf("messages for packets %v, want one for each", got)
		}
	}
}
