package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
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

// freeze stops the program, and waits until it has stopped.
func (g *gateway) freeze() {
	g.t.Helper()
	g.signal(unix.SIGSTOP)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.cmd.Process.Pid))
		must(g.t, err)
		if _, after, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(after, "T") {
			return
		}
		if time.Now().After(end) {
			g.t.Fatal("the program does not stop")
		}
	}
}

// A program that is stopped for a while has packets in its queue whose repetitions went by without it,
// because meanwhile somebody took its rules away. It must not take them for what passes now.
func TestPacketsFromBeforeTheRulesWereFlushedAreNotEdited(t *testing.T) {
	for _, c := range []struct {
		name  string
		flush func(*nftables.Conn, *nftables.Table)
	}{
		{"table deleted", (*nftables.Conn).DelTable},
		{"table flushed", (*nftables.Conn).FlushTable},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := routed(t, (*lab.Lab).ClientBehindNAT)
			s := serve(t, &ftptest.Server{CheckAddress: true}, r.Server, r.Server.AddrPort(true, 21))
			g := startGateway(t, r.Gateway)
			client := login(t, r.Client, r.Server.AddrPort(true, 21))
			get(t, client, s, ftptest.EPRT, "small")
			g.freeze()
			// It would become another length.
			line := "EPRT " + ftptest.FormatExtended(netip.AddrPortFrom(client.Local().Addr(), 5000)) + "\r\n"
			must(t, client.Write([]byte(line)))
			must(t, r.Gateway.Do(func() error {
				conn, err := nftables.New()
				if err != nil {
					return err
				}
				c.flush(conn, &nftables.Table{Family: nftables.TableFamilyINet, Name: "ftpalg"})
				return conn.Flush()
			}))
			if reply, err := client.ReadReply(); err != nil || reply.Code != 500 {
				t.Fatalf("with nobody to rewrite it EPRT is answered by %v, %v", reply, err)
			}
			if reply, err := client.Cmd("NOOP"); err != nil || reply.Code != 200 {
				t.Fatalf("NOOP: %v, %v", reply, err)
			}
			g.signal(unix.SIGCONT)
			g.await("the rules were damaged and are repaired", 1)
			// Where the first line after what it did not see begins the program cannot know.
			_, err := client.Get(ftptest.EPRT, "small")
			if err != nil && !errors.As(err, new(*ftptest.ReplyError)) {
				t.Fatal(err)
			}
			for range 3 {
				get(t, client, s, ftptest.EPRT, "small")
			}
		})
	}
}
