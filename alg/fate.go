package alg

import (
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// The kernel's events come by another way than packets, so that a door may be shut here before it is known
// that its connection has come. What came of a door is decided when it has been shut, or gone from the
// kernel, for settleTime.
const settleTime = time.Second

// story is that of a door, from its opening to the end of its data connection.
type story struct {
	Fate
	master  conntrack.Tuple
	timeout time.Duration

	watched bool      // the kernel tells of it
	shutAt  time.Time // when it was shut, or was gone; zero: it is open
	used    bool      // it was gone because a packet came

	data        conntrack.Tuple // original tuple of the data connection; zero: it did not come
	came        time.Time
	established bool
	state       conntrack.TCPState
	ended       bool // nothing will be added

	full    time.Duration // the most that was left of the control connection's timeout
	renewal time.Time     // when to look at it next
}

// stories holds those that have no end yet.
type stories struct {
	waiting map[storyKey]*story // whose connection has not come
	flowing map[key]*story      // by the original tuple of the data connection
	shut    []*story            // those of waiting that are shut, the oldest first
	asks    []*story            // those of flowing of which events may have been lost
	swept   time.Time
}

// storyKey is what tells one expectation of the kernel from the others.
type storyKey struct {
	master key
	open   netip.AddrPort
}

func (f *stories) init() { f.waiting, f.flowing = map[storyKey]*story{}, map[key]*story{} }

func (f *stories) none() bool { return len(f.waiting)+len(f.flowing)+len(f.shut) == 0 }

// find returns what waits at an address for a control connection.
func (f *stories) find(master conntrack.Tuple, open netip.AddrPort) *story {
	return f.waiting[storyKey{keyOf(master), open}]
}

// await begins the story of a door.
func (g *Gateway) await(m dialogue.Mode, e *dialogue.Endpoints, x *conntrack.Expectation) *story {
	f := &story{master: x.Master, timeout: x.Timeout, Fate: Fate{
		Mode: m, Client: e.Client, Server: e.Server, Open: x.Dst, Target: x.Target, Opened: g.now,
	}}
	if old := g.stories.find(x.Master, x.Dst); old != nil {
		g.decide(old)
	}
	g.stories.waiting[storyKey{keyOf(x.Master), x.Dst}] = f
	return f
}

// again returns the story of a door that is found open, which may have begun before.
func (g *Gateway) again(m dialogue.Mode, e *dialogue.Endpoints, x *conntrack.Expectation) *story {
	if f := g.stories.find(x.Master, x.Dst); f != nil && f.shutAt.IsZero() {
		return f
	}
	return g.await(m, e, x)
}

// giveUp notes that a door is shut.
func (g *Gateway) giveUp(f *story, why policy.Reason, at time.Time) {
	if f == nil || f.ended || !f.came.IsZero() || !f.shutAt.IsZero() {
		return
	}
	f.Why, f.shutAt = why, at
	g.stories.shut = append(g.stories.shut, f)
}

// DoorSeen tells that the kernel told of an expectation, and so will tell what comes of it.
func (g *Gateway) DoorSeen(master conntrack.Tuple, open netip.AddrPort) {
	if f := g.stories.find(master, open); f != nil {
		f.watched = true
	}
}

// DoorGone tells that the kernel let an expectation go, at the time at; used, that it did so before
// its timeout, and so because a packet came.
func (g *Gateway) DoorGone(at time.Time, master conntrack.Tuple, open netip.AddrPort, used bool) {
	f := g.stories.find(master, open)
	if f == nil || !f.shutAt.IsZero() {
		return
	}
	f.watched, f.used = true, used
	why := policy.Expired
	if used {
		why = policy.Used
	}
	g.giveUp(f, why, at)
}

// DataStarted tells that a data connection came at the time at, with this original tuple, for the control
// connection with the original tuple master.
func (g *Gateway) DataStarted(at time.Time, data, master conntrack.Tuple) {
	k := storyKey{keyOf(master), data.Dst}
	f := g.stories.waiting[k]
	if f == nil {
		return
	}
	delete(g.stories.waiting, k)
	f.watched, f.data, f.came, f.state = true, data, at, conntrack.TCPSynSent
	f.Waited, f.Why = max(0, at.Sub(f.Opened)), policy.None
	if old := g.stories.flowing[keyOf(data)]; old != nil {
		g.finish(old, at)
	}
	g.stories.flowing[keyOf(data)] = f
	g.Stats.Data.Add(1)
}

// DataChanged tells of another state of a data connection. When both sides have closed it the kernel is
// asked for what passed, because it keeps the entry for minutes.
func (g *Gateway) DataChanged(at time.Time, data conntrack.Tuple, s conntrack.TCPState) {
	f := g.stories.flowing[keyOf(data)]
	if f == nil || s == 0 {
		return
	}
	f.state = s
	f.established = f.established || s != conntrack.TCPSynSent && s != conntrack.TCPClosed
	if s != conntrack.TCPTimeWait && s != conntrack.TCPClosed {
		return
	}
	var e conntrack.Entry
	if g.Entry != nil && g.Entry(data, &e) == nil {
		f.count(&e)
	}
	g.finish(f, at)
}

// DataEnded tells that the entry e of a data connection is gone.
func (g *Gateway) DataEnded(at time.Time, e *conntrack.Entry) {
	f := g.stories.flowing[keyOf(e.Tuple[conntrack.Original])]
	if f == nil {
		return
	}
	if e.TCP.State != 0 {
		f.state = e.TCP.State
		f.established = f.established || f.state != conntrack.TCPSynSent && f.state != conntrack.TCPClosed
	}
	f.count(e)
	g.finish(f, at)
}

// count notes what the kernel counted.
func (f *story) count(e *conntrack.Entry) {
	if !e.HasCounters {
		return
	}
	f.Counted, f.FromClient, f.FromServer = true, e.Counters[conntrack.Original], e.Counters[conntrack.Reply]
	if f.Mode.Active() {
		f.FromClient, f.FromServer = f.FromServer, f.FromClient
	}
}

// finish ends the story of a data connection.
func (g *Gateway) finish(f *story, at time.Time) {
	delete(g.stories.flowing, keyOf(f.data))
	g.Stats.Data.Add(-1)
	f.Lasted, f.Ending = max(0, at.Sub(f.came)), endingOf(f.state)
	switch {
	case f.established:
		f.Outcome = Used
	case f.state == conntrack.TCPClosed:
		f.Outcome = Rejected
	default:
		f.Outcome = Unanswered
	}
	g.tell(f)
}

// decide ends the story of a door to which no connection came.
func (g *Gateway) decide(f *story) {
	delete(g.stories.waiting, storyKey{keyOf(f.master), f.Open})
	if f.shutAt.IsZero() {
		f.Why, f.shutAt = policy.Superseded, g.now
	}
	f.Waited = f.shutAt.Sub(f.Opened)
	switch {
	case !f.watched:
		f.Outcome = Unknown
	case f.used:
		f.Outcome = Dropped
	case f.Why == policy.Expired:
		f.Outcome = Expired
	case f.Why == policy.Used:
		f.Outcome = Unknown // the server says that the transfer was made, and the kernel says nothing
	default:
		f.Outcome = Withdrawn
	}
	g.tell(f)
}

func (g *Gateway) tell(f *story) {
	f.ended = true
	g.Stats.Fates[f.Mode][f.Outcome].Add(1)
	if f.Counted {
		g.Stats.Bytes[f.Mode][conntrack.Original].Add(f.FromClient.Bytes)
		g.Stats.Bytes[f.Mode][conntrack.Reply].Add(f.FromServer.Bytes)
	}
	if g.OnFate != nil {
		g.OnFate(&f.Fate)
	}
}
