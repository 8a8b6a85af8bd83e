package rewrite

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// edited is a connection whose bytes of direction dir from 1000 on had del of them at offset at replaced
// by text.
func edited(dir Dir, data string, at, del int, text string) *Conn {
	c := &Conn{}
	c.half[dir].begin(1000)
	c.Take(dir, []byte(data), []Edit{{At: at, Del: del, Text: []byte(text)}})
	return c
}

func TestSACKBlocksAreTranslatedOrLeftOut(t *testing.T) {
	// 1000..1020 went out as 1000..1025: 5 bytes, then ten for five, then ten.
	conn := edited(Original, "aaaaabbbbbcccccccccc", 5, 5, "BBBBBBBBBB")
	for _, c := range []struct {
		name         string
		blocks, want []uint32
	}{
		{"before the edit", []uint32{1001, 1004}, []uint32{1001, 1004}},
		{"behind the edit", []uint32{1016, 1020}, []uint32{1011, 1015}},
		{"the edit as a whole", []uint32{1005, 1015}, []uint32{1005, 1010}},
		{"all", []uint32{1000, 1025}, []uint32{1000, 1020}},
		{"half of the edit", []uint32{1005, 1010}, nil},
		{"from within the edit on", []uint32{1010, 1020}, []uint32{1010, 1015}},
		{"up to within the edit", []uint32{1002, 1012}, []uint32{1002, 1005}},
		{"one left out of two", []uint32{1007, 1010, 1016, 1020}, []uint32{1011, 1015}},
		{"one left out of three", []uint32{1001, 1003, 1006, 1007, 1018, 1020},
			[]uint32{1001, 1003, 1013, 1015}},
		{"forgotten", []uint32{500, 600}, nil},
	} {
		b := segment(true, 1000, 1000, nil, c.blocks)
		var p, q Packet
		p.Parse(b)
		out, changed := conn.Emit(nil, Reply, &p)
		if !changed {
			out = b
		}
		if !q.Parse(out) || !q.ChecksumOK() || q.Len() != p.Len() {
			t.Fatalf("%s: % x", c.name, out)
		}
		var got []uint32
		for s := q.SACK(); len(s) > 0; s = s[sackUnit:] {
			got = append(got, binary.BigEndian.Uint32(s), binary.BigEndian.Uint32(s[4:]))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %d became %d, want %d", c.name, c.blocks, got, c.want)
		}
		used := 4 + 4*len(c.want)
		if len(c.want) == 0 {
			used = 0
		}
		for _, o := range q.options()[used:] {
			if o != optNop {
				t.Errorf("%s: the room left is not filled with no-operations: % x", c.name, q.options())
			}
		}
	}
}

func TestUrgentPointerAndFINFollowTheEdit(t *testing.T) {
	for _, c := range []struct {
		name       string
		flags      byte
		urgent     uint16 // before and after
		wantUrgent uint16
		text       string // what the five bytes at 5 become
		wantFIN    bool
		wantLen    int
	}{
		{"no urgent data", ACK, 9, 9, "BBBBBBBB", false, 23},
		{"urgent before the edit", ACK | URG, 3, 3, "BBBBBBBB", false, 23},
		{"urgent behind a growing edit", ACK | URG, 15, 18, "BBBBBBBB", false, 23},
		{"urgent behind a shrinking edit", ACK | URG, 15, 12, "BB", false, 17},
		{"urgent at the end", ACK | URG, 20, 23, "BBBBBBBB", false, 23},
		{"FIN with data that fits", ACK | FIN, 0, 0, "BBBBBBBB", true, 23},
		{"FIN with data that does not", ACK | FIN, 0, 0, string(bytes.Repeat([]byte("B"), 600)), false,
			alwaysFits4 - 40},
	} {
		data := bytes.Repeat([]byte("a"), 20)
		pkt := ip4(tcp(c.flags, nil, data))
		binary.BigEndian.PutUint16(pkt[38:], c.urgent)
		var p, q Packet
		p.Parse(pkt)
		out, changed := edited(Original, string(data), 5, 5, c.text).Emit(nil, Original, &p)
		if !changed || !q.Parse(out) || !q.ChecksumOK() {
			t.Fatalf("%s: changed %v, % x", c.name, changed, out)
		}
		if q.urgent() != c.wantUrgent || (q.Flags()&FIN != 0) != c.wantFIN || len(q.Payload()) != c.wantLen ||
			q.Flags()&^FIN != c.flags&^FIN {
			t.Errorf("%s: urgent %d, flags %#x, %d bytes", c.name, q.urgent(), q.Flags(), len(q.Payload()))
		}
	}
}

func TestUnchangedPacketsLeaveAsTheyAre(t *testing.T) {
	var c Conn
	c.Begin(1000, 2000)
	c.Take(Original, []byte("NOOP\r\n"), nil)
	for _, b := range [][]byte{
		ip4(tcp(ACK, nil, []byte("NOOP\r\n"))), ip4(tcp(ACK, nil, nil)), ip4(tcp(SYN, nil, nil)),
		ip6(protoTCP, nil, tcp(RST, nil, nil)),
	} {
		var p Packet
		p.Parse(b)
		if out, changed := c.Emit([]byte("x"), Original, &p); changed || string(out) != "x" {
			t.Errorf("% x became % x", b, out)
		}
	}
}
