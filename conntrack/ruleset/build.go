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
//
// So does the helper: with an object for one the kernel drops what waits in all queues
// (nft_ct_helper_obj_destroy in net/netfilter/nft_ct.c).
func build(c Config, comment string, counted Counters, there contents) *batch {
	b := &batch{}
	keep := there.hooked(c)
	helped := len(keep) > 0 && there.helped(c.Helper)
	if len(keep) == 0 {
		b.renewTable(c.Table)
	} else {
		b.addTable(c.Table)
		b.emptyTable(there, keep, c.Helper)
	}
	if c.Helper != "" && !helped {
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
