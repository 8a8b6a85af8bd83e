package main

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
)

// fakeHearer is a listener that notes what it joins.
type fakeHearer struct {
	updates bool
	refuses error
	did     []string
}

func (h *fakeHearer) Receive(func(*conntrack.Event)) error                { return nil }
func (h *fakeHearer) ReceiveWaiting(func(*conntrack.Event)) (bool, error) { return false, nil }

func (h *fakeHearer) Join(k conntrack.Kind) error {
	if h.refuses == nil {
		h.updates = k == conntrack.FlowUpdate
		h.did = append(h.did, "join")
	}
	return h.refuses
}

func (h *fakeHearer) Leave(k conntrack.Kind) error {
	h.updates = k != conntrack.FlowUpdate
	h.did = append(h.did, "leave")
	return nil
}

// hall is an audience of one loop with what else is in its machine.
type hall struct {
	audience
	hearer fakeHearer
	others bool
	err    error
	asked  int
	now    time.Time
}

func newHall() *hall {
	h := &hall{now: time.Now()}
	h.audience.listener, h.all, h.own = &h.hearer, []*events{newEventsOf(10)}, []uint32{7}
	h.audience.others = func() (bool, error) { h.asked++; return h.others, h.err }
	return h
}

// later has a second pass.
func (h *hall) later() {
	h.now = h.now.Add(time.Second)
	h.attend(h.now)
}

func TestUpdatesAreHeardOfWhileOthersHearOfThem(t *testing.T) {
	h := newHall()
	h.later()
	h.others = true
	h.attend(h.now.Add(attendTime / 2)) // too soon
	if h.hearer.updates || h.asked != 1 {
		t.Errorf("it hears of updates: %v, asked %d times", h.hearer.updates, h.asked)
	}
	h.later()
	h.later()
	h.others = false
	h.later()
	h.later()
	h.others = true
	h.later()
	if want := []string{"join", "leave", "join"}; !slices.Equal(h.hearer.did, want) {
		t.Errorf("it did %v, want %v", h.hearer.did, want)
	}
}

func TestUpdatesAreHeardOfWhereItIsNotKnownWhetherOthersDo(t *testing.T) {
	h := newHall()
	h.err = errors.New("no such file")
	if h.later(); !h.hearer.updates {
		t.Error("it does not hear of them")
	}
}

// What was written before the updates are joined nobody tells of.
func TestGatewayThatJoinsUpdatesLaterIsNotSureToBeAlone(t *testing.T) {
	l := testLoop(t, &fakeQueue{}, io.Discard)
	l.gateway.Told = true
	h := newHall()
	h.later()
	h.all[0].pass(l.gateway, l.journal)
	if !l.gateway.Alone() {
		t.Fatal("with nobody else it is not alone")
	}
	for _, others := range []bool{true, false} {
		h.others = others
		h.later()
		if h.all[0].pass(l.gateway, l.journal); l.gateway.Alone() || l.gateway.Hears != others {
			t.Errorf("others listen: %v; alone %v, hears %v", others, l.gateway.Alone(), l.gateway.Hears)
		}
	}
}

// What was written before the program began nobody tells of either.
func TestGatewayWhoseUpdatesOthersHearFromTheStartIsNotSureToBeAlone(t *testing.T) {
	l := testLoop(t, &fakeQueue{}, io.Discard)
	l.gateway.Told = true
	h := newHall()
	h.others = true
	h.later()
	if h.all[0].pass(l.gateway, l.journal); l.gateway.Alone() || !l.gateway.Hears {
		t.Errorf("alone %v, hears %v", l.gateway.Alone(), l.gateway.Hears)
	}
}

func TestUpdatesThatCannotBeJoinedAreLost(t *testing.T) {
	h := newHall()
	h.others, h.hearer.refuses = true, errors.New("not permitted")
	if h.later(); h.all[0].lost.Load() != 1 {
		t.Errorf("%d are counted as lost", h.all[0].lost.Load())
	}
	h.hearer.refuses = nil
	if h.later(); !h.hearer.updates {
		t.Error("it is not tried again")
	}
}

func TestFirstEntryOfAnotherGatewayHasAStandbyHearOfTheRest(t *testing.T) {
	for _, c := range []struct {
		name string
		ev   conntrack.Event
		want bool
	}{
		{"the kernel makes an entry", conntrack.Event{Kind: conntrack.FlowNew}, false},
		{"we make one", conntrack.Event{Kind: conntrack.FlowNew, PortID: 7}, false},
		{"another program makes one", conntrack.Event{Kind: conntrack.FlowNew, PortID: 8}, true},
		{"another program makes that of a data connection", conntrack.Event{
			Kind: conntrack.FlowNew, PortID: 8, Entry: conntrack.Entry{Status: conntrack.StatusExpected},
		}, false},
		{"another program deletes one", conntrack.Event{Kind: conntrack.FlowDestroy, PortID: 8}, false},
	} {
		h := newHall()
		heard := false
		h.all[0].wake = func() error { // the loop may look at the entry from now on
			heard = h.hearer.updates
			return nil
		}
		if h.taker(nil)(&c.ev); heard != c.want || h.hearer.updates != c.want {
			t.Errorf("%s: updates are heard of: %v, and afterwards: %v", c.name, heard, h.hearer.updates)
		}
		if h.later(); h.hearer.updates != c.want {
			t.Errorf("%s, and nobody else listens: updates are heard of: %v", c.name, h.hearer.updates)
		}
	}
}

// Another gateway may have the sessions of one that stood still, and may have come to be meanwhile.
func TestLoopThatStoodStillLooksWhoElseListens(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		l := testLoop(t, &fakeQueue{}, io.Discard)
		l.gateway.Told = true
		h := newHall()
		l.events = h.all[0]
		l.events.attend = h.attend
		h.later()
		now := h.now.Add(attendTime)
		h.others, l.stall.ran = true, now
		if stopped {
			l.stall.ran = now.Add(-time.Minute)
		}
		if l.goOn(now); l.gateway.Alone() == stopped {
			t.Errorf("stopped %v: alone %v", stopped, l.gateway.Alone())
		}
	}
}

func TestLoopLooksWhoElseListensWithEachTick(t *testing.T) {
	l := testLoop(t, &fakeQueue{}, io.Discard)
	l.events = newEventsOf(1)
	var at []time.Time
	l.events.attend = func(now time.Time) { at = append(at, now) }
	now := time.Now().Add(time.Minute)
	if l.tick(now); len(at) != 1 || !at[0].Equal(now) {
		t.Errorf("it looked at %v", at)
	}
}
