package e2e

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
)

// To be told of each change of an entry costs every connection of the router, also those that are no FTP.
func TestKernelTellsOfChangesOnlyWhileAnotherProgramHearsOfThem(t *testing.T) {
	r := natted(t)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	g := startGateway(t, r.Gateway)
	c := login(t, r.Client, r.Server.AddrPort(false, 21))
	listens := func(own ...uint32) (others bool) {
		must(t, r.Gateway.Do(func() (err error) {
			others, err = conntrack.OthersListen(conntrack.FlowUpdate, own...)
			return err
		}))
		return others
	}
	eventually := func(what string, so func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !so(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within %v: %s", patience, what)
			}
		}
	}
	get(t, c, s, ftptest.PORT, "small")
	if listens() {
		t.Error("it hears of changes with nobody else there")
	}
	var l *conntrack.Listener
	must(t, r.Gateway.Do(func() (err error) {
		l, err = conntrack.Listen(conntrack.FlowUpdate, 1<<20, conntrack.DefaultLayout)
		return err
	}))
	eventually("it hears of changes", func() bool { return listens(l.PortID()) })
	get(t, c, s, ftptest.PORT, "small")
	must(t, l.Close())
	eventually("it hears of changes no more", func() bool { return !listens() })
	get(t, c, s, ftptest.PORT, "small")
	g.stop()
}
