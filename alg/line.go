package alg

import (
	"bytes"

	"github.com/ftpalg/ftpalg/rewrite"
)

// maxLine is how much of a line is looked at, in bytes. PORT, EPRT, 227 and 229 are
// far shorter; of longer lines only the verb or the code matters.
const maxLine = 512

// line is what is known of the unfinished line of one direction.
type line struct {
	buf  []byte // its bytes so far, maxLine at most
	long bool   // there were more
	skip bool   // it began before we looked: nothing until its end counts
	done bool   // judged already, at its carriage return
	plan plan
}

func (l *line) reset() {
	l.buf, l.plan.text = l.buf[:0], l.plan.text[:0]
	*l = line{buf: l.buf, plan: plan{text: l.plan.text}}
}

// midLine tells whether the line has begun and not ended.
func (l *line) midLine() bool { return l.skip || len(l.buf) > 0 }

func (l *line) add(b []byte) {
	if room := maxLine - len(l.buf); len(b) > room {
		b, l.long = b[:room], true
	}
	l.buf = append(l.buf, b...)
}

// planMode is what happens to the argument of a line that is passed on in
// pieces. Nothing is held back: a sender with Nagle's algorithm sends the rest
// only when the first piece is acknowledged.
type planMode uint8

const (
	undecided planMode = iota
	pass               // as it is
	blank              // made unreadable, byte for byte, so that the receiver refuses the line
	own                // as it is, as long as it can still become the sender's own address
	early              // replaced by text known beforehand
)

// plan is the state of the edit of such a line.
type plan struct {
	mode planMode
	arg  int    // where the argument starts in the line
	text []byte // early: what the argument becomes
	at   int    // early: how much of text was sent
	keep int    // early: how much of text may be sent before the line is judged
	port uint16 // early: the port in text
	run  bool   // early, in a reply: the numbers have begun
	tail int    // early, in a reply: where the text behind them starts; 0: not yet

	returns int // early, in a command: carriage returns that wait for the line feed
}

// filler is what blanked arguments consist of.
var filler = bytes.Repeat([]byte{'x'}, maxLine)

// next returns what is sent in place of one byte of the old argument.
func (p *plan) next() []byte {
	if p.at < p.keep {
		p.at++
		return p.text[p.at-1 : p.at]
	}
	return nil
}

// rest returns what of the text is still to be sent when the line has been judged.
func (p *plan) rest(ok bool) []byte {
	if ok {
		return p.text[p.at:]
	}
	return filler[:1:1]
}

// change is an edit of a line that came whole; del 0: none.
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

// addEdit notes an edit of the data under way.
func (g *Gateway) addEdit(at, del int, text []byte) {
	if del > 0 {
		g.edits = append(g.edits, rewrite.Edit{At: at, Del: del, Text: text})
	}
}
