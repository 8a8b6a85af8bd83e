package ruleset_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

const queue = 7

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

func TestTextIsTheGoldenTable(t *testing.T) {
	for file, c := range map[string]ruleset.Config{
		"inner.nft": {
			Ports: []uint16{2121, 21, 21}, Queue: queue, Helper: conntrack.HelperOwn, InnerHeader: true,
			Listened: true,
		},
		"workers.nft": {
			Ports: []uint16{21}, Queue: queue, Workers: 3, Helper: conntrack.HelperCarrier, InnerHeader: true,
		},
		"no-inner.nft": {
			Table: "ftpalg_b", Ports: []uint16{21}, Helper: conntrack.HelperCarrier, Priority: -160,
		},
	} {
		golden := filepath.Join("testdata", file)
		got := ruleset.Text(c)
		if os.Getenv("UPDATE_GOLDEN") == "1" {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if want := asHere(t, string(want)); got != want {
			t.Errorf("%s (UPDATE_GOLDEN=1 writes it anew):\ngot\n%s\nwant\n%s", file, got, want)
		}
	}
}

func TestConfigThatMakesNoSenseIsRefused(t *testing.T) {
	for _, c := range []ruleset.Config{
		{},
		{Ports: []uint16{0, 21}},
		{Ports: []uint16{21}, Priority: -100},
		{Ports: []uint16{21}, Priority: -200},
		{Ports: []uint16{21}, Table: "a { }"},
		{Ports: []uint16{21}, Queue: 65535, Workers: 2},
	} {
		if err := ruleset.Install(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// config is what this kernel can do, with the built-in helper.
func config(t testing.TB, n *netnstest.NS) ruleset.Config {
	t.Helper()
	c := ruleset.Config{Ports: []uint16{21}, Queue: queue, Helper: conntrack.HelperCarrier}
	n.Do(func() {
		c.NativeQueue = ruleset.Try("try", ruleset.NativeQueue) == nil
		c.InnerHeader = ruleset.Try("try", ruleset.InnerHeader) == nil
	})
	return c
}

func install(t testing.TB, n *netnstest.NS, c ruleset.Config) {
	t.Helper()
	n.Do(func() {
		if err := ruleset.Install(c); err != nil {
			t.Error(err)
		}
	})
}

// tables lists the names of the tables in a namespace.
func tables(t testing.TB, n *netnstest.NS) (names []string) {
	t.Helper()
	n.Nft(func(c *nftables.Conn) {
		all, err := c.ListTables()
		if err != nil {
			t.Error(err)
		}
		for _, table := range all {
			names = append(names, table.Name)
		}
	})
	return names
}

func helperIn(t testing.TB, n *netnstest.NS) (name string) {
	t.Helper()
	n.Nft(func(c *nftables.Conn) {
		objs, err := c.GetNamedObjects(ours)
		if err != nil || len(objs) != 1 {
			t.Errorf("%d objects, %v", len(objs), err)
			return
		}
		name = objs[0].(*nftables.NamedObj).Obj.(*expr.CtHelper).Name
	})
	return name
}

func TestTryLeavesNothing(t *testing.T) {
	n := netnstest.New(t)
	n.Do(func() {
		for _, f := range []ruleset.Feature{ruleset.Tables, ruleset.Labels} {
			if err := ruleset.Try("try", f); err != nil {
				t.Error(err)
			}
		}
		if ruleset.Try("try", ruleset.NativeQueue) != nil && ruleset.Try("try", ruleset.TargetQueue) != nil {
			t.Error("no way to queue packets")
		}
		if err := ruleset.TryHelper("try", conntrack.HelperCarrier); err != nil {
			t.Error(err)
		}
		if err := ruleset.TryHelper("try", "nobody"); err == nil {
			t.Error("a helper that is not there was found")
		}
	})
	if names := tables(t, n); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestInstallReplacesAndRemoveRemoves(t *testing.T) {
	n := netnstest.New(t)
	c := config(t, n)
	for range 2 {
		install(t, n, c)
		if names := tables(t, n); len(names) != 1 || names[0] != ruleset.DefaultTable {
			t.Errorf("tables %v", names)
		}
	}
	for range 2 {
		n.Do(func() {
			if err := ruleset.Remove(ruleset.DefaultTable); err != nil {
				t.Error(err)
			}
		})
		if names := tables(t, n); len(names) != 0 {
			t.Errorf("left behind: %v", names)
		}
	}
}

func TestRefusedTableLeavesTheOldOneWhole(t *testing.T) {
	n := netnstest.New(t)
	c := config(t, n)
	install(t, n, c)
	c.Helper = "nobody"
	n.Do(func() {
		if err := ruleset.Install(c); err == nil {
			t.Error("a table with a helper that is not there was taken")
		}
	})
	if got := helperIn(t, n); got != conntrack.HelperCarrier {
		t.Errorf("helper %q", got)
	}
}

func TestTextLoads(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("NOT TESTED: there is no nft program")
	}
	n := netnstest.New(t)
	for workers := range 3 {
		c := config(t, n)
		c.Workers = workers
		text := ruleset.Text(c)
		if !c.NativeQueue {
			t.Log("this kernel has no queue statement: it is replaced by accept")
			text = regexp.MustCompile(`queue( flags bypass)? to \d+`).ReplaceAllString(text, "accept")
		}
		n.Do(func() {
			cmd := exec.Command(nft, "-c", "-f", "-")
			cmd.Stdin = strings.NewReader(text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestOnlyPacketsThatNeedADecisionAreQueued(t *testing.T) {
	for _, server := range []string{netnstest.Server, netnstest.Server6} {
		t.Run(server, func(t *testing.T) {
			r := netnstest.NewRouter(t)
			c := config(t, r.Gateway)
			if !c.InnerHeader {
				t.Skip("this kernel cannot tell packets with payload")
			}
			install(t, r.Gateway, c)
			queuedPackets(t, r, server)
		})
	}
}

func queuedPackets(t *testing.T, r *netnstest.Router, server string) {
	w := watch(t, r.Gateway)
	ct := dial(t, r.Gateway)
	client, peer := connect(t, r, server, "21")
	w.expect(t, "opening", "S.")

	orig := conntrack.Tuple{Src: addrPort(t, client.LocalAddr()), Dst: addrPort(t, client.RemoteAddr())}
	f, err := ct.Flow(orig)
	if err != nil {
		t.Fatal(err)
	}
	if f.State != conntrack.StateControl || f.Helper != conntrack.HelperCarrier || !f.HasSeq {
		t.Errorf("the rules made %+v", f)
	}

	say(t, peer, client, "220")
	say(t, client, peer, "USER")
	w.expect(t, "idle", ".220 .USER")

	set(t, ct, orig, conntrack.StateBusy)
	say(t, client, peer, "PORT")
	w.expect(t, "busy", ".PORT .")

	set(t, ct, orig, conntrack.StateOpaque)
	say(t, client, peer, "TLS")
	w.expect(t, "opaque", "")
	_ = client.Close()
	_ = peer.Close()
	w.expect(t, "closing, opaque", "F. F.")

	_, _ = connect(t, r, server, "2121")
	w.expect(t, "a port that is not ours", "")
}

// set writes the bits that the rules read: the given ones and no other.
func set(t testing.TB, ct *conntrack.Conn, orig conntrack.Tuple, s conntrack.State) {
	t.Helper()
	const all = conntrack.StateBusy | conntrack.StateOpaque | conntrack.StateNoBypass
	u := conntrack.Update{StateMask: all, State: s}
	if err := ct.Update(orig, u); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutInnerHeaderPureACKsAreQueuedToo(t *testing.T) {
	r := netnstest.NewRouter(t)
	c := config(t, r.Gateway)
	c.InnerHeader = false
	install(t, r.Gateway, c)
	w := watch(t, r.Gateway)
	client, peer := connect(t, r, netnstest.Server, "21")
	say(t, client, peer, "USER")
	w.expect(t, "all", "S. . .USER .")
}

func TestConnectionsOfTheGatewayItselfAreQueuedOncePerPacket(t *testing.T) {
	r := netnstest.NewRouter(t)
	install(t, r.Gateway, config(t, r.Gateway))
	w := watch(t, r.Gateway)
	l := r.Server.Listen(net.JoinHostPort(netnstest.Server, "21"))
	client, peer := meet(t, r.Gateway, l)
	say(t, client, peer, "USER")
	say(t, peer, client, "331")
	w.expect(t, "to a server", "S. .USER .331")

	l = r.Gateway.Listen("127.0.0.1:21")
	client, peer = meet(t, r.Gateway, l)
	say(t, client, peer, "USER")
	say(t, peer, client, "331")
	w.expect(t, "over loopback", "S. .USER .331")
}

func TestTrafficPassesWhileNobodyHasTheQueue(t *testing.T) {
	r := netnstest.NewRouter(t)
	install(t, r.Gateway, config(t, r.Gateway))
	client, peer := connect(t, r, netnstest.Server, "21")
	say(t, client, peer, "USER")
}

func TestConnectionThatNeedsTheProgramWaitsForIt(t *testing.T) {
	r := netnstest.NewRouter(t)
	install(t, r.Gateway, config(t, r.Gateway))
	ct := dial(t, r.Gateway)
	client, peer := connect(t, r, netnstest.Server, "21")
	say(t, client, peer, "USER")
	orig := conntrack.Tuple{Src: addrPort(t, client.LocalAddr()), Dst: addrPort(t, client.RemoteAddr())}
	set(t, ct, orig, conntrack.StateBusy|conntrack.StateNoBypass)
	if _, err := client.Write([]byte("PORT")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	_ = peer.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := peer.Read(b); err == nil {
		t.Fatalf("%q passed while nobody had the queue", b[:n])
	}
	watch(t, r.Gateway)
	_ = peer.SetReadDeadline(time.Now().Add(patience))
	if n, err := peer.Read(b); err != nil || string(b[:n]) != "PORT" {
		t.Errorf("with the program back the server read %q, %v", b[:n], err)
	}
	set(t, ct, orig, 0)
	say(t, peer, client, "200")
}
