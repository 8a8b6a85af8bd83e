package nfqueue

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// benchLen is how many packets wait in the queue before a benchmark reads them.
const benchLen = 4096

// BenchmarkAccept reads packets that wait already and accepts them. The kernel's part of
// it, to the socket that receives them, counts too.
func BenchmarkAccept(b *testing.B) {
	for _, batch := range []int{1, 16, 32, 64, 128, 256} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) { benchmark(b, batch, false) })
	}
}

// BenchmarkReplace gives each packet back as a new one.
func BenchmarkReplace(b *testing.B) {
	for _, batch := range []int{32, 64, 128} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) { benchmark(b, batch, true) })
	}
}

// BenchmarkZones is the whole way of tracked packets through a queue, with and without what the kernel tells
// of their entry.
func BenchmarkZones(b *testing.B) {
	for _, told := range []bool{false, true} {
		b.Run(fmt.Sprintf("told=%v", told), func(b *testing.B) {
			ns := queued(b)
			ns.Nft(track)
			from, _ := sockets(b, ns)
			q := mustOpen(b, ns, Config{Queue: queue, MaxLen: 65535, ReadBuffer: 64 << 20, Zones: told})
			if q.Zoned() != told {
				b.Skip("this kernel does not tell zones")
			}
			pkts := make([]Packet, 64)
			b.ReportAllocs()
			for done := 0; b.Loop(); done++ {
				_, _ = from.Write(make([]byte, 44))
				if done%len(pkts) == len(pkts)-1 {
					drain(b, q, pkts, len(pkts), false)
				}
			}
		})
	}
}

// track makes connections tracked, which they are while a rule asks for them.
func track(c *nftables.Conn) {
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "track"})
	chain := c.AddChain(&nftables.Chain{Name: "c", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
	}})
}

func benchmark(b *testing.B, batch int, replace bool) {
	ns := queued(b)
	from, _ := sockets(b, ns)
	roomToSend(b, from)
	q := mustOpen(b, ns, Config{Queue: queue, MaxLen: 65535, ReadBuffer: 64 << 20, Batch: batch})
	pkts := make([]Packet, batch)
	b.ReportAllocs()
	b.ResetTimer()
	var cpu time.Duration
	for done := 0; done < b.N; done += min(benchLen, b.N-done) {
		n := min(benchLen, b.N-done)
		b.StopTimer()
		for range n {
			_, _ = from.Write(make([]byte, 44))
		}
		before := cpuTime(b)
		b.StartTimer()
		drain(b, q, pkts, n, replace)
		cpu += cpuTime(b) - before
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// drain answers n packets.
func drain(b *testing.B, q *Queue, pkts []Packet, n int, replace bool) {
	for n > 0 {
		got, err := q.Receive(pkts)
		if err != nil {
			b.Fatal(err)
		}
		for i := range pkts[:got] {
			var payload []byte
			if replace {
				payload = pkts[i].Payload
			}
			if err := q.Verdict(pkts[i].ID, Accept, payload); err != nil {
				b.Fatal(err)
			}
		}
		n -= got
	}
	if err := q.Flush(); err != nil {
		b.Fatal(err)
	}
}

// roomToSend lets packets wait in the queue that count against the buffer of their sender.
func roomToSend(b *testing.B, from *net.UDPConn) {
	raw, err := from.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	ctl := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 64<<20)
	})
	if ctl != nil || err != nil {
		b.Fatal(ctl, err)
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
