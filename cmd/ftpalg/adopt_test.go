package main

import (
	"errors"
	"slices"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
)

// ledger has one entry, and notes what is done to it.
type ledger struct {
	*diary
	entry conntrack.Entry
	label error // why it has no room for a label; nil: it has
	gets  string
}

func (l *ledger) Entry(_ conntrack.Tuple, e *conntrack.Entry) error {
	l.did = append(l.did, "entry")
	*e = l.entry
	return nil
}

func (l *ledger) Update(conntrack.Tuple, conntrack.Update) error {
	l.did = append(l.did, "label")
	return l.label
}

func (l *ledger) Replace(e *conntrack.Entry, helper string, u conntrack.Update) (conntrack.Flow, error) {
	l.did = append(l.did, "replace")
	l.gets = helper
	return conntrack.Flow{ID: e.ID + 1, Helper: helper, State: u.State, HasState: true}, nil
}

func TestEntryGetsNoMoreThanItLacks(t *testing.T) {
	var u conntrack.Update
	u.SetLabel(conntrack.StateControl, [2]conntrack.Flight{{Port: 5}})
	for _, c := range []struct {
		name, helper string
		label        error
		did          []string
		gets         string
	}{
		{"nothing", "", nil, []string{"flush", "entry", "replace"}, "ours"},
		{"a helper", "theirs", errors.New("no room"), []string{"flush", "entry", "label", "replace"},
			"theirs"},
		{"a helper and an empty label", "theirs", nil, []string{"flush", "entry", "label"}, ""},
	} {
		k, d, _ := newDiary()
		l := &ledger{diary: d, label: c.label}
		l.entry.ID, l.entry.Helper = 7, c.helper
		f, err := adopting{k, l, "ours"}.Adopt(door().Master, u)
		if err != nil || !slices.Equal(d.did, c.did) || l.gets != c.gets || !f.HasState ||
			f.State != conntrack.StateControl {
			t.Errorf("%s: %v, the helper %q, %+v, %v", c.name, d.did, l.gets, f, err)
		}
		kept := f.ID == 7
		if kept != (c.gets == "") || kept && (f.Helper != c.helper || f.Flight != u.Flight) {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}
