package ruleset

import (
	"errors"
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack"
)

// Feature is one thing that the rules need of the kernel.
type Feature uint8

const (
	Tables      Feature = iota // nf_tables itself, family inet
	Labels                     // conntrack labels
	NativeQueue                // the queue statement
	TargetQueue                // the xt target NFQUEUE in an nftables rule
	InnerHeader                // loading what follows the TCP header
	Spread                     // choosing a queue by a hash of the client's port
)

// Try asks the kernel for a feature: nil or why it has it not. It makes a table
// with one rule, in a chain that no packet comes to, and removes it in the same
// transaction, so that nothing of it is ever in force.
func Try(table string, f Feature) error {
	var exprs []expr.Any
	switch f {
	case Labels:
		exprs = join(setLabel(conntrack.StateControl), hasLabel(conntrack.StateBusy))
	case NativeQueue:
		exprs = []expr.Any{toQueue(Config{NativeQueue: true}, 0, bypass)}
	case TargetQueue:
		exprs = []expr.Any{toQueue(Config{}, 0, bypass)}
	case InnerHeader:
		exprs = hasPayload()
	case Spread:
		exprs = isWorker(2, 0)
	}
	return try(table, func(b *batch) {
		b.addChain(table, chain{name: controlChain}, 0)
		b.addRule(table, controlChain, exprs)
	})
}

// TryHelper asks for a conntrack helper by its name, in the same way; but not if some table has
// one: with the trial's own the kernel would drop what waits in the queues of all programs
// (nft_ct_helper_obj_destroy in net/netfilter/nft_ct.c).
func TryHelper(table, helper string) error {
	if s, err := openSocket(0); err == nil {
		defer func() { _ = s.close() }()
		if s.helps(helper) {
			return nil
		}
	}
	return try(table, func(b *batch) { b.addHelper(table, helper) })
}

func try(table string, f func(*batch)) error {
	s, err := openSocket(0)
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }()
	var b batch
	b.renewTable(table)
	f(&b)
	b.deleteTable(table)
	err = s.commit(0, &b)
	if errno := unix.Errno(0); errors.As(err, &errno) {
		return fmt.Errorf("nftables answers: %w", err)
	}
	return err
}
