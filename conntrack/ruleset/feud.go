package ruleset

import "time"

const (
	// freeRepairs come at once, however fast the same program undoes them.
	freeRepairs = 5
	// A program that undoes a repair within fightTime is taken to fight.
	fightTime = time.Second
	// Waits of a fight: each is twice the last one.
	firstWait, longestWait = 100 * time.Millisecond, 10 * time.Second
	// mostFeuds bounds the memory of programs; the kernel's names are of 15 bytes.
	mostFeuds = 64
)

// feuds tells programs that change the table once in a while from those that
// undo each repair, of which there may be several.
type feuds map[string]*feud

type feud struct{ undone int } // repairs in a row

// wait returns how long to wait before what the program did is repaired, and how
// many repairs in a row it has undone by that. repaired is when the last one was.
func (f *feuds) wait(program string, repaired, now time.Time) (wait time.Duration, undone int) {
	if *f == nil || len(*f) >= mostFeuds && (*f)[program] == nil {
		*f = feuds{}
	}
	of := (*f)[program]
	if of == nil {
		of = &feud{}
		(*f)[program] = of
	}
	if now.Sub(repaired) > fightTime {
		of.undone = 0
	} else {
		of.undone++
	}
	if of.undone < freeRepairs {
		return 0, of.undone
	}
	return min(firstWait<<min(of.undone-freeRepairs, 10), longestWait), of.undone
}
