package rewrite

import (
	"encoding/binary"
	"hash/maphash"
)

// echoes remembers the changed packets that were sent last. Where a bridge passes its packets to the IP hooks
// (net.bridge.bridge-nf-call-iptables), the segments that the kernel makes of one large packet for a
// queue come through the queue twice, the second time as we changed them (ip_sabotage_in in
// net/bridge/br_netfilter_hooks.c lets only the first of them by). What is changed already must not be
// changed again.
type echoes struct {
	seqs [64]uint32 // as many as one large packet has segments; the numbers alone tell most packets apart
	of   [64]echo
	next int
}

// echo is one packet, and what the kernel carried when it left us.
type echo struct {
	sum     uint64
	carried [2]int32
}

var echoSeed = maphash.MakeSeed()

// echoSum is different for any two packets that a sender sends, repetitions too: by the identification
// of IPv4, by the timestamp of TCP. It is 0 for packets that have neither.
func echoSum(p *Packet) uint64 {
	if (p.v6 || p.raw[4]|p.raw[5] == 0) && findOption(p.options(), optTimestamp) == nil {
		return 0
	}
	return maphash.Bytes(echoSeed, p.raw) | 1
}

// Echo tells whether the packet is one that left us changed a moment ago. It appends to dst what must
// leave in its place if the kernel carries other offsets since, and tells whether it did.
func (c *Conn) Echo(dst []byte, dir Dir, p *Packet) (out []byte, echo, changed bool) {
	if c.echoes == nil {
		return dst, false, false
	}
	e := c.echoes.find(p)
	if e == nil {
		return dst, false, false
	}
	now := c.carried()
	if now == e.carried {
		return dst, true, false
	}
	back := dir.Opposite()
	moved := uint32(now[back] - e.carried[back])
	seq := p.Seq() - uint32(now[dir]-e.carried[dir])
	dst, q := p.AppendChanged(dst, seq, p.Ack()+moved, p.Flags(), p.Payload())
	for b := q.SACK(); len(b) >= sackUnit; b = b[sackUnit:] {
		binary.BigEndian.PutUint32(b, binary.BigEndian.Uint32(b)+moved)
		binary.BigEndian.PutUint32(b[4:], binary.BigEndian.Uint32(b[4:])+moved)
	}
	c.changed(&q)
	return dst, true, true
}

func (e *echoes) find(p *Packet) *echo {
	seq, sum := p.Seq(), uint64(0)
	for i := range e.seqs[:min(e.next, len(e.seqs))] {
		if e.seqs[i] != seq {
			continue
		}
		if sum == 0 {
			sum = echoSum(p)
		}
		if e.of[i].sum == sum && sum != 0 {
			return &e.of[i]
		}
	}
	return nil
}

// carried is what the kernel adds in both directions.
func (c *Conn) carried() [2]int32 { return [2]int32{c.half[0].carried, c.half[1].carried} }

// Rest gives back what is needed only while packets are on the way.
func (c *Conn) Rest() {
	c.echoes = nil
	for d := range c.half {
		c.half[d].rest()
	}
}

// changed finishes a packet that is to leave in place of another, and remembers it.
func (c *Conn) changed(q *Packet) {
	q.Finish()
	if c.echoes == nil {
		c.echoes = &echoes{}
	}
	if sum := echoSum(q); sum != 0 {
		i := c.echoes.next % len(c.echoes.of)
		c.echoes.seqs[i], c.echoes.of[i] = q.Seq(), echo{sum, c.carried()}
		c.echoes.next++
	}
}
