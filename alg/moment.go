package alg

import (
	"math"
	"time"
)

// moment is a time in nanoseconds since the gateway began: a third of the room of a time.Time.
type moment int64

// never is before all others.
const never = moment(math.MinInt64 / 2)

// at returns the moment of a time.
func (g *Gateway) at(t time.Time) moment { return moment(t.Sub(g.began)) }

// time returns the time of a moment.
func (g *Gateway) time(m moment) time.Time { return g.began.Add(time.Duration(m)) }

// moment is now.
func (g *Gateway) moment() moment { return g.at(g.now) }

func (m moment) since(earlier moment) time.Duration { return time.Duration(m - earlier) }
