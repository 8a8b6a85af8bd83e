package ruleset

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"golang.org/x/sys/unix"
)

// watchBuffer is the receive buffer of events, in bytes: a large ruleset that is
// replaced makes many. What does not fit is noticed, see [Watch.Run].
const watchBuffer = 4 << 20

// Event is something that happened to the table.
type Event struct {
	Found   Condition     // what was found; Whole: what was told of did no harm, or it is whole again
	Program string        // name of the program that did it; empty: not known
	Thread  uint32        // its thread, in the first pid namespace; 0: not known
	Owner   Owner         // of a table that is Taken
	Took    time.Duration // from the first word of it to the end of the repair
	Undone  int           // repairs in a row that the program has undone within a second each
	Wait    time.Duration // the repair waits so long, because the program fights: then nothing was done yet
	Left    bool          // the table is the operator's, and nothing is done to it
	Err     error         // why the repair failed; it is tried again
}

// WatchStats counts what a watch has done. All of it can be read at any time.
type WatchStats struct {
	Whole    atomic.Bool          // the table is as it should be, as far as is known
	Repaired [Taken]atomic.Uint64 // repairs, by the Condition that was found: Gone or Altered
	Failed   atomic.Uint64        // repairs that failed
	Overruns atomic.Uint64        // times that events were lost
	Damages  atomic.Uint64        // [Damages.Times], without looking for more
}

// Watch notices what others do to a table, and repairs it. It has a goroutine of
// its own, which does nothing but that.
type Watch struct {
	Stats WatchStats

	table  *Table
	events *socket
	done   chan struct{}
	told   func(Event)

	mu       sync.Mutex // of what follows; held from the first word of a change to the end of its repair
	damages  Damages
	touched  bool // by others, in the transaction that is being told of
	by       Event
	since    time.Time // of the first word of a damage that is not repaired; zero: there is none
	due      time.Time // when it will be repaired
	repaired time.Time // the last time
	feuds    feuds
}

// Watch begins to watch the table, in the network namespace of the calling thread.
// Call it before the table is installed: then nothing is missed. told is called
// for each event, by the watch's goroutine or one that asks for [Watch.Damages]; it must not close the watch.
func (t *Table) Watch(told func(Event)) (*Watch, error) {
	s, err := openSocket(1 << (unix.NFNLGRP_NFTABLES - 1))
	if err != nil {
		return nil, fmt.Errorf("watch nftables table %s: %w", t.name, err)
	}
	s.growBuffer(watchBuffer)
	w := &Watch{table: t, events: s, done: make(chan struct{}), told: told}
	w.Stats.Whole.Store(true)
	go w.run()
	return w, nil
}

// growBuffer is without error: with a smaller buffer more is lost, and noticed.
func (s *socket) growBuffer(bytes int) {
	_ = s.raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
		}
	})
}

// Close ends the watch. What it does at the moment is done when Close returns.
func (w *Watch) Close() error {
	err := w.events.close()
	<-w.done
	return err
}

// run reads events until Close. What is not told, because the buffer was full, may
// have been about the table, so it is looked at.
func (w *Watch) run() {
	defer close(w.done)
	for {
		if err := w.events.file.SetReadDeadline(w.due); err != nil {
			return
		}
		n, err := w.events.await(&w.mu)
		if err != nil {
			w.mu.Lock()
		}
		switch {
		case err == nil:
			w.events.each(n, w.event)
		case errors.Is(err, os.ErrDeadlineExceeded):
			w.repair()
		case errors.Is(err, unix.ENOBUFS):
			w.Stats.Overruns.Add(1)
			w.damaged(Event{})
		default:
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
	}
}

// Damages tells how often others damaged the table. What passes before it is repaired nobody sees.
type Damages struct {
	Times uint64
	Last  time.Time // when the last one was found or repaired
}

// Damages counts also what the kernel has told and nobody has heard yet. Any goroutine may ask.
func (w *Watch) Damages() Damages {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, ok := w.events.poll(); ok; n, ok = w.events.poll() {
		w.events.each(n, w.event)
	}
	return w.damages
}

func (w *Watch) note() {
	w.damages = Damages{w.damages.Times + 1, time.Now()}
	w.Stats.Damages.Store(w.damages.Times)
}

// event takes note of one message of the kernel: changes of a transaction, and at
// its end who made it (nf_tables_commit in net/netfilter/nf_tables_api.c).
func (w *Watch) event(m message) {
	switch {
	case !m.nft || m.portID == w.table.sock.portID:
	case m.typ == unix.NFT_MSG_NEWGEN:
		if w.touched {
			w.touched = false
			w.damaged(Event{
				Program: text(nlread.Attr(m.body, unix.NFTA_GEN_PROC_NAME)),
				Thread:  nlread.U32(nlread.Attr(m.body, unix.NFTA_GEN_PROC_PID)),
			})
		}
	case m.family == unix.NFPROTO_INET && text(nlread.Attr(m.body, tableName)) == w.table.name:
		w.touched = true
	}
}

// damaged repairs what somebody may have done, or puts it off if he fights.
func (w *Watch) damaged(by Event) {
	now := time.Now()
	if w.since.IsZero() {
		w.since = now
	}
	wait, undone := w.feuds.wait(by.Program, w.repaired, now)
	by.Undone, by.Wait = undone, wait
	w.by = by
	if wait == 0 {
		w.repair()
		return
	}
	if due := now.Add(wait); w.due.IsZero() || due.Before(w.due) {
		w.due = due
		w.Stats.Whole.Store(false)
		w.note()
		by.Found = Altered
		w.told(by)
	}
}

// repair looks at the table and installs it again if it must.
func (w *Watch) repair() {
	found, owner, err := w.table.Repair()
	e := w.by
	e.Found, e.Owner, e.Err, e.Wait, e.Took = found, owner, err, 0, time.Since(w.since)
	if found == Gone || found == Altered {
		w.note()
	}
	w.since, w.due = time.Time{}, time.Time{}
	switch {
	case err != nil:
		w.Stats.Failed.Add(1)
		w.Stats.Whole.Store(false)
		w.since = time.Now()
		w.due = w.since.Add(retryTime)
	case found == Taken:
		w.Stats.Whole.Store(false)
	case found == Whole:
		w.Stats.Whole.Store(true)
		return
	case w.table.left:
		w.repaired, e.Left = time.Now(), true
		w.Stats.Whole.Store(found != Gone)
	default:
		w.repaired = time.Now()
		w.Stats.Repaired[found].Add(1)
		w.Stats.Whole.Store(true)
	}
	w.told(e)
}

// retryTime is how long after a repair that failed the next one is tried.
const retryTime = time.Second
