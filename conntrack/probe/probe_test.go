package probe

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/nftables"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

func run(n *netnstest.NS, o Options) (r Report) {
	n.Do(func() { r = Run(o) })
	return r
}

func item(t testing.TB, r Report, id string) Item {
	t.Helper()
	for _, i := range r.Items {
		if i.ID == id {
			return i
		}
	}
	t.Fatalf("no item %q in %+v", id, r)
	return Item{}
}

func TestWhatIsChosenCanBeInstalled(t *testing.T) {
	n := netnstest.New(t)
	r := run(n, Options{Queue: 7})
	for _, i := range r.Items {
		t.Logf("%-24s %-8v %s; %s", i.ID, i.Status, i.Detail, i.Fix)
	}
	choice, err := Choose(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", choice)
	n.Do(func() {
		if choice.Helper == conntrack.HelperOwn {
			// The registry is one for all namespaces, and other runs of this test use it too.
			choice.Helper = fmt.Sprintf("ftpalg-p%d", os.Getpid())
			register(t, choice.Helper)
		}
		c := ruleset.Config{Ports: []uint16{21}, Queue: 7, Helper: choice.Helper,
			NativeQueue: choice.NativeQueue, InnerHeader: choice.InnerHeader}
		self, err := ruleset.Self()
		if err != nil {
			t.Error(err)
		}
		table, err := ruleset.Open(ruleset.DefaultTable, self, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if err := errors.Join(table.Install(c), table.Remove(), table.Close()); err != nil {
			t.Error(err)
		}
	})
}

// register registers a helper until the end of the test.
func register(t testing.TB, name string) {
	c, err := conntrack.Dial()
	if err != nil {
		t.Error(err)
		return
	}
	if err := c.RegisterHelper(name, 8, 60e9); err != nil {
		t.Error(err)
	}
	t.Cleanup(func() {
		if err := c.UnregisterHelper(name); err != nil {
			t.Error(err)
		}
		_ = c.Close()
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	n := netnstest.New(t)
	run(n, Options{})
	n.Nft(func(c *nftables.Conn) {
		if tables, err := c.ListTables(); err != nil || len(tables) != 0 {
			t.Errorf("%d tables, %v", len(tables), err)
		}
	})
	n.Do(func() {
		err := withConn(func(c *conntrack.Conn) error {
			if all, err := c.Expectations(); err != nil || len(all) != 0 {
				t.Errorf("%v, %v", all, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestTranslatedExpectationsAreFoundWhereThereIsNAT(t *testing.T) {
	r := netnstest.NewRouter(t)
	report := run(r.Gateway, Options{})
	if status(report.Items, idCarrier) != Found {
		t.Skip("not looked for, as this kernel lets programs register helpers")
	}
	if i := item(t, report, idTranslated); i.Status != Found {
		t.Errorf("%+v", i)
	}
}

func TestForwardingThatIsOffIsNoted(t *testing.T) {
	r := netnstest.NewRouter(t)
	if i := item(t, run(r.Gateway, Options{}), idIPv4); i.Status != Found {
		t.Errorf("%+v", i)
	}
	if i := item(t, run(r.Client, Options{}), idIPv4); i.Status != Note || i.Fix == "" {
		t.Errorf("%+v", i)
	}
}

func TestProgramOnTheQueueIsNoted(t *testing.T) {
	n := netnstest.New(t)
	var q *nfqueue.Queue
	n.Do(func() {
		var err error
		if q, err = nfqueue.Open(nfqueue.Config{Queue: 7}); err != nil {
			t.Error(err)
		}
	})
	defer func() { _ = q.Close() }()
	if i := item(t, run(n, Options{Queue: 7}), idQueueNumber); i.Status != Note ||
		!strings.Contains(i.Detail, "netlink port") {
		t.Errorf("%+v", i)
	}
	if i := item(t, run(n, Options{Queue: 8}), idQueueNumber); i.Status != Found {
		t.Errorf("%+v", i)
	}
}

func TestChooseListsEverythingThatIsMissing(t *testing.T) {
	_, err := Choose(Report{Items: []Item{
		{ID: "a", Status: Missing, Detail: "no a", Fix: "load a", Required: true},
		{ID: "b", Status: Missing, Detail: "no b", Required: false},
		{ID: "c", Status: Found, Required: true},
		{ID: "d", Status: Missing, Detail: "no d", Fix: "load d", Required: true},
	}})
	const want = "this system lacks what ftpalg needs:\n  a: no a (to do: load a)\n  d: no d (to do: load d)"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func TestChooseTakesTheBestThatIsThere(t *testing.T) {
	for _, c := range []struct {
		items []Item
		want  Choice
	}{
		{[]Item{{ID: idCarrier}}, Choice{Helper: conntrack.HelperCarrier}},
		{[]Item{{ID: idNative, Status: Note}, {ID: idInner}, {ID: idHash}, {ID: idCarrier}},
			Choice{InnerHeader: true, Spread: true, Helper: conntrack.HelperCarrier}},
		{[]Item{{ID: idNative}, {ID: idInner}, {ID: idCarrier, Status: Note},
			{ID: idOwnHelper}}, Choice{NativeQueue: true, InnerHeader: true, Helper: conntrack.HelperOwn}},
	} {
		if got, err := Choose(Report{c.items}); err != nil || got != c.want {
			t.Errorf("%+v: %+v, %v", c.items, got, err)
		}
	}
}
