package nfqueue

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

func TestOpenWhilePacketsArriveNeverFails(t *testing.T) {
	ns := queued(t)
	from, _ := sockets(t, ns)
	flood(t, from)
	for i := range 20 {
		q, err := openIn(t, ns, Config{Queue: queue, MaxLen: 4096})
		if err != nil {
			t.Fatalf("open number %d: %v", i, err)
		}
		if err := acceptOne(q); err != nil {
			t.Errorf("open number %d: %v", i, err)
		}
		// The socket is closed without an unbind, as after a kill.
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func acceptOne(q *Queue) error {
	if err := q.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	var p [1]Packet
	for {
		if _, err := q.Receive(p[:]); err == nil {
			return errors.Join(q.Verdict(p[0].ID, Accept, nil), q.Flush())
		} else if !errors.Is(err, ErrOverrun) {
			return err
		}
	}
}

func TestOpenSurvivesAReceiveBufferThatIsFullAtOnce(t *testing.T) {
	ns := queued(t)
	from, _ := sockets(t, ns)
	flood(t, from)
	for i := range 20 {
		q, err := openIn(t, ns, Config{Queue: queue, MaxLen: 65535, ReadBuffer: 4096})
		if err != nil {
			t.Fatalf("open number %d: %v", i, err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQueueOfAnotherProgramIsErrBound(t *testing.T) {
	ns := queued(t)
	mustOpen(t, ns, Config{Queue: queue})
	_, err := openIn(t, ns, Config{Queue: queue})
	if !errors.Is(err, ErrBound) {
		t.Errorf("%v", err)
	}
}

// decide gives the verdict that the text of a UDP packet asks for.
func decide(q *Queue, p *Packet) error {
	const text = 28 // IPv4 and UDP header
	switch string(p.Payload[text:]) {
	case "drop":
		return q.Verdict(p.ID, Drop, nil)
	case "same":
		return q.Verdict(p.ID, Accept, nil)
	}
	changed := bytes.Replace(p.Payload, []byte("old"), []byte("new"), 1)
	changed[26], changed[27] = 0, 0 // no UDP checksum
	return q.Verdict(p.ID, Accept, changed)
}

func TestPacketsWaitForTheirVerdict(t *testing.T) {
	ns := queued(t)
	from, to := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue})
	for _, s := range []string{"drop", "same", "old text"} {
		if _, err := from.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	pkts := make([]Packet, 3)
	for got := 0; got < len(pkts); {
		n, err := q.Receive(pkts)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pkts[:n] {
			if p.OutDev != 1 || p.Truncated { // lo is the first interface
				t.Errorf("%+v", p)
			}
			if err := decide(q, &p); err != nil {
				t.Fatal(err)
			}
		}
		got += n
	}
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	for _, want := range []string{"same", "new text"} {
		// A verdict is carried out before Flush returns: the packet is there.
		_ = to.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := to.Read(b); err != nil || string(b[:n]) != want {
			t.Errorf("got %q, %v, want %q", b[:n], err, want)
		}
	}
}

func TestVerdictForAPacketThatIsGoneIsCounted(t *testing.T) {
	ns := queued(t)
	from, _ := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue})
	if err := q.Verdict(4711, Accept, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, _ := serve(t, q, 100*time.Millisecond); n != 1 || q.Gone() != 1 {
		t.Errorf("%d packets, %d gone", n, q.Gone())
	}
}

func TestOverrunIsReportedAndPacketsPassUnseen(t *testing.T) {
	ns := queued(t)
	from, to := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue, MaxLen: 65535, ReadBuffer: 8192})
	const sent = 100
	for range sent {
		if _, err := from.Write(make([]byte, 500)); err != nil {
			t.Fatal(err)
		}
	}
	stats := statsIn(t, ns)
	packets, overruns := serve(t, q, 200*time.Millisecond)
	arrived := 0
	for b := make([]byte, 1000); ; arrived++ {
		_ = to.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := to.Read(b); err != nil {
			break
		}
	}
	if _, err := from.Write([]byte("x")); err != nil { // the next one shows the gap
		t.Fatal(err)
	}
	serve(t, q, 100*time.Millisecond)
	if lost := q.Lost(); int(lost)+packets != sent || !q.WasFull() || q.WasFull() {
		t.Errorf("%d packets lost by their numbers, %d received of %d", lost, packets, sent)
	}
	if overruns == 0 || packets == 0 || packets == sent || arrived != sent {
		t.Errorf("%d overruns, %d of %d packets queued, %d arrived, %+v",
			overruns, packets, sent, arrived, stats)
	}
	if stats.QueueDropped != 0 || stats.UserDropped != 0 {
		t.Errorf("packets that passed unseen are counted as dropped: %+v", stats)
	}
	if stats.PortID == 0 || int(stats.Waiting) != packets {
		t.Errorf("%d packets were waiting: %+v", packets, stats)
	}
}

func TestFullQueueLetsPacketsPassUnseen(t *testing.T) {
	ns := queued(t)
	from, to := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue, MaxLen: 10})
	for range 50 {
		if _, err := from.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 8)
	for i := range 40 {
		_ = to.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := to.Read(b); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
	}
	if n, _ := serve(t, q, 100*time.Millisecond); n != 10 {
		t.Errorf("%d packets queued, want 10", n)
	}
}

func TestLargePacketsAreQueuedWhole(t *testing.T) {
	ns := queued(t)
	from, _ := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue})
	if _, err := from.Write(make([]byte, 65000)); err != nil {
		t.Fatal(err)
	}
	pkts := make([]Packet, 1)
	if n, err := q.Receive(pkts); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if got := len(pkts[0].Payload); got != 65028 || pkts[0].Truncated {
		t.Errorf("%d bytes, truncated %v", got, pkts[0].Truncated)
	}
	if err := errors.Join(q.Verdict(pkts[0].ID, Accept, pkts[0].Payload), q.Flush()); err != nil {
		t.Error(err)
	}
}

func TestReceiveEndsAtItsDeadlineAndNotLongAfter(t *testing.T) {
	q := mustOpen(t, queued(t), Config{Queue: queue})
	pkts := make([]Packet, 1)
	// From long to short, and to what is over already.
	for _, wait := range []time.Duration{300 * time.Millisecond, 20 * time.Millisecond, 0, -time.Second} {
		began := time.Now()
		_ = q.SetDeadline(began.Add(wait))
		_, err := q.Receive(pkts)
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < wait {
			t.Errorf("%v: %v after %v", wait, err, took)
		}
	}
}

func TestPacketHasItsArrivalTimeWhereTheKernelTakesIt(t *testing.T) {
	ns := queuedAt(t, nftables.ChainHookInput)
	from, to := sockets(t, ns)
	raw, err := to.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctl := raw.Control(func(fd uintptr) { // makes the kernel take it
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMP, 1)
	}); ctl != nil || err != nil {
		t.Fatal(ctl, err)
	}
	q := mustOpen(t, ns, Config{Queue: queue})
	// The kernel begins to take it some time after it was asked to (net_enable_timestamp).
	pkts := make([]Packet, 1)
	for end := time.Now().Add(5 * time.Second); ; {
		before := time.Now()
		if _, err := from.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := q.Receive(pkts); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if err := errors.Join(q.Verdict(pkts[0].ID, Accept, nil), q.Flush()); err != nil {
			t.Fatal(err)
		}
		at := pkts[0].Time
		switch {
		case !at.IsZero() && (at.Before(before.Truncate(time.Microsecond)) || at.After(time.Now())):
			t.Fatalf("sent at %v, arrived at %v", before, at)
		case !at.IsZero():
			return
		case time.Now().After(end):
			t.Fatal("no packet had a time")
		}
	}
}

// A kernel without CONFIG_NETFILTER_NETLINK_GLUE_CT cannot: there it is no error to ask.
func TestEntriesOfPacketsAreToldOnceTheyAreAskedFor(t *testing.T) {
	ns := queued(t)
	ns.Nft(track)
	can := mustOpen(t, ns, Config{Queue: queue + 1, Zones: true}).Zoned()
	from, _ := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue})
	next := func() uint32 {
		t.Helper()
		if _, err := from.Write([]byte("same")); err != nil {
			t.Fatal(err)
		}
		if err := q.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var p [1]Packet
		if _, err := q.Receive(p[:]); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(q.Verdict(p[0].ID, Accept, nil), q.Flush()); err != nil {
			t.Fatal(err)
		}
		return p[0].Entry
	}
	if id := next(); id != 0 {
		t.Errorf("before, the entry is %d", id)
	}
	q.TellEntries()
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
	if first, second := next(), next(); (first != 0) != can || first != second {
		t.Errorf("two packets of a connection have the entries %d and %d; the kernel can tell: %v",
			first, second, can)
	}
}
