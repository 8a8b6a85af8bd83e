package nfqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// datagrams returns what was sent to the kernel, which a pair stands for.
func datagrams(t *testing.T, kernel *net.UnixConn) (all [][]byte) {
	t.Helper()
	b := make([]byte, 1<<17)
	for {
		_ = kernel.SetReadDeadline(time.Now().Add(time.Millisecond)) // what was sent is there already
		n, err := kernel.Read(b)
		if err != nil {
			return all
		}
		all = append(all, bytes.Clone(b[:n]))
	}
}

// ids returns the packets of the verdicts in a datagram; 0 stands for another message.
func ids(b []byte) (all []uint32) {
	for len(b) > 0 {
		size := nlread.Aligned(int(binary.NativeEndian.Uint32(b)))
		id := uint32(0)
		if binary.NativeEndian.Uint16(b[4:]) == msgVerdict {
			id = verdictID(b)
		}
		all, b = append(all, id), b[size:]
	}
	return all
}

// foreign is a message for another subsystem of netfilter.
func foreign(seq uint32) []byte {
	b := appendHeader(nil, 1<<8, unix.NLM_F_REQUEST, seq, 0)
	setLen(b, len(b))
	return b
}

func TestThousandPacketsNeedOneDatagramABatch(t *testing.T) {
	q, kernel := pair(t)
	pkts := make([]Packet, 8) // the batch of a pair
	sent := 0
	for id := uint32(1); id <= 1000; id += 8 {
		for i := range uint32(8) {
			if _, err := kernel.Write(packetMessage(id+i, []byte("NOOP\r\n"))); err != nil {
				t.Fatal(err)
			}
		}
		n, err := q.Receive(pkts)
		if n != 8 || err != nil {
			t.Fatal(n, err)
		}
		for _, p := range pkts {
			if err := q.Verdict(p.ID, Accept, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := q.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, d := range datagrams(t, kernel) {
			if sent++; len(d) != verdictRoom || verdictID(d) != id+7 {
				t.Fatalf("%x, want all accepted until packet %d", d, id+7)
			}
		}
	}
	if sent != 125 {
		t.Errorf("%d datagrams", sent)
	}
}

func TestMessagesLeaveInTheOrderGiven(t *testing.T) {
	q, kernel := pair(t)
	err := errors.Join(q.Verdict(1, Accept, nil), q.Append(foreign(9)), q.Verdict(2, Accept, []byte("other")))
	if err := errors.Join(err, q.Flush(), q.Flush()); err != nil {
		t.Fatal(err)
	}
	all := datagrams(t, kernel)
	if len(all) != 1 {
		t.Fatalf("%d datagrams", len(all))
	}
	if got := ids(all[0]); len(got) != 3 || got[0] != 1 || got[1] != 0 || got[2] != 2 {
		t.Errorf("%v", got)
	}
}

func TestDatagramsStayBelowTheLimit(t *testing.T) {
	q, kernel := pair(t)
	const packets = 100
	var got []uint32
	take := func() {
		for _, d := range datagrams(t, kernel) {
			if len(d) > maxDatagram {
				t.Errorf("%d bytes", len(d))
			}
			got = append(got, ids(d)...)
		}
	}
	for id := range uint32(packets) {
		if err := q.Verdict(id+1, Accept, make([]byte, 1499)); err != nil {
			t.Fatal(err)
		}
		take()
	}
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
	take()
	if len(got) != packets {
		t.Fatalf("%d verdicts", len(got))
	}
	for i, id := range got {
		if id != uint32(i)+1 {
			t.Fatalf("verdict %d is for packet %d", i, id)
		}
	}
}

func TestMessageThatIsNoneIsNotAppended(t *testing.T) {
	q, kernel := pair(t)
	for _, m := range [][]byte{nil, foreign(9)[:12], append(foreign(9), 0, 0, 0, 0), foreign(verdictSeq)} {
		if err := q.Append(m); err == nil {
			t.Errorf("took %x", m)
		}
	}
	if err := q.Verdict(1, Accept, make([]byte, copyRange+1)); err == nil {
		t.Error("took a packet that does not fit into an attribute")
	}
	if err := q.Flush(); err != nil || len(datagrams(t, kernel)) != 0 {
		t.Errorf("something was sent, %v", err)
	}
}

// TestVerdictsWaitWhileTheKernelHasNoRoom fills the peer's queue, whose length is bounded.
func TestVerdictsWaitWhileTheKernelHasNoRoom(t *testing.T) {
	q, kernel := pair(t)
	filler := foreign(1)
	filled := 0
	for q.t.write(filler) == nil {
		filled++
	}
	for id := range uint32(5) {
		if err := q.Verdict(id+1, Accept, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Verdict(6, Accept, []byte("other")); err != nil {
		t.Fatal(err)
	}
	if err := q.Flush(); !errors.Is(err, unix.EAGAIN) || !strings.Contains(err.Error(), "queue 7") {
		t.Errorf("%v", err)
	}
	if n := len(datagrams(t, kernel)); n != filled {
		t.Errorf("%d datagrams, %d were there before", n, filled)
	}
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
	all := datagrams(t, kernel)
	if len(all) != 1 || len(all[0]) != 6*verdictRoom {
		t.Fatalf("%d datagrams", len(all))
	}
	for i, id := range ids(all[0]) {
		if id != uint32(i)+1 {
			t.Errorf("verdict %d is for packet %d", i, id)
		}
	}
}

func TestRefusedMessageIsTold(t *testing.T) {
	q, kernel := pair(t)
	type refusal struct {
		seq uint32
		why unix.Errno
	}
	var got []refusal
	q.OnRefused = func(seq uint32, why unix.Errno) { got = append(got, refusal{seq, why}) }
	for _, m := range [][]byte{answerMessage(8, 0), answerMessage(9, unix.ENOENT),
		answerMessage(0, unix.ENOENT), packetMessage(1, nil)} {
		if _, err := kernel.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := q.Receive(make([]Packet, 8)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if len(got) != 1 || got[0] != (refusal{9, unix.ENOENT}) || q.Gone() != 1 {
		t.Errorf("%v, %d gone", got, q.Gone())
	}
}
