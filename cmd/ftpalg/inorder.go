package main

import (
	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/conntrack"
)

// inOrder is a kernel that gets the verdicts of earlier packets before anything is
// asked or changed for a later one. An offset that is stored too early would be
// applied to packets that already have it.
type inOrder struct {
	kernel alg.Kernel
	flush  func() // sends the verdicts
}

func (k *inOrder) Flow(t conntrack.Tuple) (conntrack.Flow, error) {
	k.flush()
	return k.kernel.Flow(t)
}

func (k *inOrder) Update(original conntrack.Tuple, u conntrack.Update) error {
	k.flush()
	return k.kernel.Update(original, u)
}

func (k *inOrder) Expect(e conntrack.Expectation) error {
	k.flush()
	return k.kernel.Expect(e)
}

func (k *inOrder) Withdraw(e conntrack.Expectation) error {
	k.flush()
	return k.kernel.Withdraw(e)
}
