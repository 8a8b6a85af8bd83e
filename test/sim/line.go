package sim

import (
	"fmt"
	"strings"
)

// Fate is what may become of a line.
type Fate uint8

const (
	Exact   Fate = iota // it arrives as one program that never ends would make it
	Plain               // or as it was sent: nobody could know that it wanted a change
	Damaged             // it was in flight while a program died: it may be spoilt, but keeps its place
	Torn                // so were edits of lines in pieces, of which the receiver had some behind a gap: as
	// Damaged, but what fills the gap may lack the end of a line
)

// Line is one line of a sender, with its end.
type Line struct {
	Text string
	Want []string // the renderings that are right; none: the text
	Ask  int      // of a reply: the number of the line that it answers; -1: unknown

	start uint32 // offset in the sender's data
	fate  Fate
}

func (l *Line) end() uint32 { return l.start + uint32(len(l.Text)) }

// Spoil says that f may become of the line, or what was said before if it is worse.
func (l *Line) Spoil(f Fate) { l.fate = max(l.fate, f) }

// Spoilt tells whether the line may have passed unread.
func (l *Line) Spoilt() bool { return l.fate != Exact }

// Arrived returns the length of the rendering of l that b starts with, or 0.
func (l *Line) Arrived(b string) int {
	for _, w := range l.Want {
		if strings.HasPrefix(b, w) {
			return len(w)
		}
	}
	if (len(l.Want) == 0 || l.fate != Exact) && strings.HasPrefix(b, l.Text) {
		return len(l.Text)
	}
	return 0
}

// reading finds the lines that were sent in what arrived.
type reading struct {
	lines []Line
	got   string
	ends  []int // where exact lines ended for the receiver

	line, at int // how far it came, and why not further
	why      string
}

// match tells whether the lines from i on are what arrived from at on.
func (r *reading) match(i, at int) bool {
	if i == len(r.lines) {
		return at == len(r.got) || r.fail(i, at, "was not sent")
	}
	l := &r.lines[i]
	if l.fate < Damaged {
		n := l.Arrived(r.got[at:])
		if n == 0 {
			return r.fail(i, at, fmt.Sprintf("%q is not there", l.Text))
		}
		r.ends[i] = at + n
		return r.match(i+1, at+n)
	}
	next := i
	for next < len(r.lines) && r.lines[next].fate >= Damaged {
		next++
	}
	fits := false
	for to := at + 1; to <= len(r.got); to++ {
		if r.got[to-1] == '\n' && outOfStep(r.lines[i:next], r.got[at:to]) == "" {
			if fits = true; r.match(next, to) {
				return true
			}
		}
	}
	return !fits && r.fail(i, at, fmt.Sprintf("%q and spoilt ones after it are out of step: %s",
		l.Text, outOfStep(r.lines[i:next], r.got[at:])))
}

func (r *reading) fail(line, at int, why string) bool {
	if r.why == "" || line >= r.line {
		r.line, r.at, r.why = line, at, why
	}
	return false
}

// outOfStep tells what is wrong with what arrived of lines that were in flight when a program died, if
// it is more than that they are spoilt.
func outOfStep(lines []Line, got string) string {
	least, most, torn := 0, 0, false
	for i := range lines {
		l := &lines[i]
		lo, hi := len(l.Text), len(l.Text)
		for _, s := range l.Want {
			lo, hi = min(lo, len(s)), max(hi, len(s))
		}
		least, most, torn = least+min(lo, 1), most+hi+10, torn || l.fate == Torn
	}
	switch n := strings.Count(got, "\n"); {
	case !strings.HasSuffix(got, "\n"):
		return "the last has no end"
	case n < len(lines) && !torn:
		return fmt.Sprintf("only %d arrived", n)
	case len(got) < least || len(got) > most:
		return fmt.Sprintf("%d bytes arrived, not %d to %d", len(got), least, most)
	}
	return ""
}
