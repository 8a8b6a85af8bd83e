package e2e

import (
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
)

// Programs that keep bits of their own in the labels, as network policies do, overwrite ours.
func TestSessionOutlivesALabelThatAnotherProgramOverwritesAndAKillAfterIt(t *testing.T) {
	r := natted(t)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	g := startGateway(t, r.Gateway)
	c := login(t, r.Client, r.Server.AddrPort(false, 21))
	get(t, c, s, ftptest.PORT, "small")
	session := conntrack.Tuple{Src: c.Local(), Dst: c.Remote()}
	for range 2 {
		g.overwrite(session)
		g.kill()
		g.start()
		get(t, c, s, ftptest.PORT, "small")
		g.overwrite(session)
		get(t, c, s, ftptest.EPRT, "small")
	}
	g.stop()
}

// The kernel tells of an empty label as little as of none.
func TestLabelThatIsOverwrittenWhileNoProgramRunsIsWrittenAnew(t *testing.T) {
	r := natted(t)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	g := withConfig(t, r.Gateway, "trust_running: true\n")
	c := login(t, r.Client, r.Server.AddrPort(false, 21))
	get(t, c, s, ftptest.PORT, "small")
	session := conntrack.Tuple{Src: c.Local(), Dst: c.Remote()}
	g.kill()
	g.wipe(session)
	g.start()
	if _, err := c.Cmd("NOOP"); err != nil { // nothing is opened that would have the entry replaced
		t.Fatal(err)
	}
	g.wantState(t, session, conntrack.StateControl, conntrack.StateControl)
	get(t, c, s, ftptest.PORT, "small")
	get(t, c, s, ftptest.EPRT, "small")
	g.stop()
}

// wipe has another program overwrite the label of a session.
func (g *gateway) wipe(session conntrack.Tuple) {
	g.t.Helper()
	var u conntrack.Update
	u.SetLabel(0, [2]conntrack.Flight{})
	must(g.t, tracking(g.host, func(c *conntrack.Conn) error { return c.Update(session, u) }))
}

// overwrite wipes the label of a session, and waits until the program has mended it.
func (g *gateway) overwrite(session conntrack.Tuple) {
	g.t.Helper()
	was := g.state(session)
	g.wipe(session)
	g.wantState(g.t, session, ^conntrack.StateBusy, was&^conntrack.StateBusy)
}
