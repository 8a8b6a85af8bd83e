package nfqueue

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

const (
	queue = 5
	port  = 9 // discard
)

// queued is a namespace whose UDP packets to port 9 go to the queue.
func queued(t testing.TB) *netnstest.NS {
	t.Helper()
	return queuedAt(t, nftables.ChainHookOutput)
}

func queuedAt(t testing.TB, hook *nftables.ChainHook) *netnstest.NS {
	t.Helper()
	ns := netnstest.New(t)
	var toQueue expr.Any
	ns.Do(func() { toQueue = statement() })
	ns.Nft(func(c *nftables.Conn) {
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "q"})
		chain := c.AddChain(&nftables.Chain{Name: "c", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: hook, Priority: nftables.ChainPriorityMangle})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0, port}},
			toQueue,
		}})
	})
	return ns
}

// statement queues a packet in the way that this kernel has.
func statement() expr.Any {
	if ruleset.Try("try", ruleset.NativeQueue) == nil {
		return &expr.Queue{Num: queue, Total: 1, Flag: expr.QueueFlagBypass}
	}
	info := make(xt.Unknown, 8) // struct xt_NFQ_info_v3
	binary.NativeEndian.PutUint16(info, queue)
	binary.NativeEndian.PutUint16(info[2:], 1)
	binary.NativeEndian.PutUint16(info[4:], 1) // bypass
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}
}

// sockets are a sender to the queued port and its receiver.
func sockets(t testing.TB, ns *netnstest.NS) (from, to *net.UDPConn) {
	t.Helper()
	ns.Do(func() {
		var err error
		addr := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
		if to, err = net.ListenUDP("udp4", addr); err != nil {
			t.Error(err)
			return
		}
		if from, err = net.DialUDP("udp4", nil, addr); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { _, _ = from.Close(), to.Close() })
	return from, to
}

// flood sends small packets as fast as it can until the test ends.
func flood(t testing.TB, from *net.UDPConn) *atomic.Uint64 {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	var sent atomic.Uint64
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_, _ = from.Write([]byte("x"))
			sent.Add(1)
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	return &sent
}

func openIn(t testing.TB, ns *netnstest.NS, c Config) (q *Queue, err error) {
	t.Helper()
	ns.Do(func() { q, err = Open(c) })
	return q, err
}

func mustOpen(t testing.TB, ns *netnstest.NS, c Config) *Queue {
	t.Helper()
	q, err := openIn(t, ns, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func statsIn(t testing.TB, ns *netnstest.NS) (s Stats) {
	t.Helper()
	ns.Do(func() {
		var err error
		if s, err = ReadStats(queue); err != nil {
			t.Error(err)
		}
	})
	return s
}

// serve accepts packets for a while and returns how many there were.
func serve(t testing.TB, q *Queue, d time.Duration) (packets, overruns int) {
	t.Helper()
	pkts := make([]Packet, 32)
	if err := q.SetDeadline(time.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := q.Receive(pkts)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return packets, overruns
		case errors.Is(err, ErrOverrun):
			overruns++
		case err != nil:
			t.Fatal(err)
		}
		for _, p := range pkts[:n] {
			if err := q.Verdict(p.ID, Accept, nil); err != nil {
				t.Fatal(err)
			}
		}
		packets += n
	}
}
