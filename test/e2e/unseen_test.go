package e2e

import (
	"testing"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
	"github.com/ftpalg/ftpalg/test/lab"
)

func TestPacketsThatAFullQueueLetsPassAreCounted(t *testing.T) {
	const most, beyond = 8192, 500 // that wait in a queue, and that come when it is full
	f := newFlooded(t, (*lab.Lab).ClientBehindNAT, "")
	c := login(t, f.stranger, f.at)
	wire, flow := newRaw(t, f.stranger), conntrack.Tuple{Src: c.Local(), Dst: f.at}
	seq, ack := numbers(t, c.Conn())
	f.until("packets_unseen_total", exactly(0))
	f.g.frozen(func() {
		for range most + beyond {
			wire.send(flow, seq-1, ack, rewrite.ACK, []byte("\n")) // of the login, once more
		}
	})
	f.until("queue_waiting_packets", exactly(0)) // else what comes now passes as well
	f.unharmed()
	// Acknowledgements of them pass too, where the kernel cannot tell such apart, and what is repeated.
	f.until("packets_unseen_total", func(n int) bool { return beyond <= n && n <= 3*beyond })
	f.transfers()
}
