package rewrite

import (
	"encoding/binary"
	"testing"
)

// The line begins at original number 100 and ends at 132. In front of it the offset is 5, and its edit adds 4
// bytes or one, or takes 4 away.
func TestWhetherAnEditedLineWentByUntouched(t *testing.T) {
	const (
		before  = 105 // final numbers: that of its first byte,
		within  = 115 // one in its middle,
		raw     = 137 // the one behind it if it went by,
		edited  = 141 // and if it arrived as it was edited
		shorter = 133
	)
	line := [2]uint32{100, 132} // repeated
	next := [2]uint32{132, 138}
	for _, c := range []struct {
		name     string
		grown    int16
		ack      uint32
		probes   uint8
		repeats  [2]uint32 // from and to, original numbers, if there were probes
		noOutage bool
		want     answer
	}{
		{name: "there was no outage", grown: 4, ack: raw, noOutage: true, want: no},
		{name: "nothing of it arrived", grown: 4, ack: before, want: no},
		{"nothing of it arrived, and it is repeated", 4, before, 1, line, false, no},
		{name: "as many bytes as it has", grown: 4, ack: raw, want: yes},
		{"as many bytes as it has, and it is repeated", 4, raw, 1, line, false, yes},
		{name: "as many bytes as were edited", grown: 4, ack: edited, want: perhaps},
		{"as many bytes as were edited, and it is repeated", 4, edited, 1, line, false, no},
		{name: "a part", grown: 4, ack: within, want: perhaps},
		{"a part, and it is repeated", 4, within, 1, line, false, no},
		{"all that is repeated", 4, 155, 1, [2]uint32{100, 150}, false, yes},
		{"the sender went on, once", 4, edited, 1, next, false, perhaps},
		{"the sender went on, and both agree on the edit", 4, edited, sureProbes, next, false, no},
		{"the sender went on, and was told other numbers", 4, raw, sureProbes, next, false, yes},
		{name: "one byte more than it has, as was edited", grown: 1, ack: raw + 1, want: perhaps},
		{"the same, and it is repeated", 1, raw + 1, 1, line, false, no},
		{name: "a shorter line", grown: -4, ack: shorter, want: perhaps},
		{"a shorter line, and it is repeated", -4, shorter, 1, line, false, no},
		{name: "a shorter line went by", grown: -4, ack: raw, want: yes},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := half{
				carried: 5, mark: Mark{Line: 100, End: 32, Grown: c.grown}, unsure: true, doubt: &doubt{
					bypassed: !c.noOutage, probes: c.probes, askedFrom: c.repeats[0], askedTo: c.repeats[1],
				},
			}
			if got := h.wentBy(c.ack, nil); got != c.want {
				t.Errorf("it is %v, want %v", got, c.want)
			}
			if got := h.surely(c.ack); after(got, before) {
				t.Errorf("the sender hears of %d, behind the line's start", got)
			}
		})
	}
}

func TestLineThatTheReceiverHasUntouchedBehindAGapWentBy(t *testing.T) {
	for _, c := range []struct {
		name string
		ack  uint32
		end  uint32 // of what it has
		want answer
	}{
		{"up to the end of the line as it was sent", 105, 137, yes},
		{"up to the end of the edited line", 105, 138, no},
		{"a part", 105, 120, no},
		{"a duplicate, which it reports", 138, 137, no},
	} {
		h := half{
			carried: 5, mark: Mark{Line: 100, End: 32, Grown: 1}, unsure: true,
			doubt: &doubt{bypassed: true, probes: 1, askedFrom: 100},
		}
		sack := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 115), c.end)
		if got := h.wentBy(c.ack, sack); got != c.want {
			t.Errorf("%s: it is %v, want %v", c.name, got, c.want)
		}
	}
}

// What a new program sees of a sender is what that repeats, and may be the first of more.
func TestReceiverMayHaveMoreThanTheSenderWasSeenToSendSinceThePickUp(t *testing.T) {
	for all, want := range map[bool]answer{false: perhaps, true: yes} {
		h := half{carried: 5, mark: Mark{Line: 100, End: 32, Grown: 1}, unsure: true, doubt: &doubt{
			bypassed: true, reached: Reach{Seq: 120, Known: true, All: all},
		}}
		if got := h.wentBy(138, nil); got != want {
			t.Errorf("all that it sent was seen: %v: the line went by: %v, want %v", all, got, want)
		}
	}
}
