package e2e

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
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
		overwrite(t, r.Gateway, session)
		g.kill()
		g.start()
		get(t, c, s, ftptest.PORT, "small")
		overwrite(t, r.Gateway, session)
		get(t, c, s, ftptest.EPRT, "small")
	}
	g.stop()
}

// overwrite writes the label of a session, and waits until the program has mended it.
func overwrite(t testing.TB, h *lab.Host, session conntrack.Tuple) {
	t.Helper()
	must(t, h.Do(func() error {
		k, err := conntrack.Dial()
		if err != nil {
			return err
		}
		defer k.Close()
		was, err := k.Flow(session)
		if err != nil {
			return err
		}
		var u conntrack.Update
		u.SetLabel(0, [2]conntrack.Flight{})
		if err := k.Update(session, u); err != nil {
			return err
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			f, err := k.Flow(session)
			if err != nil {
				return err
			}
			if f.State&^conntrack.StateBusy == was.State&^conntrack.StateBusy {
				return nil
			}
			if time.Now().After(deadline) {
				t.Fatalf("the label is %b, and was %b", f.State, was.State)
			}
		}
	}))
}
