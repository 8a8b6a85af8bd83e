package main

import (
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

// silentQueue has no packets. Receive waits for Wake or for an error.
type silentQueue struct {
	fakeQueue
	wake  chan struct{}
	fails chan error
	mu    sync.Mutex
	armed []time.Time
}

func newSilent() *silentQueue {
	return &silentQueue{wake: make(chan struct{}, 8), fails: make(chan error, 1)}
}

func (q *silentQueue) SetDeadline(t time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.armed = append(q.armed, t)
	return nil
}

func (q *silentQueue) Wake() error {
	q.wake <- struct{}{}
	return nil
}

func (q *silentQueue) Receive([]nfqueue.Packet) (int, error) {
	select {
	case <-q.wake:
		return 0, os.ErrDeadlineExceeded
	case err := <-q.fails:
		return 0, err
	}
}

// running is runAll under way over loops of silent queues.
type running struct {
	queues  []*silentQueue
	loops   []*loop
	signals chan os.Signal
	err     chan error
}

func runSilent(t *testing.T, n int, reload func(*running)) *running {
	t.Helper()
	r := &running{signals: make(chan os.Signal), err: make(chan error, 1)}
	for range n {
		q := newSilent()
		r.queues, r.loops = append(r.queues, q), append(r.loops, testLoop(t, q, io.Discard))
	}
	go func() { r.err <- runAll(r.signals, func() { reload(r) }, r.loops...) }()
	return r
}

func TestSignalEndsLoopsThatWait(t *testing.T) {
	for _, s := range []os.Signal{unix.SIGTERM, unix.SIGINT} {
		r := runSilent(t, 3, nil)
		r.signals <- s
		if err := <-r.err; err != nil {
			t.Error(err)
		}
	}
}

func TestLoopThatFailsEndsAll(t *testing.T) {
	r := runSilent(t, 3, nil)
	broken := errors.New("broken")
	r.queues[1].fails <- broken
	if err := <-r.err; !errors.Is(err, broken) {
		t.Error(err)
	}
	for i, l := range r.loops {
		if l.call(func() { t.Errorf("loop %d still runs", i) }) {
			t.Errorf("loop %d still takes calls", i)
		}
	}
}

func TestReloadReachesEachLoopBetweenItsRounds(t *testing.T) {
	reloaded := make(chan int)
	r := runSilent(t, 2, func(r *running) {
		n := 0
		for _, l := range r.loops {
			if !l.call(func() { n++ }) {
				t.Error("a loop has ended")
			}
		}
		reloaded <- n
	})
	r.signals <- unix.SIGHUP
	if n := <-reloaded; n != 2 {
		t.Errorf("%d loops", n)
	}
	r.signals <- unix.SIGTERM
	if err := <-r.err; err != nil {
		t.Error(err)
	}
}

func TestDeadlineIsSetOnlyWhenTheNextTickChanges(t *testing.T) {
	q := newSilent()
	l := testLoop(t, q, io.Discard)
	idle := true
	l.idle = func() bool { return idle }
	arm := func(want int, why string) {
		t.Helper()
		for range 3 {
			if err := l.arm(); err != nil {
				t.Fatal(err)
			}
		}
		if len(q.armed) != want {
			t.Errorf("%s: deadlines %v", why, q.armed)
		}
	}
	l.ticked = time.Now()
	arm(0, "nothing to do from the beginning")
	idle = false
	arm(1, "something to do")
	idle = true
	arm(1, "nothing to do, but the deadline is to come")
	l.ticked = l.ticked.Add(-time.Hour)
	l.armed = l.armed.Add(-time.Hour)
	arm(2, "nothing to do, and the deadline has passed")
	if !q.armed[1].IsZero() {
		t.Error("the deadline is not taken away")
	}
	l.journal.suppressed = 1
	arm(3, "the journal has something to tell")
}
