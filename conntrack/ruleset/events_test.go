package ruleset_test

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

// listen listens in a namespace for as long as the test lasts.
func listen(t testing.TB, n *netnstest.NS) (l *conntrack.Listener) {
	t.Helper()
	n.Do(func() {
		var err error
		if l, err = conntrack.Listen(conntrack.AllEvents, 1<<20, conntrack.DefaultLayout); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWhoListensIsToldOnceOfALabelThatIsWritten(t *testing.T) {
	for _, c := range []struct {
		name           string
		begins, passes bool // what listens is known when the connection begins, and when packets pass
		want           int
	}{
		{"nobody is known to listen", false, false, 2}, // that is what the rule is for
		{"from the beginning", true, true, 1},
		{"in the middle, or the entry is another program's", false, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := netnstest.NewRouter(t)
			rules := config(t, r.Gateway)
			rules.Listened = c.begins
			install(t, r.Gateway, rules)
			l, ct := listen(t, r.Gateway), dial(t, r.Gateway)
			client, peer := connect(t, r, netnstest.Server, "21")
			rules.Listened = c.passes
			install(t, r.Gateway, rules)
			from, to := addrPort(t, client.LocalAddr()), addrPort(t, client.RemoteAddr())
			set(t, ct, conntrack.Tuple{Src: from, Dst: to}, conntrack.StateBusy)
			say(t, client, peer, "USER") // the kernel tells with a packet
			_ = client.Close()
			if told := labelsTold(t, l); told != c.want {
				t.Errorf("the label was told %d times, want %d", told, c.want)
			}
		})
	}
}

// labelsTold counts how often a label was told of that was written, until the connection closes. All else
// must be told, too.
func labelsTold(t *testing.T, l *conntrack.Listener) (told int) {
	var begun, established, closing bool
	for !closing {
		if err := l.Receive(func(e *conntrack.Event) {
			f, update := &e.Entry, e.Kind == conntrack.FlowUpdate
			if f.State&conntrack.StateBusy != 0 {
				told++
			}
			begun = begun || e.Kind == conntrack.FlowNew && f.State == conntrack.StateControl
			established = established || update && f.TCP.State == conntrack.TCPEstablished
			closing = closing || update && f.TCP.State > conntrack.TCPEstablished
		}); err != nil {
			t.Fatal(err)
		}
	}
	if !begun || !established {
		t.Errorf("it was told that it begins: %v, that it is established: %v", begun, established)
	}
	return told
}
