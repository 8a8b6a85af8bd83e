package e2e

import (
	"strings"
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
	unseen := beyond
	if strings.Contains(f.g.logged(), "pure_acks=true") {
		unseen *= 2 // the server's acknowledgements of them are offered to the queue, too
	}
	f.until("packets_unseen_total", exactly(unseen))
	f.transfers()
}
