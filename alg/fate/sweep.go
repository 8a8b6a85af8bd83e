package fate

import (
	"errors"
	"slices"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// Sweep decides what time decides. It is to be called about every second.
func (b *Book) Sweep(now time.Time) {
	n := 0
	for n < len(b.shut) && now.Sub(b.shut[n].shutAt) >= settleTime {
		if x := b.shut[n]; x.came.IsZero() && !x.ended {
			b.decide(x, now)
		}
		n++
	}
	b.shut = slices.Delete(b.shut, 0, n)
	if now.Sub(b.swept) >= time.Minute {
		b.swept = now
		for _, x := range b.waiting.All() {
			if now.Sub(x.Opened) > x.Door.Timeout+settleTime {
				b.Shut(x, policy.Expired, now) // the kernel says nothing of it
			}
		}
	}
	if b.Entry == nil {
		return
	}
	asks := askStep - b.askOver(now, askStep)
	for _, x := range b.flowing.All() {
		if asks > 0 && !now.Before(x.look) {
			asks--
			if b.ask(x, now); x.ended {
				continue
			}
		}
		b.renew(x, now)
	}
}

const (
	// lookStep is the least time between two looks at a data connection, and lookStepLong where there is no
	// sign that it is about to end: less than the kernel keeps one that was reset
	// (nf_conntrack_tcp_timeout_close).
	lookStep     = time.Second
	lookStepLong = 5 * time.Second
	// lookOften is for how long after it came, or its end was said, it is looked at often.
	lookOften = 10 * time.Second
	// closeTime is how long after the final reply a data connection is likely to be closed.
	closeTime = 100 * time.Millisecond
	// askStep is of how many data connections the kernel is asked in a sweep, and askFew between two rounds
	// of packets, which none of them should notice.
	askStep, askFew = 256, 8
)

// Ask asks the kernel for a few of the data connections that were said to be over a moment ago. It is to be
// called often while there are packets: more may end in a second than a sweep has time for.
func (b *Book) Ask(now time.Time) { b.askOver(now, askFew) }

// End asks for all that were said to be over: nobody will later.
func (b *Book) End(now time.Time) { b.askOver(now.Add(closeTime), len(b.over)) }

// askOver asks for at most so many, and returns how many it asked for.
func (b *Book) askOver(now time.Time, most int) (asked int) {
	n := 0
	for ; n < len(b.over) && asked < most && now.Sub(b.over[n].mark) >= closeTime; n++ {
		if x := b.over[n]; !x.ended && !now.Before(x.look) {
			asked++
			b.ask(x, now)
		}
	}
	b.over = slices.Delete(b.over, 0, n)
	return asked
}

// ask looks how a data connection is. The kernel could tell of each change of it, but then it would of each
// change of each connection of this machine; and when both sides have closed one it keeps it for minutes.
func (b *Book) ask(s *Story, now time.Time) {
	var e conntrack.Entry
	switch err := b.Entry(s.data, &e); {
	case errors.Is(err, conntrack.ErrNotFound):
		if s.gone {
			s.state = 0 // the event is lost, and with it how it ended
			b.finish(s, now)
			return
		}
		s.gone = true // the event is on its way
	case err == nil:
		s.found(&e)
		if s.state == conntrack.TCPTimeWait || s.state == conntrack.TCPClosed {
			b.finish(s, now)
			return
		}
		if now.Sub(s.said) >= lookStep {
			s.said = time.Time{} // it was not so
		}
	}
	if s.look = now.Add(lookStep); !s.gone && now.Sub(s.mark) > lookOften {
		s.look = now.Add(lookStepLong)
	}
}

// EventsLost tells that events of the kernel may have been missed: what is open is not known to be watched
// any more, and the kernel is asked for the data connections.
func (b *Book) EventsLost() {
	for _, x := range b.waiting.All() {
		x.watched = false
	}
	for _, x := range b.flowing.All() {
		x.look = time.Time{}
	}
}

// renewStep is the least time between two looks at what is left of a control connection.
const renewStep = time.Second

// renew keeps the entry of a control connection, on which nothing is said during a transfer, while its data
// connection lives: it gets what it once had when less than half of it is left.
func (b *Book) renew(s *Story, now time.Time) {
	if now.Before(s.renewal) {
		return
	}
	var e conntrack.Entry
	if err := b.Entry(s.Door.Master, &e); err != nil {
		s.renewal = now.Add(time.Minute)
		return
	}
	left := e.Timeout
	s.full = max(s.full, left)
	if left <= s.full/2 {
		if err := b.Update(s.Door.Master, conntrack.Update{Timeout: s.full}); err != nil {
			b.OnKernelError("keep a control connection during a transfer", err)
		} else {
			b.Stats.Renewed.Add(1)
			left = s.full
		}
	}
	s.renewal = now.Add(max(renewStep, (left-s.full/2)/2))
}
