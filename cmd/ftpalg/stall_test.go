package main

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

func TestPacketsThatWaitedWhileTheProgramStoodStillAreDroppedWhereAnotherGatewayIs(t *testing.T) {
	for _, c := range []struct {
		name  string
		stood time.Duration // since the deadline
		alone bool          // as far as was heard
		later bool          // something else is heard with the next events
		want  nfqueue.Verdict
	}{
		{"it turns", 0, false, false, nfqueue.Accept},
		{"it stood still", time.Second, false, false, nfqueue.Drop},
		{"it stood still, and nobody else is there", time.Second, true, false, nfqueue.Accept},
		{"it stood still, and nobody else was there", time.Second, true, true, nfqueue.Drop},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := &fakeQueue{batches: []batchOrError{
				{packets: [][]byte{command(t, startSeq, "NOOP\r\n")}},
				{packets: [][]byte{command(t, startSeq, "NOOP\r\n")}},
			}}
			l := testLoop(t, q, io.Discard)
			l.gateway.Told = c.alone
			e, told := heard(conntrack.Tuple{})
			*told = !c.later
			l.events = e
			l.armed = time.Now().Add(-c.stood)
			for range 2 {
				if _, err := l.round(); err != nil {
					t.Fatal(err)
				}
				l.armed = time.Time{}
			}
			if len(q.answers) != 2 || q.answers[0].v != c.want || q.answers[1].v != nfqueue.Accept {
				t.Errorf("answers %+v, want the first to be %v", q.answers, c.want)
			}
		})
	}
}

// What waits for a program that begins did so while it began, or while the former one ended.
func TestProgramThatBeginsDropsNothingThatWaited(t *testing.T) {
	for _, succeeds := range []bool{false, true} {
		end := errors.New("the end")
		q := &fakeQueue{batches: []batchOrError{
			{packets: [][]byte{command(t, startSeq, "NOOP\r\n")}}, {err: end},
		}}
		l := testLoop(t, q, io.Discard)
		l.gateway.NotAlone() // the former program wrote entries,
		if succeeds {
			l.gateway = alg.New(newFlow(), policy.Default())
			l.gateway.Succeeds = true
			l.events, _ = heard(newFlow().flow.Tuple[0]) // and of this one the event waits
		}
		if err := l.run(); !errors.Is(err, end) {
			t.Fatal(err)
		}
		if len(q.answers) != 1 || q.answers[0].v == nfqueue.Drop {
			t.Errorf("succeeds %v: answers %+v", succeeds, q.answers)
		}
	}
}

// heard is events of which one waits: another program wrote an entry. told: it was read, though it was not
// time to look for events.
func heard(of conntrack.Tuple) (e *events, told *bool) {
	e, told = newEventsOf(1), new(bool)
	e.looked = time.Now().Add(time.Hour)
	e.read = func() bool {
		if *told {
			return false
		}
		*told = true
		e.ready <- happening{kind: conntrack.FlowUpdate, foreign: true, tuple: of}
		return true
	}
	return e, told
}

func TestEventsAreReadBeforePacketsWhereTheLoopStopsInARound(t *testing.T) {
	for _, stopped := range []time.Duration{0, time.Second} {
		l := testLoop(t, &fakeQueue{}, io.Discard)
		l.gateway.Told = true
		e, told := heard(conntrack.Tuple{})
		now := time.Now()
		l.events, l.stall.ran = e, now.Add(-stopped)
		l.packets[0] = nfqueue.Packet{ID: 1, Payload: command(t, startSeq, "NOOP\r\n")}
		l.take(now.Add(-stopped), 1)
		if rows, _ := l.gateway.Snapshot(now, nil, 1); len(rows) != 1 || rows[0].Seen.Before(now) {
			t.Errorf("stopped for %v: the packet is taken as of then: %+v", stopped, rows)
		}
		if want := stopped > 0; *told != want || l.gateway.Alone() == want {
			t.Errorf("stopped for %v: read %v, want %v; alone %v", stopped, *told, want, l.gateway.Alone())
		}
	}
}

func TestEventsAreReadBeforePacketsWhereTheLastRoundWasLong(t *testing.T) {
	noop := batchOrError{packets: [][]byte{command(t, startSeq, "NOOP\r\n")}}
	q := &fakeQueue{batches: []batchOrError{noop, noop}}
	q.sending = func() { time.Sleep(restTime + time.Millisecond) }
	l := testLoop(t, q, io.Discard)
	e, told := heard(conntrack.Tuple{})
	l.events, l.stall.ran = e, time.Now()
	for _, want := range []bool{false, true} {
		if _, err := l.round(); err != nil || *told != want {
			t.Fatalf("read %v, want %v: %v", *told, want, err)
		}
	}
}

func TestEventsAreReadBeforePacketsWhereTheLoopHasNotTurnedForAWhile(t *testing.T) {
	for _, turned := range []time.Duration{0, time.Second} {
		l := testLoop(t, &fakeQueue{}, io.Discard) // they may come with the next round
		l.gateway.Told = true
		e, told := heard(conntrack.Tuple{})
		l.events, l.stall.ran = e, time.Now().Add(-turned)
		if _, err := l.round(); err != nil {
			t.Fatal(err)
		}
		if want := turned > 0; *told != want || l.gateway.Alone() == want {
			t.Errorf("it turned %v ago: read %v, want %v; alone %v", turned, *told, want, l.gateway.Alone())
		}
	}
}
