package alg

import (
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// deleted are the sessions, by original tuple, whose entries another program deleted. What replicates entries
// puts another one, with what it heard of last, in the place of one that it cannot change. What a session
// remembers that is here is newer: it goes on with that, and the entry is written anew.
type deleted []conntrack.Tuple

func (d *deleted) add(s *session) {
	s.lostDoor(policy.SessionEnded) // it went with the entry
	s.suspect = true
	*d = append(*d, s.original())
}

// sweep forgets the sessions in whose entry's place none was put.
func (d *deleted) sweep(g *Gateway) {
	for _, t := range *d {
		if s := g.table.find(t); s != nil && s.suspect && !s.kept.verify(s) {
			g.drop(s)
		}
	}
	*d = (*d)[:0]
}
