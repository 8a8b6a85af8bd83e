package dialogue

import "bytes"

// maxLine is how much of a line is looked at, in bytes. PORT, EPRT, 227 and 229 are
// far shorter; of longer lines only the verb or the code matters.
const maxLine = 512

// cutLine returns the first line of b with its end, or b if there is no line end.
func cutLine(b []byte) (piece []byte, whole bool) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i+1], true
	}
	return b, false
}

// line is a line that came in several pieces and has not ended yet.
type line struct {
	buf  []byte // its bytes so far, maxLine at most
	long bool   // there were more
	last byte   // of all that came
	bare bool   // it ended in a line feed without a carriage return
	mode mode
	from int // where mode begins to hold

	barred bool // it opens nothing: see Gate.Swallow
}

// mode is what happens to the bytes of such a line.
type mode uint8

const (
	undecided mode = iota // they go on, but that may change
	pass                  // they go on
	blank                 // they are made unreadable, byte for byte, so that the receiver refuses the line
	swallow               // they are judged, and go on, at the end of the line
)

// add takes one more piece, of a byte at least.
func (l *line) add(b []byte) {
	end := len(b) - 1
	if end > 0 {
		l.last = b[end-1]
	}
	l.bare = b[end] == '\n' && l.last != '\r'
	l.last = b[end]
	if room := maxLine - len(l.buf); len(b) > room {
		b, l.long = b[:room], true
	}
	l.buf = append(l.buf, b...)
}

// hold has the rest of the line swallowed, or blanked if it may not be.
func (l *line) hold(may bool) {
	if l.mode, l.barred = swallow, !may; l.barred {
		l.mode = blank
	}
}

// change is an edit of a line; del 0: none.
type change struct {
	at, del int
	text    []byte
}

func blanked(start, end int) change {
	n := min(end-start, len(filler))
	return change{at: start, del: n, text: filler[:n]}
}

// isEnd tells whether b belongs to the end of a line.
func isEnd(b byte) bool { return b == '\r' || b == '\n' }

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// endOf returns the end of a line: the line feed, and the carriage return before it if there is one.
func endOf(ln []byte) []byte {
	if bytes.HasSuffix(ln, []byte("\r\n")) {
		return ln[len(ln)-2:]
	}
	return ln[len(ln)-1:]
}
