package alg

import "github.com/ftpalg/ftpalg/conntrack"

// Kernel is what the gateway asks of connection tracking; conntrack.Conn is it.
type Kernel interface {
	// Flow returns the entry that the tuple of either direction belongs to; conntrack.ErrNotFound: none.
	Flow(t conntrack.Tuple) (conntrack.Flow, error)
	// Update changes the entry with this original tuple, before the packet under way goes on. What becomes
	// known later is told to Gateway.Refused.
	Update(original conntrack.Tuple, u conntrack.Update) error
	// Expect lets a data connection in, and sets e.ID and e.Told; see conntrack for its errors.
	Expect(e *conntrack.Expectation) error
	// Withdraw takes an expectation back, with the ID that it got. It is no error if it was used meanwhile.
	Withdraw(e conntrack.Expectation) error
}

// Adopter is a Kernel that can give a control connection a new entry. One that is older than the rules lacks
// a helper, without which nothing can be expected, and room for a label and for offsets.
type Adopter interface {
	// Adopt replaces the entry with this original tuple by one that has all that, and what u says. The error
	// is conntrack.ErrBusy if something hangs on the entry. After another error there may be another entry
	// like the old one, or none.
	Adopt(original conntrack.Tuple, u conntrack.Update) (conntrack.Flow, error)
}

// Vacater is a Kernel that can make way for a new connection.
type Vacater interface {
	// Vacate removes the entry that has t as the tuple of one of its directions, if its connection has
	// ended. If it has not, the error is conntrack.ErrBusy and holder its original tuple.
	Vacate(t conntrack.Tuple) (holder conntrack.Tuple, err error)
}
