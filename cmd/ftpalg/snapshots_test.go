package main

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg"
)

func TestLoopDescribesSessionsWhenSomebodyAsks(t *testing.T) {
	l := testLoop(t, &fakeQueue{}, io.Discard)
	l.snapshots = newSnapshots(func() error { return nil })
	type answer struct {
		rows []alg.Session
		at   time.Time
		err  error
	}
	answers := make(chan answer)
	ask := func() {
		rows, at, err := l.snapshots.get(t.Context())
		answers <- answer{rows, at, err}
	}
	const readers = 3
	for range readers {
		go ask()
	}
	for got := 0; got < readers; {
		if _, err := l.round(); err != nil {
			t.Fatal(err)
		}
		select {
		case a := <-answers:
			if got++; a.err != nil || len(a.rows) != 1 || a.rows[0].Client != clientAddr {
				t.Errorf("%+v", a)
			}
		default:
		}
	}
	first := l.snapshots.at
	go ask() // at once again: the same
	if a := <-answers; !a.at.Equal(first) {
		t.Error("the sessions are described anew within a second")
	}
}

func TestAskingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := newSnapshots(func() error { return nil }).get(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNobodyAsksAndNothingIsAllocated(t *testing.T) {
	l := testLoop(t, &fakeQueue{}, io.Discard)
	s := newSnapshots(func() error { return nil })
	if n := testing.AllocsPerRun(100, func() {
		if s.step(l.gateway, time.Now()) {
			t.Fatal("a snapshot that nobody wants")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
