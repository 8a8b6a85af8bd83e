package alg

import (
	"slices"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Where a bridge passes its packets to the IP hooks, a packet may come through the queue twice.
func TestPacketThatComesAgainAsItLeftIsNotChangedTwice(t *testing.T) {
	d := newTalk(t, snatFlow(), policy.Default()).login()
	d.c("PORT 10,0,13,222,39,136\r\n")
	d.s("200 ok\r\n") // the kernel carries the offset of the first
	line := "PORT 10,0,13,222,39,137\r\n"
	at := d.seq[toServer]
	pkt := numbered(1, tcpPacket(d.k.flow.Tuple[toServer], at, d.ackOf(toServer), rewrite.ACK, []byte(line)))
	_, out := d.g.Handle(d.now, 1, pkt, false)
	first := slices.Clone(out)
	at += uint32(len(line))
	next := tcpPacket(d.k.flow.Tuple[toServer], at, d.ackOf(toServer), rewrite.ACK, []byte("NOOP\r\n"))
	_, out = d.g.Handle(d.now, 2, numbered(2, next), false)
	second := slices.Clone(out)
	for _, p := range [][]byte{first, second} {
		if v, out := d.g.Handle(d.now, 3, p, false); v != Accept {
			t.Errorf("% x was %v: % x", p, v, out)
		}
	}
	if n := d.g.Stats.Untouched[policy.SeenTwice].Load(); n != 2 {
		t.Errorf("%d packets were seen twice, want 2", n)
	}
}

// numbered gives an IPv4 packet an identification, as every sender does.
func numbered(id byte, pkt []byte) []byte {
	pkt[5] = id
	var p rewrite.Packet
	p.Parse(pkt)
	p.Finish()
	return pkt
}
