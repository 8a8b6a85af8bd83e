package ruleset_test

import (
	"encoding/binary"
	"regexp"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// bigEndianBits are the numbers of label bits in the golden tables, and those on a big endian machine.
var bigEndianBits = map[string]string{"112": "8", "113": "9", "114": "10", "122": "2"}

var labelBit = regexp.MustCompile(`(ct label (?:set )?)(\d+)`)

// asHere gives the label bits of a golden table the numbers that they have on this machine.
func asHere(t *testing.T, golden string) string {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return golden
	}
	return labelBit.ReplaceAllStringFunc(golden, func(s string) string {
		m := labelBit.FindStringSubmatch(s)
		if bigEndianBits[m[2]] == "" {
			t.Errorf("%q: no number is known for a big endian machine", s)
		}
		return m[1] + bigEndianBits[m[2]]
	})
}

// The state lies in the bytes 14 and 15 of a label, the low one first. nft numbers the bits of a label from
// that of least value in the whole: from byte 0 on a little endian machine, from byte 15 on a big endian one.
func TestLabelBitsHaveTheNumbersThatNftGivesThem(t *testing.T) {
	for _, c := range []struct {
		state       conntrack.State
		little, big int
	}{
		{conntrack.StateControl, 112, 8},
		{conntrack.StateBusy, 113, 9},
		{conntrack.StateOpaque, 114, 10},
		{conntrack.StateNoBypass, 122, 2},
		{1 << 15, 127, 7},
	} {
		little := ruleset.BitNumber(c.state, binary.LittleEndian)
		big := ruleset.BitNumber(c.state, binary.BigEndian)
		if little != c.little || big != c.big {
			t.Errorf("%#x has the numbers %d and %d, want %d and %d", c.state, little, big, c.little, c.big)
		}
	}
}
