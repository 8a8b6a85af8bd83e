package ruleset_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// A packet that waits in the queue goes on by its place among the hooks.
func TestTableInstalledAnewKeepsItsHooks(t *testing.T) {
	n := netnstest.New(t)
	table := open(t, n, owner(t), nil)
	c := config(t, n)
	must(t, table.Install(c))
	before, err := table.ChainHandles()
	must(t, err)
	n.Nft(func(c *nftables.Conn) { c.FlushTable(ours) })
	c.Ports = append(c.Ports, 2121)
	c.Workers, c.Queue = 2, 100
	other := open(t, n, owner(t), nil)
	if _, err := other.TakeOver(c); err != nil {
		t.Fatal(err)
	}
	after, err := table.ChainHandles()
	must(t, err)
	for _, chain := range []string{"prerouting", "output"} {
		if before[chain] != after[chain] || after[chain] == 0 {
			t.Errorf("chain %s was number %d and is %d", chain, before[chain], after[chain])
		}
	}
}

// With the object for a helper the kernel drops what waits in all queues.
func TestTableInstalledAnewKeepsItsHelper(t *testing.T) {
	n := netnstest.New(t)
	table := open(t, n, owner(t), nil)
	c := config(t, n)
	must(t, table.Install(c))
	before, err := table.HelperHandle()
	must(t, err)
	other := open(t, n, owner(t), nil)
	c.Ports = append(c.Ports, 2121)
	if _, err := other.TakeOver(c); err != nil {
		t.Fatal(err)
	}
	after, err := other.HelperHandle()
	must(t, err)
	if before != after || after == 0 {
		t.Errorf("it was number %d and is %d", before, after)
	}
	c.Helper = ""
	must(t, other.Install(c))
	if left, err := other.HelperHandle(); left != 0 || err != nil {
		t.Errorf("without a helper there is number %d, %v", left, err)
	}
}

func TestHelperThatATableHasIsNotTried(t *testing.T) {
	n := netnstest.New(t)
	table := open(t, n, owner(t), nil)
	must(t, table.Install(config(t, n)))
	before, err := table.Generation()
	must(t, err)
	n.Do(func() {
		if err := ruleset.TryHelper("try", conntrack.HelperCarrier); err != nil {
			t.Error(err)
		}
	})
	if after, err := table.Generation(); after != before || err != nil {
		t.Errorf("the ruleset was changed: %d, then %d, %v", before, after, err)
	}
}

func TestPacketThatWaitsIsTranslatedThoughTheRulesAreEmptied(t *testing.T) {
	r := netnstest.NewRouter(t)
	table := open(t, r.Gateway, owner(t), nil)
	must(t, table.Install(config(t, r.Gateway)))
	client, peer := connect(t, r, netnstest.Server, "21")
	var q *nfqueue.Queue
	r.Gateway.Do(func() {
		var err error
		if q, err = nfqueue.Open(nfqueue.Config{Queue: queue}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { _ = q.Close() })
	must(t, q.SetDeadline(time.Now().Add(patience)))
	_, err := peer.Write([]byte("220"))
	must(t, err)
	var pkts [1]nfqueue.Packet
	for {
		_, err := q.Receive(pkts[:])
		must(t, err)
		if strings.HasSuffix(string(pkts[0].Payload), "220") {
			break
		}
		must(t, q.Verdict(pkts[0].ID, nfqueue.Accept, nil))
	}
	drop := nftables.ChainPolicyDrop // of what the server repeats
	r.Server.Nft(func(c *nftables.Conn) {
		loss := c.AddTable(&nftables.Table{Name: "loss", Family: nftables.TableFamilyIPv4})
		c.AddChain(&nftables.Chain{Name: "out", Table: loss,
			Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput,
			Priority: nftables.ChainPriorityFilter, Policy: &drop})
	})
	must(t, table.Empty())
	must(t, q.Verdict(pkts[0].ID, nfqueue.Accept, nil))
	must(t, q.Flush())
	b := make([]byte, 8)
	_ = client.SetReadDeadline(time.Now().Add(patience))
	if n, err := client.Read(b); err != nil || string(b[:n]) != "220" {
		t.Errorf("the client read %q, %v", b[:n], err)
	}
	must(t, table.Remove())
}
