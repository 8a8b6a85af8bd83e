package ruleset

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
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
		exprs = toQueue(Config{NativeQueue: true}, bypass)
	case TargetQueue:
		exprs = toQueue(Config{}, bypass)
	case InnerHeader:
		exprs = hasPayload()
	}
	return try(table, func(nft *nftables.Conn, t *nftables.Table) {
		ch := nft.AddChain(&nftables.Chain{Table: t, Name: controlChain})
		nft.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: exprs})
	})
}

// TryHelper asks for a conntrack helper by its name, in the same way.
func TryHelper(table, helper string) error {
	return try(table, func(nft *nftables.Conn, t *nftables.Table) { addHelper(nft, t, helper) })
}

func try(table string, f func(*nftables.Conn, *nftables.Table)) error {
	err := transaction(func(nft *nftables.Conn) error {
		t := nft.AddTable(clear(nft, table))
		f(nft, t)
		nft.DelTable(t)
		return nil
	})
	if errno := unix.Errno(0); errors.As(err, &errno) {
		return fmt.Errorf("nftables answers: %w", errno)
	}
	return err
}
