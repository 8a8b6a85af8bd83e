package nfqueue

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallBuffer leaves the socket the smallest send buffer that the kernel allows, about 4.5 kB.
func smallBuffer(t *testing.T, q *Queue) {
	t.Helper()
	if err := unix.SetsockoptInt(q.t.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil {
		t.Fatal(err)
	}
}

func TestSmallSendBufferLosesNoVerdict(t *testing.T) {
	ns := queued(t)
	from, to := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue, Batch: 200})
	smallBuffer(t, q)
	const sent = 200
	for range sent {
		if _, err := from.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	pkts := make([]Packet, sent)
	n, err := q.Receive(pkts)
	if n != sent || err != nil {
		t.Fatal(n, err)
	}
	for _, p := range pkts {
		if err := q.Verdict(p.ID, Accept, p.Payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8)
	for i := range sent {
		_ = to.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := to.Read(b); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
	}
	if q.Gone() != 0 || q.out.limit >= 4608 {
		t.Errorf("%d gone, limit %d", q.Gone(), q.out.limit)
	}
}

func TestPacketThatCannotBeReplacedIsDropped(t *testing.T) {
	ns := queued(t)
	from, to := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue})
	smallBuffer(t, q)
	big := bytes.Repeat([]byte("b"), 5000)
	for _, b := range [][]byte{big, []byte("x")} {
		if _, err := from.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	pkts := make([]Packet, 2)
	n, err := q.Receive(pkts)
	if n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if first, second := pkts[0].Payload, pkts[1].Payload; len(first) != 5028 ||
		!bytes.Equal(first[28:], big) || string(second[28:]) != "x" {
		t.Errorf("received %d and %d bytes", len(first), len(second))
	}
	for _, p := range pkts {
		if err := q.Verdict(p.ID, Accept, p.Payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Flush(); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("%v", err)
	}
	b := make([]byte, 8000)
	if n, err := to.Read(b); err != nil || string(b[:n]) != "x" {
		t.Errorf("%d bytes, %v", n, err)
	}
	if s := statsIn(t, ns); s.Waiting != 0 {
		t.Errorf("%d packets still wait", s.Waiting)
	}
}

// TestRefusalOfConntrackComesWithItsSequenceNumber changes a connection that there is not.
func TestRefusalOfConntrackComesWithItsSequenceNumber(t *testing.T) {
	ns := queued(t)
	from, _ := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue})
	ip := appendAttr(appendAttr(nil, 1, 10, 0, 0, 1), 2, 10, 0, 0, 2)
	proto := appendAttr(appendAttr(appendAttr(nil, 1, unix.IPPROTO_TCP), 2, 0, 1), 3, 0, 2)
	const nested = unix.NLA_F_NESTED
	tuple := appendAttr(appendAttr(nil, 1|nested, ip...), 2|nested, proto...)
	msg := appendHeader(nil, 1<<8, unix.NLM_F_REQUEST, 77, 0) // IPCTNL_MSG_CT_NEW
	msg[16] = unix.AF_INET
	msg = appendAttr(msg, 1|nested, tuple...) // CTA_TUPLE_ORIG
	msg = appendAttr32(msg, 7, 60)            // CTA_TIMEOUT
	setLen(msg, len(msg))
	var refused uint32
	var why unix.Errno
	q.OnRefused = func(seq uint32, e unix.Errno) { refused, why = seq, e }
	if err := q.Append(msg); err != nil {
		t.Fatal(err)
	}
	if err := q.Verdict(4711, Accept, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 1 || refused == 0; n++ {
		if err := q.SetDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Receive(make([]Packet, 8)); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused != 77 || why != unix.ENOENT || q.Gone() != 1 {
		t.Errorf("message %d was refused: %v; %d packets gone", refused, why, q.Gone())
	}
}
