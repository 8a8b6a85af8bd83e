package alg

import (
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
)

// orphans are expectations in the kernel whose session is not known, or not any more, by the original
// tuple of its control connection. They are closed with it, and a line that
// comes again is rewritten to the same port.
type orphans struct {
	byMaster map[conntrack.Tuple]conntrack.Expectation
	until    time.Time // when the last of them is gone
}

func (o *orphans) init() { o.byMaster = map[conntrack.Tuple]conntrack.Expectation{} }

func (o *orphans) none() bool { return len(o.byMaster) == 0 }

func (o *orphans) of(master conntrack.Tuple) (conntrack.Expectation, bool) {
	e, ok := o.byMaster[master]
	return e, ok
}

func (o *orphans) add(e conntrack.Expectation, now time.Time) {
	o.byMaster[e.Master] = e
	if end := now.Add(e.Timeout); end.After(o.until) {
		o.until = end
	}
}

func (o *orphans) remove(master conntrack.Tuple) {
	if len(o.byMaster) > 0 {
		delete(o.byMaster, master)
	}
}

func (o *orphans) sweep(now time.Time) {
	if len(o.byMaster) > 0 && now.After(o.until) {
		clear(o.byMaster)
	}
}
