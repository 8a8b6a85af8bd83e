package ruleset_test

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

func TestWhoListensIsToldOnceOfALabelThatIsWritten(t *testing.T) {
	// That the kernel tells of it twice by itself is what the rule is for.
	for listened, want := range map[bool]int{false: 2, true: 1} {
		r := netnstest.NewRouter(t)
		c := config(t, r.Gateway)
		c.Listened = listened
		install(t, r.Gateway, c)
		var l *conntrack.Listener
		r.Gateway.Do(func() {
			var err error
			if l, err = conntrack.Listen(conntrack.AllEvents, 1<<20, conntrack.DefaultLayout); err != nil {
				t.Error(err)
			}
		})
		defer func() { _ = l.Close() }()
		ct := dial(t, r.Gateway)
		client, peer := connect(t, r, netnstest.Server, "21")
		orig := conntrack.Tuple{Src: addrPort(t, client.LocalAddr()), Dst: addrPort(t, client.RemoteAddr())}
		set(t, ct, orig, conntrack.StateBusy)
		say(t, client, peer, "USER") // the kernel tells with a packet
		_ = client.Close()
		if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		var kinds [3]bool // new, established, closing
		told := 0
		for !kinds[2] {
			if err := l.Receive(func(e *conntrack.Event) {
				f, update := &e.Entry, e.Kind == conntrack.FlowUpdate
				if f.State&conntrack.StateBusy != 0 {
					told++
				}
				kinds[0] = kinds[0] || e.Kind == conntrack.FlowNew && f.State == conntrack.StateControl
				kinds[1] = kinds[1] || update && f.TCP.State == conntrack.TCPEstablished
				kinds[2] = kinds[2] || update && f.TCP.State > conntrack.TCPEstablished
			}); err != nil {
				t.Fatal(err)
			}
		}
		if told != want || kinds != [3]bool{true, true, true} {
			t.Errorf("listened %v: the label was told %d times, want %d; all else: %v",
				listened, told, want, kinds)
		}
	}
}
