package ruleset_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// watched is a table with its watch.
type watched struct {
	*ruleset.Table
	t      testing.TB
	ns     *netnstest.NS
	watch  *ruleset.Watch
	events chan ruleset.Event
}

// newWatched watches a table before anything is installed.
func newWatched(t testing.TB, n *netnstest.NS) *watched {
	t.Helper()
	w := &watched{Table: open(t, n, owner(t), nil), t: t, ns: n, events: make(chan ruleset.Event, 1000)}
	w.begin()
	return w
}

func (w *watched) begin() {
	w.t.Helper()
	w.ns.Do(func() {
		var err error
		if w.watch, err = w.Watch(func(e ruleset.Event) { w.events <- e }); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(func() { _ = w.watch.Close() })
}

func (w *watched) next() ruleset.Event {
	w.t.Helper()
	select {
	case e := <-w.events:
		return e
	case <-time.After(patience):
		w.t.Fatal("nothing is told")
		panic("unreachable")
	}
}

func (w *watched) wantWhole() {
	w.t.Helper()
	if found, _, err := w.Verify(); found != ruleset.Whole || err != nil {
		w.t.Errorf("the table is %v, %v", found, err)
	}
}

func comm(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/comm")
	must(t, err)
	return strings.TrimSpace(string(b))
}

var (
	ours     = &nftables.Table{Family: nftables.TableFamilyINet, Name: ruleset.DefaultTable}
	ourPorts = &nftables.Set{Table: ours, Name: "ports", KeyType: nftables.TypeInetService}
	dropAll  = []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	damages  = []damage{
		{"flush ruleset", func(c *nftables.Conn) { c.FlushRuleset() }, ruleset.Gone},
		{"delete table", func(c *nftables.Conn) { c.DelTable(ours) }, ruleset.Gone},
		{"flush table", func(c *nftables.Conn) { c.FlushTable(ours) }, ruleset.Gone},
		{"flush chain", func(c *nftables.Conn) {
			c.FlushChain(&nftables.Chain{Table: ours, Name: "output"})
		}, ruleset.Altered},
		{"delete element", func(c *nftables.Conn) {
			_ = c.SetDeleteElements(ourPorts, portElement(21))
		}, ruleset.Altered},
		{"add element", func(c *nftables.Conn) {
			_ = c.SetAddElements(ourPorts, portElement(22))
		}, ruleset.Altered},
		{"add rule", func(c *nftables.Conn) {
			c.AddRule(&nftables.Rule{Table: ours, Chain: &nftables.Chain{Name: "prerouting"}, Exprs: dropAll})
		}, ruleset.Altered},
		{"make another empty one", func(c *nftables.Conn) {
			c.DelTable(ours)
			c.AddTable(ours)
		}, ruleset.Gone},
	}
)

type damage struct {
	name  string
	do    func(*nftables.Conn)
	found ruleset.Condition
}

func portElement(port byte) []nftables.SetElement {
	return []nftables.SetElement{{Key: []byte{0, port}}}
}

func TestWhatOthersDamageIsRepaired(t *testing.T) {
	netnstest.NeedRoot(t)
	var took []time.Duration
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			w := newWatched(t, netnstest.New(t))
			for range 3 { // by itself it makes no event
				must(t, w.Install(config(t, w.ns)))
			}
			w.ns.Nft(d.do)
			e := w.next()
			if e.Found != d.found || e.Program != comm(t) || e.Thread == 0 || e.Err != nil {
				t.Errorf("told %+v", e)
			}
			w.wantWhole()
			took = append(took, e.Took)
			s := &w.watch.Stats
			if n := s.Repaired[d.found].Load(); n != 1 || !s.Whole.Load() {
				t.Errorf("%d repairs are counted", n)
			}
		})
	}
	slices.Sort(took)
	t.Logf("repaired within %v at the median", took[len(took)/2])
}

// Who asks after somebody has damaged the table is told so, however little time there was.
func TestDamagesAreCountedBeforeAnybodyHearsOfThem(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			w := newWatched(t, netnstest.New(t))
			must(t, w.Install(config(t, w.ns)))
			if n := w.watch.Damages(); n.Times != 0 {
				t.Errorf("there were none, and there are %+v", n)
			}
			if n := testing.AllocsPerRun(100, func() { w.watch.Damages() }); n != 0 {
				t.Errorf("to ask allocates %v times", n)
			}
			w.ns.Nft(d.do)
			n := w.watch.Damages()
			if n.Times != 1 || time.Since(n.Last) > patience {
				t.Errorf("after one there are %+v", n)
			}
			w.wantWhole()
			w.ns.Nft(func(c *nftables.Conn) {
				c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "other"})
			})
			if again := w.watch.Damages(); again != n {
				t.Errorf("what is none counts: %+v", again)
			}
		})
	}
}

func TestChangesOfOthersToOtherTablesAreNone(t *testing.T) {
	w := newWatched(t, netnstest.New(t))
	must(t, w.Install(config(t, w.ns)))
	other := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: ruleset.DefaultTable}
	w.ns.Nft(func(c *nftables.Conn) { c.AddTable(other) })
	w.ns.Nft(func(c *nftables.Conn) { c.DelTable(other) })
	w.ns.Nft(func(c *nftables.Conn) { c.DelTable(ours) })
	if e := w.next(); e.Found != ruleset.Gone {
		t.Errorf("first told is %+v", e)
	}
}

func TestProgramThatFightsIsToldApartAndWaitedFor(t *testing.T) {
	w := newWatched(t, netnstest.New(t))
	must(t, w.Install(config(t, w.ns)))
	undo := func() { w.ns.Nft(func(c *nftables.Conn) { c.FlushRuleset() }) }
	undo()
	repairs := 0
	for e := w.next(); e.Wait == 0; e = w.next() {
		if repairs++; repairs > 50 {
			t.Fatal("it repairs without end")
		}
		undo()
	}
	if w.watch.Stats.Whole.Load() {
		t.Error("a table that waits for its repair is called whole")
	}
	e := w.next() // the fight is over
	if e.Found != ruleset.Gone || e.Undone < 3 || e.Wait != 0 {
		t.Errorf("after the fight: %+v", e)
	}
	w.wantWhole()
}

func TestTakeoverIsToldToTheFormerOwner(t *testing.T) {
	w := newWatched(t, netnstest.New(t))
	must(t, w.Install(config(t, w.ns)))
	second := owner(t)
	other := open(t, w.ns, second, nil)
	if _, err := other.TakeOver(config(t, w.ns)); err != nil {
		t.Fatal(err)
	}
	if e := w.next(); e.Found != ruleset.Taken || e.Owner.ID != second.ID {
		t.Errorf("told %+v", e)
	}
	w.ns.Nft(func(c *nftables.Conn) { c.DelTable(ours) }) // is not the former owner's to repair
	must(t, other.Install(config(t, w.ns)))
	wantOwner(t, other, second)
}

func TestLostEventsHaveTheTableLookedAt(t *testing.T) {
	w := newWatched(t, netnstest.New(t))
	must(t, w.Install(config(t, w.ns)))
	w.watch.ShrinkBuffer(t)
	w.ns.Nft(func(c *nftables.Conn) {
		for range 20 {
			c.AddChain(&nftables.Chain{Table: ours, Name: "x"})
			c.DelChain(&nftables.Chain{Table: ours, Name: "x"})
		}
		c.DelTable(ours)
	})
	if e := w.next(); e.Found != ruleset.Gone {
		t.Errorf("told %+v", e)
	}
	w.wantWhole()
	if w.watch.Stats.Overruns.Load() == 0 {
		t.Error("no event was lost: the test proves nothing")
	}
}

func TestRulesOfTheOperatorAreOnlyWatched(t *testing.T) {
	n := netnstest.New(t)
	install(t, n, config(t, n))
	w := &watched{Table: open(t, n, owner(t), nil), t: t, ns: n, events: make(chan ruleset.Event, 1000)}
	must(t, w.Leave())
	w.begin()
	n.Nft(func(c *nftables.Conn) { c.FlushTable(ours) })
	if e := w.next(); e.Found != ruleset.Gone || !e.Left || e.Program != comm(t) {
		t.Errorf("told %+v", e)
	}
	if w.watch.Stats.Whole.Load() {
		t.Error("an empty table is called whole")
	}
	install(t, n, config(t, n))
	if e := w.next(); e.Found != ruleset.Altered || !e.Left {
		t.Errorf("told %+v", e)
	}
	if !w.watch.Stats.Whole.Load() {
		t.Error("rules that are back are not called whole")
	}
	must(t, w.Remove())
	if names := tables(t, n); len(names) != 1 {
		t.Errorf("tables %v", names)
	}
}
