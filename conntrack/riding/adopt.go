package riding

import (
	"cmp"

	"github.com/ftpalg/ftpalg/conntrack"
)

// Adopt replaces the entry of a control connection that is older than the rules, after the verdicts and
// updates before. Errors are those of [conntrack.Conn.Replace].
func (k *Kernel) Adopt(original conntrack.Tuple, u conntrack.Update) (conntrack.Flow, error) {
	k.flush()
	var e conntrack.Entry
	if err := k.conn.Entry(original, &e); err != nil {
		return conntrack.Flow{}, err
	}
	return k.conn.Replace(&e, cmp.Or(e.Helper, k.helper), u)
}
