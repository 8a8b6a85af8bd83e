package nfqueue

import (
	"errors"
	"os"
	"testing"
	"time"
)

func TestWakeAndCloseEndAReceiveThatWaits(t *testing.T) {
	ns := queued(t)
	q := mustOpen(t, ns, Config{Queue: queue})
	for _, end := range []func() error{q.Wake, q.Close} {
		errs := make(chan error, 1)
		go func() {
			_, err := q.Receive(make([]Packet, 1))
			errs <- err
		}()
		for q.t.use.TryLock() { // until it is in Receive
			q.t.use.Unlock()
			time.Sleep(time.Millisecond)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-errs:
			if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, os.ErrClosed) {
				t.Errorf("%v", err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("Receive still waits")
		}
	}
	if err := errors.Join(q.Verdict(1, Accept, nil), q.Flush()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a verdict after the end: %v", err)
	}
	if err := q.Wake(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a wake after the end: %v", err)
	}
}

func TestReceiveThatWasWokenLeavesNoPacketUnread(t *testing.T) {
	ns := queued(t)
	from, _ := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue})
	if _, err := from.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if err := q.Wake(); err != nil {
			t.Fatal(err)
		}
		pkts := make([]Packet, 8)
		if n, err := q.Receive(pkts); n != want || q.More() || err != nil != (want == 0) {
			t.Errorf("%d packets, more %v: %v; want %d", n, q.More(), err, want)
		}
	}
}
