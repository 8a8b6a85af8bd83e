package ruleset_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// forward has the gateway send connections to its outside address on to the client.
func forward(r *netnstest.Router) {
	r.Gateway.Nft(func(c *nftables.Conn) {
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "dnat"})
		chain := c.AddChain(&nftables.Chain{Name: "prerouting", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: net.ParseIP(netnstest.Gateway).To4()},
			&expr.Immediate{Register: 1, Data: net.ParseIP(netnstest.Client).To4()},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
		}})
	})
}

// talks opens connections and has both ends of each speak: request and answer N.
func talks(t *testing.T, from, to *netnstest.NS, listen, dial string, count int) {
	t.Helper()
	l := to.Listen(net.JoinHostPort(listen, "21"))
	for i := range count {
		client, err := from.Dial(nil, net.JoinHostPort(dial, "21"))
		must(t, err)
		peer, err := l.Accept()
		must(t, err)
		say(t, client, peer, fmt.Sprintf("<request%03d>", i))
		say(t, peer, client, fmt.Sprintf("<answer%03d>", i))
		_ = peer.Close()
	}
}

func TestBothDirectionsOfAConnectionComeToOneWorker(t *testing.T) {
	const workers, count = 4, 40
	for _, c := range []struct {
		name string
		talk func(*testing.T, *netnstest.Router)
	}{
		{"source NAT", func(t *testing.T, r *netnstest.Router) {
			talks(t, r.Client, r.Server, netnstest.Server, netnstest.Server, count)
		}},
		{"destination NAT", func(t *testing.T, r *netnstest.Router) {
			talks(t, r.Server, r.Client, netnstest.Client, netnstest.Gateway, count)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := netnstest.NewRouter(t)
			forward(r)
			conf := config(t, r.Gateway)
			conf.Workers = workers
			install(t, r.Gateway, conf)
			var all [workers]*watcher
			for i := range all {
				all[i] = watchQueue(t, r.Gateway, queue+uint16(i))
			}
			c.talk(t, r)
			for i := range all {
				notes := strings.Join(all[i].take(), " ")
				if notes == "" {
					t.Errorf("worker %d has nothing to do", i)
				}
				for n := range count {
					request := strings.Contains(notes, fmt.Sprintf("<request%03d>", n))
					if request != strings.Contains(notes, fmt.Sprintf("<answer%03d>", n)) {
						t.Errorf("worker %d has half of connection %d", i, n)
					}
				}
			}
		})
	}
}

// take waits until no packet has come for a while, and returns all that came.
func (w *watcher) take() []string {
	var all []string
	for {
		select {
		case s := <-w.notes:
			all = append(all, s)
		case <-time.After(60 * time.Millisecond): // longer than a delayed ACK
			return all
		}
	}
}

func counters(t *testing.T, table *ruleset.Table) ruleset.Counters {
	t.Helper()
	c, err := table.Counters()
	must(t, err)
	return c
}

func TestCountersCountWhatIsOfferedToTheProgram(t *testing.T) {
	for workers := 1; workers <= 2; workers++ {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			r := netnstest.NewRouter(t)
			conf := config(t, r.Gateway)
			conf.Workers = workers
			table := open(t, r.Gateway, owner(t), nil)
			must(t, table.Install(conf))
			var all []*watcher
			for i := range workers {
				all = append(all, watchQueue(t, r.Gateway, queue+uint16(i)))
			}
			talks(t, r.Client, r.Server, netnstest.Server, netnstest.Server, 5)
			seen := 0
			for _, w := range all {
				seen += len(w.take())
			}
			if c := counters(t, table); c.Offered != uint64(seen) || seen == 0 {
				t.Errorf("%d packets came to the queues, counted are %+v", seen, c)
			}
		})
	}
}

func TestCountersGoOnWithoutAProgramAndInATableMadeAnew(t *testing.T) {
	r := netnstest.NewRouter(t)
	table := open(t, r.Gateway, owner(t), nil)
	must(t, table.Install(config(t, r.Gateway)))
	talks(t, r.Client, r.Server, netnstest.Server, netnstest.Server, 5)
	before := counters(t, table)
	if before.Offered < 3*5 || before.Held != 0 { // SYN with ACK, request, answer
		t.Errorf("counted %+v", before)
	}
	second := open(t, r.Gateway, owner(t), nil)
	c := config(t, r.Gateway)
	c.Workers, c.Queue = 2, queue+1
	if _, err := second.TakeOver(c); err != nil {
		t.Fatal(err)
	}
	if after := counters(t, second); after.Offered < before.Offered {
		t.Errorf("of %+v are left %+v", before, after)
	}
}
