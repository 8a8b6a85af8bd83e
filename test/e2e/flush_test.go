package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// flush removes a table of family inet, as `nft flush ruleset` does to all.
func flush(t testing.TB, h *lab.Host, table string) {
	t.Helper()
	must(t, h.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: table})
		return c.Flush()
	}))
}

// await waits for the log to hold the text so many times.
func (g *gateway) await(text string, times int) {
	g.t.Helper()
	end := time.Now().Add(patience)
	for ; strings.Count(g.logged(), text) < times; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("the log does not hold %q %d times:\n%s", text, times, g.logged())
		}
	}
}

func TestFlushedRulesAreBackAndSessionsGoOn(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	g := startGateway(t, r.Gateway)
	c := login(t, r.Client, r.Server.AddrPort(false, 21))
	for i := range 3 {
		get(t, c, s, ftptest.PORT, "small")
		flush(t, r.Gateway, "ftpalg")
		g.await("the rules were damaged and are repaired", i+1)
	}
	get(t, c, s, ftptest.PORT, "small")
	get(t, login(t, r.Client, r.Server.AddrPort(false, 21)), s, ftptest.PORT, "small")
	g.signal(unix.SIGHUP)
	g.stop()
}

// A program that is killed leaves its table; the next one takes it without a word.
func TestTableOfAKilledProgramIsTaken(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, 21))
	g := startGateway(t, r.Gateway)
	c := login(t, r.Client, r.Server.AddrPort(false, 21))
	get(t, c, s, ftptest.PORT, "small")
	g.kill()
	g.start()
	get(t, c, s, ftptest.PORT, "small")
	g.stop()
}
