package main

import (
	"cmp"

	"github.com/ftpalg/ftpalg/conntrack"
)

// adopting is a kernel that can replace the entry of a control connection that is older than the rules.
type adopting struct {
	*kernel
	entries entries
	helper  string // that it gets if it has none
}

// entries is the part of conntrack.Conn by which that is done.
type entries interface {
	Entry(t conntrack.Tuple, e *conntrack.Entry) error
	Replace(e *conntrack.Entry, helper string, u conntrack.Update) (conntrack.Flow, error)
	Update(original conntrack.Tuple, u conntrack.Update) error
}

// Adopt gives the entry what it lacks after the verdicts and updates before.
func (a adopting) Adopt(original conntrack.Tuple, u conntrack.Update) (conntrack.Flow, error) {
	if err := a.out.Flush(); err != nil {
		a.failed("give verdicts", err)
	}
	var e conntrack.Entry
	if err := a.entries.Entry(original, &e); err != nil {
		return conntrack.Flow{}, err
	}
	if e.Helper != "" && a.entries.Update(original, u) == nil {
		e.State, e.Flight, e.HasState = u.State, u.Flight, true // it had a label, which was empty
		return e.Flow, nil
	}
	return a.entries.Replace(&e, cmp.Or(e.Helper, a.helper), u)
}
