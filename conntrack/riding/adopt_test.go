package riding

import (
	"errors"
	"slices"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
)

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
		d.entry.ID, d.entry.Helper, d.label = 7, c.helper, c.label
		f, err := k.Adopt(door().Master, u)
		if err != nil || !slices.Equal(d.did, c.did) || d.gets != c.gets || !f.HasState ||
			f.State != conntrack.StateControl {
			t.Errorf("%s: %v, the helper %q, %+v, %v", c.name, d.did, d.gets, f, err)
		}
		kept := f.ID == 7
		if kept != (c.gets == "") || kept && (f.Helper != c.helper || f.Flight != u.Flight) {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}
