package alg

import (
	"time"

	"github.com/ftpalg/ftpalg/alg/internal/elastic"
	"github.com/ftpalg/ftpalg/conntrack"
)

// orphans are expectations in the kernel whose session is not known, or not any more, by the original
// tuple of its control connection. They are closed with it, and a line that
// comes again is rewritten to the same port.
type orphans struct {
	byMaster elastic.Map[conntrack.Tuple, conntrack.Expectation]
	until    time.Time // when the last of them is gone
}

func (o *orphans) none() bool { return o.byMaster.Len() == 0 }

func (o *orphans) of(master conntrack.Tuple) (conntrack.Expectation, bool) {
	return o.byMaster.Get(master)
}

func (o *orphans) add(e conntrack.Expectation, now time.Time) {
	o.byMaster.Set(e.Master, e)
	if end := now.Add(e.Timeout); end.After(o.until) {
		o.until = end
	}
}

func (o *orphans) remove(master conntrack.Tuple) {
	if !o.none() {
		o.byMaster.Delete(master)
	}
}

func (o *orphans) sweep(now time.Time) {
	if !o.none() && now.After(o.until) {
		o.byMaster.Clear()
	}
}
