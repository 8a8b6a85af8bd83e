package fate

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/internal/elastic"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// settleTime is how long a door has been shut, or gone from the kernel, when it is decided what came of it:
// the kernel's events come by another way than packets, so that a door may be shut here before it is known
// that its connection has come.
const settleTime = time.Second

// Stats count what came of doors. They may be read from any goroutine.
type Stats struct {
	Fates   [len(dialogue.Modes)][len(Outcomes)]atomic.Uint64
	Bytes   [len(dialogue.Modes)][2]atomic.Uint64 // of data, from the client and the server
	Data    atomic.Int64                          // data connections now
	Renewed atomic.Uint64                         // timeouts of control connections, during transfers
}

// Book holds the stories that have no end yet. It must be used from one goroutine, but for Stats.
type Book struct {
	Stats         *Stats       // must be set
	OnFate        func(*Fate)  // valid during the call; nil: nobody wants to know
	OnCame        func(*Story) // its data connection came; nil: nobody wants to know
	OnKernelError func(doing string, err error)

	// Listens says that DoorGone, DataStarted and DataEnded are called where the kernel makes events. If it
	// does for no door (conntrack.Expectation.Told), what comes of it stays unknown.
	Listens bool

	// Entry looks up all that the kernel tells of the entry with an original tuple; nil: the end of data
	// connections is told late, and control connections are not kept alive during transfers.
	Entry func(original conntrack.Tuple, e *conntrack.Entry) error
	// Update changes the entry with an original tuple.
	Update func(original conntrack.Tuple, u conntrack.Update) error

	waiting elastic.Map[waitingKey, *Story]    // whose connection has not come
	zoned   elastic.Map[uint32, *Story]        // those in a conntrack zone, by the expectation's number
	flowing elastic.Map[conntrack.Key, *Story] // by the original tuple of the data connection
	shut    []*Story                           // those of waiting that are shut, the oldest first
	over    []*Story                           // those of flowing that are said to be over, the oldest first
	swept   time.Time
}

// waitingKey is what tells one expectation of the kernel from the others.
type waitingKey struct {
	master conntrack.Key
	open   netip.AddrPort
}

// None tells that there is no story that waits for its end.
func (b *Book) None() bool { return b.waiting.Len()+b.flowing.Len()+len(b.shut)+len(b.over) == 0 }

// Begin adds the story of a door that has been opened.
func (b *Book) Begin(s *Story, now time.Time) {
	s.Open, s.watched = s.Door.Dst, s.Door.Told && b.Listens
	k := waitingKey{s.Door.Master.Key(), s.Door.Dst}
	if old := b.waiting.At(k); old != nil {
		b.decide(old, now)
	}
	b.waiting.Set(k, s)
	if s.Door.Master.Zone != 0 && s.Door.ID != 0 {
		b.zoned.Set(s.Door.ID, s)
	}
}

// leave takes a story from those whose connection has not come.
func (b *Book) leave(s *Story) {
	b.waiting.Delete(waitingKey{s.Door.Master.Key(), s.Open})
	if b.zoned.At(s.Door.ID) == s {
		b.zoned.Delete(s.Door.ID)
	}
}

// Again returns the story of a door that is found open: the one that began before, or else s, which begins.
func (b *Book) Again(s *Story, now time.Time) *Story {
	if old := b.find(s.Door.Master, s.Door.Dst); old != nil && old.shutAt.IsZero() {
		return old
	}
	b.Begin(s, now)
	return s
}

// find returns what waits at an address for a control connection.
func (b *Book) find(master conntrack.Tuple, open netip.AddrPort) *Story {
	return b.waiting.At(waitingKey{master.Key(), open})
}

// Shut notes that a door is shut, and why, if it is open.
func (b *Book) Shut(s *Story, why policy.Reason, at time.Time) {
	if !s.Waits() {
		return
	}
	s.Why, s.shutAt = why, at
	b.shut = append(b.shut, s)
}

// toldOf returns the story of an expectation of which the kernel tells. What it tells may be late, of an
// earlier one at the same address; and it does not tell the zone. The number is no other's.
func (b *Book) toldOf(x *conntrack.Expectation) *Story {
	if s := b.zoned.At(x.ID); s != nil {
		return s
	}
	s := b.find(x.Master, x.Dst)
	known := x.ID != 0 && s != nil && s.Door.ID != 0
	if s != nil && x.ID != s.Door.ID && (known || b.zoned.Len() > 0) {
		return nil
	}
	return s
}

// DoorGone tells that the kernel let an expectation go, at the time at; used, that it did so before
// its timeout, and so because a packet came.
func (b *Book) DoorGone(at time.Time, x *conntrack.Expectation, used bool) {
	s := b.toldOf(x)
	if s == nil || !s.shutAt.IsZero() {
		return
	}
	s.watched, s.used = true, used
	why := policy.Expired
	if used {
		why = policy.Used
	}
	b.Shut(s, why, at)
}

// DataStarted tells that a data connection came at the time at, with this original tuple, for the control
// connection with the original tuple master.
func (b *Book) DataStarted(at time.Time, data, master conntrack.Tuple) {
	s := b.find(master, data.Dst)
	if s == nil {
		return
	}
	b.leave(s)
	s.watched, s.data, s.came, s.state = true, data, at, conntrack.TCPSynSent
	s.mark, s.look, s.renewal = at, at.Add(lookStep), at.Add(renewStep)
	used := s.Why == policy.Used
	s.Waited, s.Why = max(0, at.Sub(s.Opened)), policy.None
	if old := b.flowing.At(data.Key()); old != nil {
		b.finish(old, at)
	}
	b.flowing.Set(data.Key(), s)
	b.Stats.Data.Add(1)
	if used {
		b.Said(s, s.shutAt)
	}
	if b.OnCame != nil {
		b.OnCame(s)
	}
}

// Said tells that the server says, at a time, that the transfer of s is over: with it, or soon after, its
// data connection is closed.
func (b *Book) Said(s *Story, at time.Time) {
	if s.Flows() && b.Entry != nil {
		s.said, s.mark, s.look = at, at, at.Add(closeTime)
		b.over = append(b.over, s)
	}
}

// Count asks the kernel for what has passed in the data connection of s.
func (b *Book) Count(s *Story) {
	var e conntrack.Entry
	if b.Entry != nil && b.Entry(s.data, &e) == nil {
		s.count(&e)
	}
}

// DataEnded tells that the entry e of a data connection is gone.
func (b *Book) DataEnded(at time.Time, e *conntrack.Entry) {
	s := b.flowing.At(e.Tuple[conntrack.Original].Key())
	if s == nil {
		return
	}
	s.found(e)
	b.finish(s, at)
}

// finish ends the story of a data connection of which it is known at a time that it is over.
func (b *Book) finish(s *Story, at time.Time) {
	if !s.said.IsZero() {
		at = s.said
	}
	b.flowing.Delete(s.data.Key())
	b.Stats.Data.Add(-1)
	s.flowed(at)
	b.tell(s)
}

// decide ends the story of a door to which no connection came.
func (b *Book) decide(s *Story, now time.Time) {
	b.leave(s)
	if s.shutAt.IsZero() {
		s.Why, s.shutAt = policy.Superseded, now
	}
	s.Waited = s.shutAt.Sub(s.Opened)
	switch {
	case !s.watched:
		s.Outcome = Unknown
	case s.used:
		s.Outcome = Dropped
	case s.Why == policy.Expired:
		s.Outcome = Expired
	case s.Why == policy.Used:
		s.Outcome = Unknown // the server says that the transfer was made, and the kernel says nothing
	default:
		s.Outcome = Withdrawn
	}
	b.tell(s)
}

func (b *Book) tell(s *Story) {
	s.ended = true
	b.Stats.Fates[s.Mode][s.Outcome].Add(1)
	if s.Counted {
		b.Stats.Bytes[s.Mode][conntrack.Original].Add(s.FromClient.Bytes)
		b.Stats.Bytes[s.Mode][conntrack.Reply].Add(s.FromServer.Bytes)
	}
	if b.OnFate != nil {
		b.OnFate(&s.Fate)
	}
}
