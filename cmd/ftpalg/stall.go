package main

import "time"

// stall follows whether the program was stopped, or had no processor. Where another gateway may have taken
// the sessions meanwhile, the packets that wait since are no evidence that they are here, and to take them
// would have what we write then, which is old, replicated over what the other has written. They are dropped,
// and come again to whoever has the sessions.
type stall struct {
	until time.Time
	ran   time.Time // when the loop is known to have run last
}

const (
	// stallTime is how long after a deadline the loop turns at the latest.
	stallTime = 500 * time.Millisecond
	// restTime is for how long the loop waits before packets may have waited long enough for others to have
	// taken their repetitions: no sender repeats them sooner.
	restTime = 100 * time.Millisecond
	// backlogTime is how long it takes at most to read what waits.
	backlogTime = 200 * time.Millisecond
)

// look tells before packets are handled whether the loop turns long after the deadline that it had set.
func (s *stall) look(now, deadline time.Time) bool {
	if deadline.IsZero() || now.Sub(deadline) <= stallTime {
		return false
	}
	s.until = now.Add(backlogTime)
	return true
}

// rested tells whether the loop may not have run for a while: it had nothing to do, or was not let.
func (s *stall) rested(now time.Time) bool { return now.Sub(s.ran) > restTime }

// waited tells whether the packet at hand may have waited since before the stall. more: there may be more.
func (s *stall) waited(now time.Time, more bool) bool {
	waited := now.Before(s.until)
	if !more {
		s.until = time.Time{}
	}
	return waited
}
