package rewrite

import (
	"encoding/binary"
	"slices"
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

// A line that went by untouched may still be on its way when the receiver tells what it has, and arrive
// before what is made of it when it is repeated. A question is behind it.
func TestReceiverIsAskedBeforeAnEditOfWhatMayHaveGoneBy(t *testing.T) {
	const line = "PORT 1,2,3,4,5,6\r\n"
	for _, c := range []struct {
		name           string
		recent, edited bool
		answer         uint32 // how much it has of the line when it is asked
		want           []Fate
		fresh          string // what is taken when the line comes for the last time
	}{
		{"nothing went by lately", false, true, 0, []Fate{Go}, line},
		{"nothing is edited", true, false, 0, []Fate{Go}, line},
		{"it has nothing of it", true, true, 0, []Fate{Ask, Go}, line},
		{"it went by", true, true, uint32(len(line)), []Fate{Ask, Go}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var conn Conn
			room := Room{MaxPackets: 100, MaxBytes: 1 << 20}
			conn.PickUp(Kept{Carried: [2]int32{3, 0}, Recent: c.recent}, Kernel, false)
			receive := func(dir Dir, seq, ack uint32, data string) Arrival {
				var p Packet
				p.Parse(segment(dir == Reply, seq, ack, []byte(data), nil))
				return conn.Receive(dir, &p, &room)
			}
			receive(Reply, 1000, 5003, "500 What?\r\n")
			var fates []Fate
			var last Arrival
			for range c.want {
				if conn.Hearsay(Original) {
					conn.Confirm(Original, c.edited)
				}
				last = receive(Original, 5000, 1011, line)
				fates = append(fates, last.Fate)
				if last.Fate == Ask {
					receive(Reply, 1011, 5003+c.answer, "")
				}
			}
			if !slices.Equal(fates, c.want) || string(last.New) != c.fresh {
				t.Errorf("it goes on as %v with %q, want %v with %q", fates, last.New, c.want, c.fresh)
			}
			conn.Take(Original, last.New, nil)
			receive(Reply, 1011, 5003+uint32(len(line)), "")
			if conn.Hearsay(Original) {
				t.Error("it is asked once more, though what came behind has arrived")
			}
		})
	}
}
