package firewall

import (
	"slices"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// TestFlowtablesAreListed stands in for kernels that have none.
func TestFlowtablesAreListed(t *testing.T) {
	const tableName, name = 1, 2
	body, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: tableName, Data: []byte("offload\x00")}, {Type: name, Data: []byte("ft\x00")},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &Ruleset{tables: map[tableKey]*table{}}
	r.addFlowtable(unix.NFPROTO_INET, body)
	if !slices.Equal(r.Flowtables, []string{"inet offload"}) {
		t.Errorf("%q", r.Flowtables)
	}
}

func TestKeyIsFoundInSetsOfKeysAndOfIntervals(t *testing.T) {
	key := func(n byte) []byte { return []byte{0, n} }
	accept := verdict{nfAccept, "", true}
	keys := &set{keyLen: 2, elements: []element{{key: key(20)}, {key: key(21), verdict: accept}}}
	intervals := &set{keyLen: 2, intervals: true, elements: []element{
		{key: key(0), end: true}, {key: key(20)}, {key: key(26), end: true}, {key: key(26)},
		{key: key(30), end: true},
	}}
	for _, c := range []struct {
		set  *set
		key  []byte
		want Answer
	}{
		{keys, key(21), Yes}, {keys, key(22), No}, {keys, nil, Maybe}, {nil, key(21), Maybe},
		{intervals, key(19), No}, {intervals, key(20), Yes}, {intervals, key(25), Yes},
		{intervals, key(27), Yes}, {intervals, key(30), No},
	} {
		got, verdicts := c.set.find(c.key)
		if got != c.want {
			t.Errorf("%v in %+v: %v, want %v", c.key, c.set, got, c.want)
		}
		if c.set == keys && got != No && !slices.Contains(verdicts, accept) {
			t.Errorf("%v: no verdict in %v", c.key, verdicts)
		}
	}
}
