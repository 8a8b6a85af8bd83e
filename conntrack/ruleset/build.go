package ruleset

import (
	"github.com/google/nftables/expr"
)

// build is the transaction that puts the table in force in place of what has its
// name. Its counters go on from counted.
//
// Chains with a hook stay if they are as they should be. A packet that waits in a
// queue knows its place among the hooks by number alone (nf_reinject in
// net/netfilter/nf_queue.c): while one more hook is before it, it comes to the same
// chain again, rewritten as it is, and if one less is, it leaves out the next one,
// which translates addresses.
func build(c Config, comment string, counted Counters, there contents) *batch {
	b := &batch{}
	keep := there.hooked(c)
	if len(keep) == 0 {
		b.renewTable(c.Table)
	} else {
		b.addTable(c.Table)
		b.emptyTable(there, keep)
	}
	if c.Helper != "" {
		b.addHelper(c.Table, c.Helper)
	}
	b.addPorts(c.Table, c.Ports, comment)
	all := chains(c)
	for _, ch := range all {
		if !keep[ch.name] {
			b.addChain(c.Table, ch, c.Priority)
		}
	}
	for _, ch := range all {
		for _, r := range ch.rules {
			resume(r.exprs, &counted)
			b.addRule(c.Table, ch.name, r.exprs)
		}
	}
	return b
}

// resume gives the first counter of each kind what was counted before.
func resume(exprs []expr.Any, counted *Counters) {
	for i, e := range exprs {
		n, ok := e.(*expr.Counter)
		if !ok {
			continue
		}
		total := &counted.Held
		if bypasses(exprs[i+1]) {
			total = &counted.Offered
		}
		n.Packets, *total = *total, 0
	}
}

// bypasses reads back what toQueue was told.
func bypasses(e expr.Any) bool {
	switch q := e.(type) {
	case *expr.Queue:
		return q.Flag&bypass != 0
	case *expr.Target:
		return targetFlags(*q.Info.(*xtInfo))&bypass != 0
	}
	return false
}
