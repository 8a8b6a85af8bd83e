package alg

import "github.com/ftpalg/ftpalg/alg/ftp"

// maxAsks is how many unanswered commands are told apart. Beyond it a pipelined
// command is still counted, but as one that asks for nothing.
const maxAsks = 64

// askEPSVAll stands for EPSV ALL, which asks for no port.
const askEPSVAll = ftp.Verb(ftp.NumVerbs)

// asks are the commands that wait for their reply, oldest first: servers answer
// in order, each with one final reply (RFC 959 section 5.4).
type asks struct {
	verb [maxAsks]ftp.Verb
	head uint8
	n    uint8
	more uint32 // commands that came when verb was full
	in   uint32 // how many commands came
	out  uint32 // how many were answered
}

// push adds a command.
func (a *asks) push(v ftp.Verb) {
	a.in++
	if a.n == maxAsks {
		a.more++
		return
	}
	a.add(v)
}

func (a *asks) add(v ftp.Verb) {
	a.verb[(a.head+a.n)%maxAsks] = v
	a.n++
}

// pop removes and returns the oldest command; None if there is none.
func (a *asks) pop() ftp.Verb {
	if a.n == 0 {
		return ftp.None
	}
	v := a.verb[a.head]
	a.head = (a.head + 1) % maxAsks
	a.n--
	a.out++
	if a.more > 0 {
		a.more--
		a.add(ftp.Other)
	}
	return v
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
	for i := range a.n {
		if a.verb[(a.head+i)%maxAsks].AsksPassive() {
			return true
		}
	}
	return false
}

func (a *asks) empty() bool { return a.n == 0 }
