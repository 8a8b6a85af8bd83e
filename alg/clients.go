package alg

import (
	"net/netip"
	"sync"
	"time"

	"github.com/ftpalg/ftpalg/alg/internal/elastic"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// clients counts what each client network has, and all of them together. Several gateways may share it: its
// lock is taken when a session or a door comes or goes, and for a command only if commands are limited.
type clients struct {
	mu    sync.Mutex
	byNet elastic.Map[netip.Prefix, *client]
	all   client
}

// client counts what one client network has. Only clients changes it.
type client struct {
	net      netip.Prefix
	known    int // sessions in the table
	sessions int // that count
	open     int // doors

	doors    allowance
	commands allowance
	logins   allowance
}

// none tells that nothing needs to be remembered.
func (c *clients) none() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byNet.Len() == 0
}

// of returns the counts of a network, for one more session.
func (c *clients) of(net netip.Prefix) *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.byNet.At(net)
	if k == nil {
		k = &client{net: net}
		c.byNet.Set(net, k)
	}
	k.known++
	return k
}

// leave takes note that a session of k is gone.
func (c *clients) leave(k *client, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.known--; k.forgettable(now) {
		c.byNet.Delete(k.net)
	}
}

// sweep forgets those of which nothing needs to be remembered.
func (c *clients) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for net, k := range c.byNet.All() {
		if k.forgettable(now) {
			c.byNet.Delete(net)
		}
	}
}

// take tells which limit forbids another door, and takes it from the allowances if none does. again
// tells that one of the same session closes for it.
func (c *clients) take(k *client, of, all policy.Limit, again bool, now time.Time) policy.Reason {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !again && (isFull(k.open, of.Open) || isFull(c.all.open, all.Open)) {
		return policy.PinholeLimit
	}
	if !k.doors.has(of.NewPerMinute, time.Minute, now) ||
		!c.all.doors.has(all.NewPerMinute, time.Minute, now) {
		return policy.RateLimit
	}
	k.doors.spend(of.NewPerMinute)
	c.all.doors.spend(all.NewPerMinute)
	return policy.None
}

func isFull(n, limit int) bool { return limit > 0 && n >= limit }

func (c *clients) opened(k *client) { c.count(k, 1) }
func (c *clients) closed(k *client) { c.count(k, -1) }

func (c *clients) count(k *client, doors int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.open += doors
	c.all.open += doors
}

// lives takes note of a session more or less that lives, and returns how many do.
func (c *clients) lives(more int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.known += more
	return c.all.known
}

// admit counts one more session if that is within the limit.
func (c *clients) admit(k *client, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isFull(k.sessions, limit) {
		return false
	}
	k.sessions++
	return true
}

// stepDown takes back what admit counted.
func (c *clients) stepDown(k *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.sessions--
}

// command takes a command from the client's allowance.
func (c *clients) command(k *client, l policy.Limit, now time.Time) policy.Reason {
	if l.FailedLoginsPerMinute <= 0 && l.CommandsPerSecond <= 0 {
		return policy.None
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !k.logins.has(l.FailedLoginsPerMinute, time.Minute, now):
		return policy.LoginRate
	case !k.commands.has(l.CommandsPerSecond, time.Second, now):
		return policy.CommandRate
	}
	k.commands.spend(l.CommandsPerSecond)
	return policy.None
}

func (c *clients) loginFailed(k *client, l policy.Limit, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.logins.has(l.FailedLoginsPerMinute, time.Minute, now)
	k.logins.spend(l.FailedLoginsPerMinute)
}

// forgettable tells whether nothing of it needs to be remembered.
func (k *client) forgettable(now time.Time) bool {
	return k.known == 0 && k.open == 0 && k.doors.whole(now, time.Minute) &&
		k.commands.whole(now, time.Second) && k.logins.whole(now, time.Minute)
}

// allowance is a number of things that may happen in a time, and that comes back evenly.
type allowance struct {
	spent float64 // share of it that was spent, at the time at
	at    time.Time
}

// has tells whether one more of n a period may happen; n 0: always.
func (a *allowance) has(n int, period time.Duration, now time.Time) bool {
	if n <= 0 {
		return true
	}
	a.spent, a.at = max(0, a.spent-now.Sub(a.at).Seconds()/period.Seconds()), now
	return a.spent+0.5/float64(n) <= 1
}

func (a *allowance) spend(n int) {
	if n > 0 {
		a.spent += 1 / float64(n)
	}
}

func (a *allowance) whole(now time.Time, period time.Duration) bool {
	return now.Sub(a.at).Seconds()/period.Seconds() >= a.spent
}
