package rewrite

import "testing"

// mended returns what leaves in place of data, of which at is the original number and base the offset there.
func (d *doubt) mended(at uint32, base int32, data string) (out string) {
	done := 0
	for _, e := range d.mending(at, base, []byte(data)) {
		out += data[done:e.At] + string(e.Text)
		done = e.At + e.Del
	}
	return out + data[done:]
}

func TestWhatTakesThePlaceOfAnUnknownEditLosesNoLineEnd(t *testing.T) {
	for _, c := range []struct {
		from uint32
		mend int16
		data string
		want string
		left int16
	}{
		{8, 3, "\n", "xx\r\n", 0},
		{8, 1, "\n", "\r\n", 0},
		{8, 2, "\r\n", "xx\r\n", 0},
		{8, 2, "9)\r\n", "xx9)\r\n", 0},
		{8, -1, "9)\r\n", ")\r\n", 0},
		{8, 0, "9)\r\n", "9)\r\n", 0},
		// The line of the mark begins behind what is repeated with it.
		{13, 2, "PORT 1,2\r\n", "PORT xx1,2\r\n", 0},
		{13, -2, "PORT 1,2\r\n", "PORT 2\r\n", 0},
		{13, 2, "PORT ", "PORT ", 2},
		{13, -2, "PORT ", "PORT ", -2},
		{13, -2, "PORT 1", "PORT ", -1},
	} {
		d := doubt{mend: c.mend, mendFrom: c.from}
		if got := d.mended(8, 0, c.data); got != c.want || d.mend != c.left {
			t.Errorf("%q by %d: %q, want %q; %d are left, want %d",
				c.data, c.mend, got, c.want, d.mend, c.left)
		}
	}
}

// An earlier program edited lines from original number 100 on, and the receiver has one of them, or what
// follows them, behind a gap: it must be found where it lies.
func TestLineThatTheReceiverHasKeepsItsPlaceThoughWhatPrecedesItIsRepeated(t *testing.T) {
	const first, second, third = "T 1,2,3,4,5,6\r\n", "PORT 1,2,3,4,5,7\r\n", "PORT 1,2,3,4,5,8\r\n"
	for _, c := range []struct {
		name  string
		mend  int16
		block uint32 // final number; the offset in front of the lines is 10
		want  string // up to and with what the receiver has
		rest  string
	}{
		{"two became longer", 4, 110 + 15 + 2, "xx" + first, "xx" + second + third},
		{"one longer, one shorter", 0, 110 + 15 + 3, "xxx" + first, "T 1,2,3,4,5,7\r\n" + third},
		{"two shorter", -6, 110 + 15 - 3, ",2,3,4,5,6\r\n", "T 1,2,3,4,5,7\r\n" + third},
		{"its first line came untouched", 5, 110 + 15, first, "xxxxx" + second + third},
		{"what follows them", 4, 110 + 15 + 18 + 4, "xxxx" + first + second, third},
		{"no line can begin there", 4, 110 + 15 + 12, first + "PORT 1,2,3,4", "xxxx,5,7\r\n" + third},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := doubt{mend: c.mend, mendFrom: 100, plain: 100 + 15 + 36, block: c.block, hasBlock: true}
			if got := d.mended(100, 10, first+second+third); got != c.want+c.rest || d.mend != 0 {
				t.Errorf("it is %q, want %q; %d are left", got, c.want+c.rest, d.mend)
			}
		})
	}
}

func TestLineThatTheReceiverHasIsWaitedFor(t *testing.T) {
	d := doubt{mend: 4, mendFrom: 100, plain: 151, block: 110 + 15 + 18 + 4, hasBlock: true}
	if got := d.mended(100, 10, "T 1,2,3"); got != "T 1,2,3" || d.mend != 4 {
		t.Errorf("a part that lies far before it leaves as %q, %d are left", got, d.mend)
	}
}

// Of an edit in a line whose beginning has arrived the next program knows only how long it is.
func TestEditOfALineThatCameInPiecesIsAloneInFlight(t *testing.T) {
	for _, c := range []struct {
		next string // behind what is edited
		want string // what is taken of that; empty: the receiver is asked
	}{
		{"2\r\nPORT 3,4\r\n", "2\r\n"},
		{"2,", "2,"},
		{"2\r\n", "2\r\n"},
	} {
		var conn Conn
		room := Room{MaxPackets: 100, MaxBytes: 1 << 20}
		conn.Begin(5000, 1000)
		say := func(at int, data string, edits ...Edit) Arrival {
			var p Packet
			p.Parse(segment(false, uint32(5000+at), 1000, []byte(data), nil))
			a := conn.Receive(Original, &p, &room)
			if len(a.New) > 0 {
				conn.Take(Original, a.New, edits)
			}
			return a
		}
		answer := func(ack int) {
			var p Packet
			p.Parse(segment(false, 1000, uint32(5000+ack), nil, nil))
			conn.Receive(Reply, &p, &room)
		}
		say(0, "PORT ")
		answer(5)
		say(5, "1,", Edit{At: 0, Del: 2, Text: []byte("5,6,")})
		if a := say(7, c.next); string(a.New) != c.want {
			t.Errorf("%q: taken is %q, want %q", c.next, a.New, c.want)
		}
		if c.want != "2\r\n" {
			continue
		}
		if a := say(10, "PORT 3,4\r\n"); a.Fate != Ask {
			t.Errorf("beside an edit that did not arrive yet the next line leaves: %+v", a)
		}
		answer(9)
		if a := say(10, "PORT 3,4\r\n"); a.Fate != Go || len(a.New) != 10 {
			t.Errorf("when the edit has arrived the next line does not leave: %+v", a)
		}
	}
}

// Of a line in pieces the program that died had kept the beginning of an address back, and of that line the
// receiver has "22": the rest is repeated whole.
func TestLineThatWasCutBeforeItsEndIsCutThereAgain(t *testing.T) {
	for _, c := range []struct {
		mend int16
		end  uint32 // of what was edited
		data string
		want string
	}{
		{-3, 28, "7 Entering Passive Mode (10,0,1,66,4,5).\r\n", "7 Entering Passive Mode (x,x,xx,x,x).\r\n"},
		{-3, 28, "7 Entering Passive", "ntering Passive"}, // the end is not there yet
		{-2, 7, "EPRT |1|10.0.1.66|1025|\r\n", "EPRT |xx.x.x.xx|xxxx|\r\n"},
		{-2, 9, "|10,1,2\r\n", "x,x,x\r\n"}, // its end is among what was edited
	} {
		d := doubt{mend: c.mend, mendFrom: 100, blanks: true, plain: 100 + c.end}
		if got := d.mended(100, 0, c.data); got != c.want || d.mend != 0 {
			t.Errorf("%q by %d: %q, want %q; %d are left", c.data, c.mend, got, c.want, d.mend)
		}
	}
}

func TestNoAddressOfAnUnknownEditIsReadable(t *testing.T) {
	for _, c := range []struct {
		mend int16
		data []string // in pieces
		want string
	}{
		{1, []string{"10,0,1,66,4,5).\r\n"}, "xxx,x,x,xx,x,x).\r\n"},
		{0, []string{"10,0,1,66,4,5).\r\n"}, "xx,x,x,xx,x,x).\r\n"},
		{-2, []string{"10,0,1,66,4,5).\r\n"}, ",x,x,xx,x,x).\r\n"},
		{2, []string{"PORT 10,0", ",1,66,4,5\r\nCWD 7\r\n"}, "xxPORT xx,x,x,xx,x,x\r\nCWD 7\r\n"},
		{2, []string{"\r\n", "CWD 7\r\n"}, "xx\r\nCWD 7\r\n"},
	} {
		d, at, got := doubt{mend: c.mend, mendFrom: 100, plain: 200, blanks: true}, uint32(100), ""
		for _, piece := range c.data {
			got += d.mended(at, 0, piece)
			at += uint32(len(piece))
		}
		if got != c.want {
			t.Errorf("%q by %d leaves as %q, want %q", c.data, c.mend, got, c.want)
		}
	}
}

func TestLineThatMayBeEditedYetIsTakenWithoutWhatFollowsIt(t *testing.T) {
	var conn Conn
	room := Room{MaxPackets: 100, MaxBytes: 1 << 20}
	conn.Begin(5000, 1000)
	conn.Undecided(Original, true)
	var p Packet
	p.Parse(segment(false, 5000, 1000, []byte("T 1\r\nPORT 2\r\n"), nil))
	if a := conn.Receive(Original, &p, &room); string(a.New) != "T 1\r\n" {
		t.Errorf("taken is %q", a.New)
	}
}
