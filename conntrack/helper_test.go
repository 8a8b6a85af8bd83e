package conntrack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

// own registers a helper of our own under a name for this test, or skips it.
func own(t *testing.T, c *Conn, maxExpected int) string {
	t.Helper()
	const name = "ftpalg-test"
	err := c.CanRegisterHelper()
	if errors.Is(err, ErrUnsupported) {
		t.Skipf("NOT TESTED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RegisterHelper(name, maxExpected, time.Minute); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A kernel lets go of the rules of a table some time after it has said that the table is gone.
		err := c.UnregisterHelper(name)
		for end := time.Now().Add(5 * time.Second); errors.Is(err, unix.EBUSY) && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
			err = c.UnregisterHelper(name)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return name
}

func TestOwnHelperCarriesAsManyExpectationsAsItWasGiven(t *testing.T) {
	r := netnstest.NewRouter(t)
	c := dialIn(t, r.Gateway)
	for _, limit := range []int{3, 5} { // the second registration changes the first
		name := own(t, c, limit)
		r.Gateway.Nft(func(n *nftables.Conn) {
			n.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
			n.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
			control(n, name)
		})
		t.Cleanup(func() { // before the helper goes, which its use by a rule would prevent
			r.Gateway.Nft(func(n *nftables.Conn) {
				n.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
				n.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
			})
		})
		for _, server := range []string{netnstest.Server, netnstest.Server6} {
			client, peer := open(t, r, server)
			f := flow(t, c, client, peer)
			if f.Helper != name || !f.HasSeq {
				t.Fatalf("%+v", f)
			}
			exchange(t, client, peer)
			exchange(t, peer, client)
			for port := range uint16(10) {
				if err := expect(c, active(f, 42000+port)); err != nil {
					t.Fatal(err)
				}
			}
			all, err := c.Expectations()
			if err != nil || len(all) != limit {
				t.Errorf("%d expectations, want %d; %v", len(all), limit, err)
			}
			for _, e := range all {
				if err := c.Withdraw(e); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestOwnHelperLetsADataConnectionThrough(t *testing.T) {
	r := netnstest.NewRouter(t)
	c := dialIn(t, r.Gateway)
	name := own(t, c, 8)
	r.Gateway.Nft(func(n *nftables.Conn) { control(n, name) })
	t.Cleanup(func() {
		r.Gateway.Nft(func(n *nftables.Conn) {
			n.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "control"})
		})
	})
	client, peer := open(t, r, netnstest.Server)
	e := active(flow(t, c, client, peer), 40001)
	l := r.Client.Listen(net.JoinHostPort(netnstest.Client, "2000"))
	if err := expect(c, e); err != nil {
		t.Fatal(err)
	}
	data, err := r.Server.Dial(nil, e.Dst.String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, data, in)
	_ = in.Close()
	var want error
	if before(t, 7, 2) {
		want = unix.EBUSY
	}
	if err := c.UnregisterHelper(name); !errors.Is(err, want) {
		t.Errorf("unregister while a rule uses it: %v, want %v", err, want)
	}
}

// before tells whether the kernel that runs is older than this version.
func before(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var have, then int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &have, &then); err != nil {
		t.Fatal(err)
	}
	return have < major || have == major && then < minor
}

func TestUnregisteringAHelperThatIsNotThereIsNoError(t *testing.T) {
	c := dialIn(t, netnstest.New(t))
	if err := c.CanRegisterHelper(); errors.Is(err, ErrUnsupported) {
		t.Skipf("NOT TESTED: %v", err)
	}
	if err := c.UnregisterHelper("ftpalg-nobody"); err != nil {
		t.Error(err)
	}
}

func TestTryLeavesNothing(t *testing.T) {
	n := netnstest.New(t)
	c := dialIn(t, n)
	for _, helper := range []string{"", HelperCarrier} {
		if a := c.Try(helper); a.Flows != nil || a.SeqAdj != nil || a.Expect != nil {
			t.Errorf("%q: %+v", helper, a)
		}
		err := c.Entries(Filter{}, func(e *Entry) { t.Errorf("%q: there is still %+v", helper, e) })
		if err != nil {
			t.Error(err)
		}
		if all, err := c.Expectations(); err != nil || len(all) != 0 {
			t.Errorf("%q: %v, %v", helper, all, err)
		}
	}
}

// A program that is stopped while it tries must find the entry still, and in a full table too.
func TestEntryToTryThingsOnStays(t *testing.T) {
	c := dialIn(t, netnstest.New(t))
	orig := trial()
	if err := c.makeEntry(orig, HelperCarrier); err != nil {
		t.Fatal(err)
	}
	var e Entry
	if err := c.Entry(orig, &e); err != nil {
		t.Fatal(err)
	}
	if e.Timeout < tryTime-5*time.Second || e.Status&StatusAssured == 0 {
		t.Errorf("it stays for %v, its status is %#x", e.Timeout, e.Status)
	}
}

func TestTryTellsThatTheTableOfConnectionsIsFull(t *testing.T) {
	n := netnstest.New(t)
	const most = 300000
	var limit int
	n.Do(func() {
		b, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_max")
		if err != nil {
			t.Error(err)
		}
		limit, _ = strconv.Atoi(strings.TrimSpace(string(b))) // counts in each namespace by itself
	})
	if limit == 0 || limit > most {
		t.Skipf("SKIPPED, NOT TESTED: nf_conntrack_max is %d, more than %d", limit, most)
	}
	c := dialIn(t, n)
	var err error
	for i := 0; i <= limit && err == nil; i++ {
		err = c.makeEntry(Tuple{
			Src: netip.AddrPortFrom(tryClients.Addr(), uint16(1+i%50000)),
			Dst: netip.AddrPortFrom(tryServer.Addr(), uint16(1+i/50000)),
		}, "")
	}
	if a := c.Try(""); !errors.Is(a.Flows, ErrEntriesFull) {
		t.Errorf("after %v: %v", err, a.Flows)
	}
}

func TestEntryOfSomebodyElseIsNotTriedOn(t *testing.T) {
	c := dialIn(t, netnstest.New(t))
	orig := trial()
	for _, want := range []error{nil, unix.EEXIST} {
		if err := c.makeEntry(orig, ""); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// As where two gateways replicate their entries to each other, and both begin.
func TestTwoMayTryAtOnce(t *testing.T) {
	n := netnstest.New(t)
	var both sync.WaitGroup
	for range 2 {
		c := dialIn(t, n)
		both.Go(func() {
			for range 500 {
				if a := c.Try(HelperCarrier); a.Flows != nil || a.SeqAdj != nil || a.Expect != nil {
					t.Errorf("%+v", a)
				}
			}
		})
	}
	both.Wait()
}
