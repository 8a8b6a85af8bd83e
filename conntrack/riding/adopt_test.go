package riding

import (
	"slices"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
)

func TestEntryIsReplacedAfterWhatCameBefore(t *testing.T) {
	var u conntrack.Update
	u.SetLabel(conntrack.StateControl, [2]conntrack.Flight{{Port: 5}})
	for _, c := range []struct{ name, helper, gets string }{
		{"no helper", "", "ours"},
		{"a helper", "theirs", "theirs"},
	} {
		k, d, _ := newDiary()
		d.entry.ID, d.entry.Helper = 7, c.helper
		f, err := k.Adopt(door().Master, u)
		if err != nil || !slices.Equal(d.did, []string{"flush", "entry", "replace"}) || d.gets != c.gets ||
			f.ID != 8 || !f.HasState || f.State != conntrack.StateControl {
			t.Errorf("%s: %v, the helper %q, %+v, %v", c.name, d.did, d.gets, f, err)
		}
	}
}
