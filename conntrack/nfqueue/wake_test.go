package nfqueue

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWakeAndCloseEndAReceiveThatWaits(t *testing.T) {
	ns := queued(t)
	q := mustOpen(t, ns, Config{Queue: queue})
	for i, end := range []func() error{q.Wake, q.Wake, q.Close} {
		q.t.eager = i > 0 // it sleeps, or looks first
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

func TestReaderThatJustHadAPacketLooksForTheNextAndThenSleeps(t *testing.T) {
	ns := queued(t)
	from, _ := sockets(t, ns)
	q := mustOpen(t, ns, Config{Queue: queue})
	if _, err := from.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := q.Receive(make([]Packet, 8)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	// How long that took this machine decides.
	q.t.eager = true
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const waits = time.Second
	before := threadTime(t)
	_ = q.SetDeadline(time.Now().Add(waits))
	if n, err := q.Receive(make([]Packet, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d packets, %v", n, err)
	}
	if took := threadTime(t) - before; took > waits/4 || q.t.eager {
		t.Errorf("of the %v that it waited it ran for %v; it looks again: %v", waits, took, q.t.eager)
	}
	_ = q.SetDeadline(time.Time{})
	go func() {
		time.Sleep(2 * longestLook)
		_, _ = from.Write([]byte("x"))
	}()
	if n, err := q.Receive(make([]Packet, 8)); n != 1 || err != nil || q.t.eager {
		t.Errorf("%d packets, %v; it looks for the next though this one came late: %v", n, err, q.t.eager)
	}
}

// threadTime is the processor time of the calling thread.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
