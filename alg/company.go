package alg

import "time"

// Company is what is known of other programs that write entries of control connections, as what replicates
// them to another gateway does.
type Company struct {
	// Told says that Changed, NotAlone or Unheard is called within milliseconds of what they tell of, or
	// within a second of the first that there is to tell.
	Told bool
	// Hears says that they are also for who only changes entries, and makes none.
	Hears bool

	notAlone bool   // there may be such a program
	copied   bool   // there is
	unheard  moment // until when nobody told of what it wrote
}

// Accompanied tells that another program writes entries of control connections.
func (c *Company) Accompanied() { c.notAlone, c.copied = true, true }

// NotAlone tells that one may, because it cannot be known.
func (c *Company) NotAlone() { c.notAlone = true }

// Alone tells whether no other program writes entries of control connections, as far as the kernel tells.
func (c *Company) Alone() bool { return c.Told && !c.notAlone }

// Copied tells whether another program wrote such entries, as what replicates them does. It may replace them
// too, and the gateway wants to be told the entries of packets (Origin.Entry).
func (c *Company) Copied() bool { return c.copied }

// looks returns at how many entries a tick looks, and since when they must not have been looked at, to find
// what nobody told of.
func (c *Company) looks(now moment) (most int, since moment) {
	if c.Told && !c.Hears {
		return lookStep, now - lookedAt
	}
	return sweepStep, c.unheard
}

// believes returns for how long after its last packet what is remembered of a session is believed.
func (c *Company) believes() time.Duration {
	if c.Alone() {
		return aloneFor
	}
	return verifyEvery
}
