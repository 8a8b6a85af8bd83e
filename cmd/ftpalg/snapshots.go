package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/alg"
)

const (
	// rowsARound is how many sessions are described between two rounds: that must not keep a packet waiting.
	rowsARound = 256
	// snapshotEvery is how often the sessions are described at most.
	snapshotEvery = time.Second
	// busyRound is how long a round waits for a packet while they are described.
	busyRound = time.Millisecond
)

// snapshots has the packet loop describe the sessions when somebody asks. The loop never waits for who
// asks: it writes a new slice each time, and readers only read.
type snapshots struct {
	wanted atomic.Bool
	wake   func() error // ends the round of the loop that waits

	mu    sync.Mutex
	ready chan struct{} // closed when the one that is wanted is done; nil: none is
	rows  []alg.Session // of the last
	at    time.Time

	// The loop's own.
	taking bool
	next   []alg.Session
}

func newSnapshots(wake func() error) *snapshots { return &snapshots{wake: wake} }

// get returns the sessions as they were at most a second ago.
func (s *snapshots) get(ctx context.Context) ([]alg.Session, time.Time, error) {
	s.mu.Lock()
	if !s.at.IsZero() && time.Since(s.at) < snapshotEvery {
		defer s.mu.Unlock()
		return s.rows, s.at, nil
	}
	if s.ready == nil {
		s.ready = make(chan struct{})
		s.wanted.Store(true)
		_ = s.wake() // fails if the loop has ended, and then so does the server
	}
	ready := s.ready
	s.mu.Unlock()
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows, s.at, nil
}

// step describes some more sessions, if that is wanted, and tells whether more are to come.
func (s *snapshots) step(g *alg.Gateway, now time.Time) bool {
	if !s.taking {
		if !s.wanted.Swap(false) {
			return false
		}
		s.taking = true
		s.next = make([]alg.Session, 0, g.Stats.Sessions.Load())
	}
	var done bool
	if s.next, done = g.Snapshot(now, s.next, rowsARound); !done {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows, s.at, s.next, s.taking = s.next, time.Now(), nil, false
	close(s.ready)
	s.ready = nil
	return false
}
