package rewrite

import "bytes"

// Lines that an earlier program edited are repeated, and how it edited them is not known any more, but by
// how many bytes all of them together: see half.place. So that both ends stay in step something as long takes
// their place, one line for one; and so that the receiver takes no address for one that it may use, the first
// line lacks its digits.

// mending returns the edits to make in data, which begins at original number seq and offset delta.
func (d *doubt) mending(seq uint32, delta int32, data []byte) []Edit {
	from := min(max(0, int(int32(d.mendFrom-seq))), len(data))
	edits := d.resizing(seq, delta, from, data)
	d.mends = d.mends || len(edits) > 0
	if !d.blanks {
		return edits
	}
	line, _, ended := bytes.Cut(data[from:], []byte{'\n'})
	d.blanks = !ended
	return blankDigits(edits, data, from+codeRest(line), from+len(line))
}

// codeRest returns how much of a line's part is the rest of a reply's code, of which the receiver has the
// beginning.
func codeRest(part []byte) int {
	for i, b := range part[:min(len(part), len("229"))] {
		switch {
		case i > 0 && (b == ' ' || b == '-'):
			return i
		case b < '0' || b > '9':
			return 0
		}
	}
	return 0
}

// cutFrom returns where behind at data is cut that is to lose n bytes of what ends at end. Of a line that
// had not ended an earlier program kept the last bytes back, the beginning of an address. Where that cannot
// be, or the end is not there yet, it is cut at once.
func cutFrom(data []byte, at, end, n int) int {
	from := end - n
	if end > len(data) || from < at || bytes.IndexByte(data[from:end], '\n') >= 0 {
		return at
	}
	return from
}

// blankDigits adds to edits, of a byte each, those that make the digits in a part of data unreadable.
func blankDigits(edits []Edit, data []byte, from, to int) (all []Edit) {
	for i := range data {
		digit := i >= from && i < to && data[i] >= '0' && data[i] <= '9'
		switch {
		case len(edits) > 0 && edits[0].At == i:
			e := edits[0]
			if n := len(e.Text); digit && n > 0 {
				e.Text[n-1] = 'x'
			}
			all, edits = append(all, e), edits[1:]
		case digit:
			all = append(all, Edit{At: i, Del: 1, Text: []byte{'x'}})
		}
	}
	return all
}

// resizing returns the edits that make data as much longer or shorter as is due, behind at. What precedes
// that has gone by as it was, and the receiver may have some of it. Where it has some of the lines behind a
// gap, the first of these keeps its place.
func (d *doubt) resizing(seq uint32, delta int32, at int, data []byte) (edits []Edit) {
	if d.hasBlock {
		had := int(int32(d.block - uint32(delta) - seq)) // where it begins if nothing grows before it
		line, grown, ok := d.lineAt(had, at, data)
		switch {
		case ok:
			edits = resize(edits, data[:line], at, grown)
			d.mend -= int16(grown)
			at = line
		case had >= len(data) && before(seq+uint32(len(data)), d.plain):
			return nil // it may come yet
		default:
			at = max(at, min(had, len(data)-1)) // of the last piece there is at least the end of the line
		}
		d.hasBlock = false
	}
	if d.blanks && d.mend < 0 {
		at = cutFrom(data, at, int(int32(d.plain-seq)), -int(d.mend))
	}
	before := len(edits)
	edits = resize(edits, data, at, int(d.mend))
	for _, e := range edits[before:] {
		d.mend -= int16(len(e.Text) - e.Del)
	}
	return edits
}

// lineAt returns where behind at the line begins that the receiver has at place had of data as it was sent,
// and by how much what precedes it must grow: by no more than all of it, give or take a few bytes, for one
// line may have become longer and another shorter.
func (d *doubt) lineAt(had, at int, data []byte) (line, grown int, ok bool) {
	const few = 4
	least, most := min(0, int(d.mend)), max(0, int(d.mend))
	best := few + 1
	for i := at; i < len(data); i++ {
		if i > 0 && data[i-1] != '\n' {
			continue
		}
		k := had - i
		off := max(least-k, k-most, 0)
		if off < best && resizable(data[at:i], k) {
			line, grown, best, ok = i, k, off, true
		}
	}
	return line, grown, ok
}

// resizable tells whether data can be made longer by n bytes.
func resizable(data []byte, n int) bool {
	return n == 0 || len(data) > 0 && len(data)-bytes.Count(data, []byte{'\n'}) >= -n
}

// resize appends the edits that make what is behind at in data longer by n bytes, or as far as it goes
// shorter. No line end is lost: what an earlier program kept back may have had the carriage return in it.
func resize(edits []Edit, data []byte, at, n int) []Edit {
	if n > 0 && at < len(data) {
		text := append(bytes.Repeat([]byte{'x'}, n), data[at])
		if data[at] == '\n' {
			text[n-1] = '\r'
		}
		return append(edits, Edit{At: at, Del: 1, Text: text})
	}
	for ; at < len(data) && n < 0; at++ {
		if data[at] != '\n' {
			edits = append(edits, Edit{At: at, Del: 1})
			n++
		}
	}
	return edits
}
