package probe

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// instance gives the namespace a table of the owner with queue 7.
func instance(t *testing.T, n *netnstest.NS, o ruleset.Owner) {
	t.Helper()
	n.Do(func() {
		table, err := ruleset.Open(ruleset.DefaultTable, o, nil)
		if err != nil {
			t.Error(err)
			return
		}
		choice, err := Choose(Run(Options{Queue: 8}))
		if err != nil {
			t.Error(err)
		}
		err = table.Install(ruleset.Config{Ports: []uint16{21}, Queue: 7, NativeQueue: choice.NativeQueue})
		if err != nil {
			t.Error(err)
		}
		_ = table.Close()
	})
}

func TestInstanceIsTold(t *testing.T) {
	self, err := ruleset.Self()
	if err != nil {
		t.Fatal(err)
	}
	dead := self
	dead.Started--
	for _, c := range []struct {
		name   string
		owner  *ruleset.Owner
		bound  bool
		status Status
		want   string
	}{
		{"none", nil, false, Note, "none runs here"},
		{"whole", &self, true, Found, "with the table inet ftpalg and queue 7"},
		{"without its queue", &self, false, Note, "no program has its queue 7"},
		{"ended", &dead, false, Note, "does not run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := netnstest.New(t)
			if c.owner != nil {
				instance(t, n, *c.owner)
			}
			if c.bound {
				n.Do(func() {
					q, err := nfqueue.Open(nfqueue.Config{Queue: 7})
					if err != nil {
						t.Error(err)
						return
					}
					t.Cleanup(func() { _ = q.Close() })
				})
			}
			i := item(t, run(n, Options{}), idInstance)
			if i.Status != c.status || !strings.Contains(i.Detail, c.want) {
				t.Errorf("%+v", i)
			}
		})
	}
}

func TestAdviceIsToAddTheCapabilityIfRootHasItNot(t *testing.T) {
	netnstest.NeedRoot(t)
	if got := privilege(unix.EPERM, "load it"); got != "load it" {
		t.Errorf("with the capability: %s", got)
	}
	done := make(chan string)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error(err)
		}
		done <- privilege(unix.EPERM, "load it")
	}()
	if got := <-done; !strings.HasPrefix(got, "add the capability") {
		t.Errorf("without the capability: %s", got)
	}
}
