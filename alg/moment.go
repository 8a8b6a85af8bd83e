package alg

import (
	"math"
	"time"
)

// moment is a time in nanoseconds since the gateway began: a third of the room of a time.Time.
type moment int64

// never is before all others.
const never = moment(math.MinInt64 / 2)

// underWay is how long after the beginning a packet that went by before may still be on its way: where the
// next hop is not known the kernel keeps packets for three seconds (net.ipv4.neigh, mcast_solicit).
const underWay = moment(10 * time.Second)

func (m moment) since(earlier moment) time.Duration { return time.Duration(m - earlier) }

// beginning is what moments are counted from.
type beginning struct{ time.Time }

// at returns the moment of a time.
func (b beginning) at(t time.Time) moment { return moment(t.Sub(b.Time)) }

// time returns the time of a moment.
func (b beginning) time(m moment) time.Time { return b.Add(time.Duration(m)) }
