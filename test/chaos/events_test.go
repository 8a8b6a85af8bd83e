package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
)

// settings are those that a reload chooses from. Doors are open for a short time, so that at the end one need
// not wait for long.
var settings = []string{
	"pinhole_timeout: 10s\n",
	"pinhole_timeout: 9s\nmin_port: 1025\n",
	"pinhole_timeout: 10s\nlimits: {per_client: {open: 100}}\n",
	"pinhole_timeout: 10s\npolicies: [{clients: [10.0.13.0/24], min_port: 2000}]\n",
}

// clock is how times are told.
const clock = "15:04:05.000"

// chaos does things to the gateways.
type chaos struct {
	*world
	rng  *rand.Rand
	all  sync.WaitGroup // what takes a while
	over time.Time      // when the storm is

	switched time.Time // when the gateways changed places last

	mu    sync.Mutex
	story []happening
	under int       // how much is being done that any session may notice
	quiet time.Time // since when nothing is, if it is 0
}

// happening is something that was done.
type happening struct {
	at   time.Time
	what string
}

// switchGap is between two switches at least: VRRP takes as long to notice that a gateway is gone. Faster
// ones can bring back old entries: what conntrackd has read at the first it may send after the second.
const switchGap = 4 * time.Second

// settles is how long after something sessions may still notice it: what was lost is repeated.
const settles = 2 * time.Second

// begin tells of something that sessions may notice, until end.
func (c *chaos) begin(format string, args ...any) {
	c.tell(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.under++
}

func (c *chaos) end(format string, args ...any) {
	c.tell(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.under--
	c.quiet = time.Now().Add(settles)
}

// quietSince tells whether nothing has been done since a time that a session could notice.
func (c *chaos) quietSince(at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.under == 0 && at.After(c.quiet)
}

func (h happening) String() string { return h.at.Format(clock) + " " + h.what }

// event does one thing; false: it cannot be done now.
type event struct {
	name string
	do   func(*chaos) bool
}

// always are the events that need no pair.
var always = []event{
	{"kill", (*chaos).kill},
	{"takeover", (*chaos).takeover},
	{"kill", (*chaos).kill},
	{"takeover", (*chaos).takeover},
	{"SIGSTOP", (*chaos).freeze},
	{"SIGSTOP", (*chaos).freeze},
	{"reload", (*chaos).reload},
	{"flush", (*chaos).flush},
	{"wipe", (*chaos).wipe},
	{"wipe", (*chaos).wipe},
	{"cable", (*chaos).cable},
}

// ofPair are those that do.
var ofPair = []event{{"switch", (*chaos).change}, {"switch", (*chaos).change}}

// A storm is followed by a calm in which TCP, which waits twice as long after each repetition, gets through
// whatever was lost: a repetition may be wanted by a program that has just begun, to ask the receiver.
const (
	shortestStorm = 2 * time.Second
	longestStorm  = 5 * time.Second
	calmAfter     = 10 * time.Second
	meanPause     = 300 * time.Millisecond // between two events of a storm
	apartStorm    = 20 * time.Second       // where nothing happens beside another thing
)

// run has storms until a time. It ends when the world is in order again.
func (c *chaos) run(until time.Time) {
	events := slices.Clone(always)
	if c.paired {
		events = append(events, ofPair...)
	}
	events = slices.DeleteFunc(events, func(e event) bool {
		return *only != "" && !slices.Contains(strings.Split(*only, ","), e.name)
	})
	for time.Now().Before(until) {
		long := shortestStorm + time.Duration(c.rng.Int64N(int64(longestStorm-shortestStorm)))
		if *apart {
			long = apartStorm
		}
		c.over = time.Now().Add(long)
		for time.Now().Before(c.over) {
			e := events[c.rng.IntN(len(events))]
			if e.do(c) {
				c.tally.add("event " + e.name)
			}
			if *apart {
				c.all.Wait()
				time.Sleep(settles)
			}
			time.Sleep(time.Duration(c.rng.ExpFloat64() * float64(meanPause)))
		}
		c.all.Wait()
		c.tally.add("storm")
		time.Sleep(min(calmAfter, time.Until(until)))
	}
}

// outage tells whether there is time in the storm for nothing to pass.
func (c *chaos) outage(d time.Duration) bool { return time.Now().Add(d).Before(c.over) }

func (c *chaos) tell(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.story = append(c.story, happening{time.Now(), fmt.Sprintf(format, args...)})
}

// around returns what happened near a time.
func (c *chaos) around(at time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var near []string
	for _, h := range c.story {
		if d := h.at.Sub(at); d > -8*time.Second && d < time.Second {
			near = append(near, h.String())
		}
	}
	return strings.Join(near, "\n")
}

// victim is one of the gateways that run.
func (c *chaos) victim() *gateway { return c.gateways[c.rng.IntN(len(c.gateways))] }

// process does something to the program of a gateway, which may take a while.
func (c *chaos) process(what string, f func(*gateway) error) bool {
	g := c.victim()
	if !g.busy.TryLock() {
		return false
	}
	c.begin("%s %s", what, g)
	c.all.Go(func() {
		defer g.busy.Unlock()
		defer c.end("%s %s is over", what, g)
		if err := f(g); err != nil {
			c.t.Errorf("%s: %v", what, err)
		}
	})
	return true
}

func (c *chaos) kill() bool {
	after := time.Duration(c.rng.IntN(1500)) * time.Millisecond
	return c.outage(after) && c.process("kill", func(g *gateway) error { return g.killed(after) })
}

func (c *chaos) takeover() bool { return c.process("takeover", (*gateway).replace) }

func (c *chaos) freeze() bool {
	const d = 3 * time.Second
	return c.outage(d) && c.process("SIGSTOP", func(g *gateway) error { return g.frozen(d) })
}

func (c *chaos) reload() bool {
	yaml := settings[c.rng.IntN(len(settings))]
	return c.process("reload", func(g *gateway) error { return g.reload(yaml) })
}

// repaired is for how long after a flush nothing happens to the program that repairs the rules.
const repaired = 200 * time.Millisecond

// flush takes the rules away, as a reload of the firewall does. Not while the program is dead or stopped:
// then nothing keeps the repetition of a line that was edited and lost from going by as it was, at the offset
// in front of it, and whoever has the session next takes the edit to have arrived.
func (c *chaos) flush() bool {
	g := c.victim()
	if !g.busy.TryLock() {
		return false
	}
	defer c.all.Go(func() {
		defer g.busy.Unlock()
		time.Sleep(repaired)
	})
	rules, err := os.ReadFile(c.Rules())
	must(c.t, err)
	text := []string{"flush ruleset\n" + string(rules), "delete table inet ftpalg\n",
		"flush table inet ftpalg\n"}[c.rng.IntN(3)]
	what, _, _ := strings.Cut(text, "\n")
	cmd := g.Command(c.ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	c.begin("%s on %s", what, g)
	defer c.end("%s on %s is done", what, g)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "No such file") {
		return false // it has not come back from the last time, for no program runs
	}
	if err != nil {
		c.t.Errorf("%s: %v\n%s", what, err, out)
	}
	return true
}

// wipe clears the label of a session, as another program does that writes labels.
func (c *chaos) wipe() bool {
	g := c.victim()
	x := c.book.some(c.rng)
	if x == nil {
		return false
	}
	var u conntrack.Update
	u.SetLabel(0, [2]conntrack.Flight{})
	wiped := false
	must(c.t, g.Do(func() error {
		conn, err := conntrack.Dial()
		if err != nil {
			return err
		}
		defer conn.Close()
		x.wiped.Store(true)
		wiped = conn.Update(x.original, u) == nil // it may have gone
		return nil
	}))
	if wiped {
		c.tell("wipe the label of %s on %s", x.user, g)
	}
	return wiped
}

// cable pulls out a cable of the active gateway, and puts it in again.
func (c *chaos) cable() bool {
	dev := []string{"inside", "outside"}[c.rng.IntN(2)]
	out := time.Duration(100+c.rng.IntN(1400)) * time.Millisecond
	i := c.Active
	if !c.outage(out) || !c.cables[i].TryLock() {
		return false
	}
	c.begin("the cable of %s on %s is out for %v", dev, c.Gateways[i], out)
	c.Plug(i, dev, false)
	c.all.Go(func() {
		defer c.cables[i].Unlock()
		defer c.end("the cable of %s on %s is in", dev, c.Gateways[i])
		time.Sleep(out)
		c.Plug(i, dev, true)
	})
	return true
}

// change has the gateways change places.
func (c *chaos) change() bool {
	if time.Since(c.switched) < switchGap {
		return false
	}
	defer func() { c.switched = time.Now() }()
	c.begin("switch to %s", c.Standby())
	defer c.end("switched")
	c.Activate(1 - c.Active)
	return true
}
