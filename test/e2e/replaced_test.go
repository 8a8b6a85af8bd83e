package e2e

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/test/ftptest"
)

// What replicates entries replaces one that it cannot change. Packets that wait in the queue leave with what
// the old one adds to their numbers, whatever the program writes into the new one for them.
func TestEntryThatIsReplacedWhilePacketsWaitCostsNoByte(t *testing.T) {
	r := natted(t)
	s := serve(t, &ftptest.Server{CheckAddress: true}, r.Server, r.Server.AddrPort(false, 21))
	g := startGateway(t, r.Gateway)
	c := login(t, r.Client, r.Server.AddrPort(false, 21))
	get(t, c, s, ftptest.PORT, "small") // from here on the numbers are moved
	session := conntrack.Tuple{Src: c.Local(), Dst: c.Remote()}
	for range 3 {
		g.replaceEntry(session)
		get(t, c, s, ftptest.EPRT, "small")
		line := "PORT " + ftptest.FormatPort(netip.AddrPortFrom(c.Local().Addr(), 5000)) + "\r\n"
		const last = 8 // bytes, each in a packet of its own
		for _, b := range []byte(line[:len(line)-last]) {
			must(t, c.Write([]byte{b}))
		}
		g.waits(0)
		g.frozen(func() {
			for _, b := range []byte(line[len(line)-last:]) {
				must(t, c.Write([]byte{b}))
			}
			g.waits(last)
			g.replaceEntry(session)
		})
		if reply, err := c.ReadReply(); err != nil || reply.Code != 200 {
			t.Fatalf("%q is answered by %v, %v", line, reply, err)
		}
		get(t, c, s, ftptest.PORT, "small")
	}
	g.stop()
}

// defaultQueue is the queue of a program that is told no other.
const defaultQueue = 2121

// waits waits until at least so many packets wait in the queue; 0: until none does.
func (g *gateway) waits(packets int) {
	g.t.Helper()
	var waiting uint32
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		must(g.t, g.host.Do(func() error {
			stats, err := nfqueue.ReadStats(defaultQueue)
			waiting = stats.Waiting
			return err
		}))
		if packets == 0 && waiting == 0 || packets > 0 && int(waiting) >= packets {
			return
		}
	}
	g.t.Fatalf("%d packets wait, want %d", waiting, packets)
}

// replaceEntry has another program put an entry in the place of that of a session, with the same in it.
func (g *gateway) replaceEntry(session conntrack.Tuple) {
	g.t.Helper()
	must(g.t, tracking(g.host, func(c *conntrack.Conn) error {
		var e conntrack.Entry
		if err := c.Entry(session, &e); err != nil {
			return err
		}
		f, err := c.Flow(session)
		if err != nil {
			return err
		}
		u := conntrack.Update{Seq: f.Seq, SetSeq: [2]bool{true, true}}
		// It may tell of a door through which somebody has come.
		u.SetLabel(f.State&^(conntrack.StateDoorActive|conntrack.StateDoorPassive), f.Flight)
		_, err = c.Replace(&e, f.Helper, u)
		return err
	}))
}
