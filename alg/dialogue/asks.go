package dialogue

import (
	"sync"

	"github.com/ftpalg/ftpalg/alg/ftp"
)

// maxRuns bounds what is kept of unanswered commands. One command more that asks for something is
// refused then, and so asks for nothing.
const maxRuns = 256

// askEPSVAll stands for EPSV ALL, which asks for no port.
const askEPSVAll = ftp.Verb(ftp.NumVerbs)

// asks are the commands that wait for their reply, oldest first: servers answer
// in order, each with one final reply (RFC 959 section 5.4). Equal ones in a row are counted.
type asks struct {
	runs *[]run // nil: none waits
	in   uint32 // how many commands came
	out  uint32 // how many were answered
}

type run struct {
	n    uint32
	verb ftp.Verb
}

// spareRuns are of dialogues in which no command waits, for those in which one comes.
var spareRuns = sync.Pool{New: func() any { return new([]run) }}

// waits returns the commands that wait, oldest first.
func (a *asks) waits() []run {
	if a.runs == nil {
		return nil
	}
	return *a.runs
}

// plain leaves of a verb what matters for its reply.
func plain(v ftp.Verb) ftp.Verb {
	switch v {
	case ftp.LPRT, ftp.LPSV, ftp.CCC:
		return ftp.Other
	}
	return v
}

// full tells whether there is no place for a command that asks for something.
func (a *asks) full(v ftp.Verb) bool {
	v = plain(v)
	runs := a.waits()
	return v != ftp.Other && len(runs) >= maxRuns-1 && runs[len(runs)-1].verb != v
}

// push adds a command. There is always a place for ftp.Other.
func (a *asks) push(v ftp.Verb) {
	v = plain(v)
	a.in++
	runs := a.waits()
	if k := len(runs) - 1; k >= 0 && runs[k].verb == v {
		runs[k].n++
		return
	}
	if a.runs == nil {
		a.runs = spareRuns.Get().(*[]run)
	}
	*a.runs = append(*a.runs, run{1, v})
}

// pop removes and returns the oldest command; None if there is none.
func (a *asks) pop() ftp.Verb {
	runs := a.waits()
	if len(runs) == 0 {
		return ftp.None
	}
	v := runs[0].verb
	a.out++
	if runs[0].n--; runs[0].n == 0 {
		*a.runs = runs[:copy(runs, runs[1:])]
		a.spare()
	}
	return v
}

// spare gives back what is not needed while no command waits.
func (a *asks) spare() {
	const small = 8
	if len(*a.runs) > 0 {
		return
	}
	if cap(*a.runs) <= small {
		spareRuns.Put(a.runs)
	}
	a.runs = nil
}

// popPassive removes everything up to and with the oldest command that asks for
// a passive port, and tells whether there was one. Servers that answer a command
// too little or too often are so brought back into step.
func (a *asks) popPassive() bool {
	if !a.passive() {
		return false
	}
	for !a.pop().AsksPassive() {
	}
	return true
}

// passive tells whether a command that asks for a passive port waits.
func (a *asks) passive() bool {
	for _, r := range a.waits() {
		if r.verb.AsksPassive() {
			return true
		}
	}
	return false
}

// has tells whether such a command waits.
func (a *asks) has(v ftp.Verb) bool {
	for _, r := range a.waits() {
		if r.verb == v {
			return true
		}
	}
	return false
}

// waiting returns how many commands wait.
func (a *asks) waiting() uint32 { return a.in - a.out }

func (a *asks) empty() bool { return a.runs == nil }

// forget drops all commands that wait.
func (a *asks) forget() { a.runs, a.out = nil, a.in }
