package ruleset_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// owner is this process, or one that looks like it with another id.
func owner(t testing.TB) ruleset.Owner {
	t.Helper()
	o, err := ruleset.Self()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// open opens the default table in the name of o.
func open(t testing.TB, n *netnstest.NS, o ruleset.Owner, bound func(uint16) bool) (table *ruleset.Table) {
	t.Helper()
	n.Do(func() {
		var err error
		if table, err = ruleset.Open(ruleset.DefaultTable, o, bound); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { _ = table.Close() })
	return table
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantOwner(t testing.TB, table *ruleset.Table, want ruleset.Owner) {
	t.Helper()
	o, ok, err := table.Owner()
	if err != nil || !ok || o.ID != want.ID {
		t.Errorf("the table belongs to %+v (%v, %v), want %+v", o, ok, err, want)
	}
}

func TestTableOfARunningProcessIsLeftAlone(t *testing.T) {
	n := netnstest.New(t)
	c := config(t, n)
	first, second := owner(t), owner(t)
	first.Command = `ftpalg run --config "/etc/x y.yaml"`
	mine, other := open(t, n, first, nil), open(t, n, second, nil)
	must(t, mine.Install(c))
	err := other.Install(c)
	if o := (*ruleset.OwnedError)(nil); !errors.As(err, &o) || o.Owner.PID != os.Getpid() {
		t.Errorf("installing over it says %v", err)
	} else if !strings.Contains(err.Error(), "ftpalg run --config  /etc/x y.yaml") {
		t.Errorf("the command is not named: %v", err)
	}
	must(t, other.Remove())
	wantOwner(t, mine, first)
	must(t, mine.Install(c))
	must(t, mine.Remove())
	if names := tables(t, n); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestTableThatWasTakenIsNotRemovedByItsFormerOwner(t *testing.T) {
	n := netnstest.New(t)
	c := config(t, n)
	first, second := owner(t), owner(t)
	mine, other := open(t, n, first, nil), open(t, n, second, nil)
	must(t, mine.Install(c))
	c.Queue++
	if from, err := other.TakeOver(c); err != nil || from.ID != first.ID {
		t.Fatalf("taken from %+v, %v", from, err)
	}
	must(t, mine.Remove())
	wantOwner(t, other, second)
	found, o, err := mine.Verify()
	if found != ruleset.Taken || o.ID != second.ID || o.Queue != c.Queue || err != nil {
		t.Errorf("the former owner finds it %v by %+v, %v", found, o, err)
	}
	if found, _, err := other.Verify(); found != ruleset.Whole || err != nil {
		t.Errorf("the owner finds it %v, %v", found, err)
	}
}

// ended returns the number of a process that has ended.
func ended(t testing.TB) int {
	t.Helper()
	c := exec.Command("/proc/self/exe", "-test.run", "^$")
	must(t, c.Run())
	return c.Process.Pid
}

func TestTableOfAProcessThatEndedIsTaken(t *testing.T) {
	bound := func(yes bool) func(uint16) bool { return func(uint16) bool { return yes } }
	for _, c := range []struct {
		name  string
		alter func(*ruleset.Owner)
		bound bool
		taken bool
	}{
		{"it ended", func(o *ruleset.Owner) { o.PID = ended(t) }, true, true},
		{"another has its number", func(o *ruleset.Owner) { o.Started-- }, true, true},
		{"it runs", func(*ruleset.Owner) {}, false, false},
		{"elsewhere, without its queue", func(o *ruleset.Owner) { o.Namespace++ }, false, true},
		{"elsewhere, with its queue", func(o *ruleset.Owner) { o.Namespace++ }, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := netnstest.New(t)
			old := owner(t)
			c.alter(&old)
			must(t, open(t, n, old, nil).Install(config(t, n)))
			now := owner(t)
			table := open(t, n, now, bound(c.bound))
			if err := table.Install(config(t, n)); (err == nil) != c.taken {
				t.Fatalf("it is taken: %v", err)
			}
			if !c.taken {
				now = old
			}
			wantOwner(t, table, now)
		})
	}
}

func TestProcessThatNobodyHasWaitedForHasEnded(t *testing.T) {
	c := exec.Command("/proc/self/exe", "-test.run", "^$")
	must(t, c.Start())
	var info unix.Siginfo
	must(t, unix.Waitid(unix.P_PID, c.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil))
	o := owner(t)
	o.PID, o.Started = c.Process.Pid, startedAt(t, c.Process.Pid)
	if o.Alive(nil) {
		t.Error("it is taken to run")
	}
	must(t, c.Wait())
}

// startedAt reads the time of start in clock ticks, of any process.
func startedAt(t testing.TB, pid int) (ticks uint64) {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	must(t, err)
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')'):]))
	ticks, err = strconv.ParseUint(f[20], 10, 64)
	must(t, err)
	return ticks
}

func TestTableWithoutOwnerIsReplaced(t *testing.T) {
	n := netnstest.New(t)
	old := owner(t)
	old.ID = ""
	must(t, open(t, n, old, nil).Install(config(t, n)))
	now := owner(t)
	table := open(t, n, now, nil)
	if o, ok, err := table.Owner(); ok || err != nil {
		t.Errorf("owner %+v, %v", o, err)
	}
	must(t, table.Install(config(t, n)))
	wantOwner(t, table, now)
}
