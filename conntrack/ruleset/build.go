package ruleset

import (
	"github.com/google/nftables/expr"
)

// build is the transaction that puts the table in force in place of another. Its
// counters go on from counted.
func build(c Config, comment string, counted Counters) *batch {
	b := &batch{}
	b.renewTable(c.Table)
	if c.Helper != "" {
		b.addHelper(c.Table, c.Helper)
	}
	b.addPorts(c.Table, c.Ports, comment)
	all := chains(c)
	for _, ch := range all {
		b.addChain(c.Table, ch, c.Priority)
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
