package rewrite

import "hash/maphash"

// echoes remembers the changed packets that were sent last. Where a bridge passes its packets to the IP hooks
// (net.bridge.bridge-nf-call-iptables), the segments that the kernel makes of one large packet for a
// queue come through the queue twice, the second time as we changed them (ip_sabotage_in in
// net/bridge/br_netfilter_hooks.c lets only the first of them by). What is changed already must not be
// changed again.
type echoes struct {
	sums [64]uint64 // as many as one large packet has segments
	next int
}

var echoSeed = maphash.MakeSeed()

func echoSum(p *Packet) uint64 { return maphash.Bytes(echoSeed, p.raw[p.tcp:]) }

func (e *echoes) note(p *Packet) {
	e.sums[e.next%len(e.sums)] = echoSum(p)
	e.next++
}

// Echo tells whether the packet is one that left us changed a moment ago.
func (c *Conn) Echo(p *Packet) bool {
	if c.echoes == nil {
		return false
	}
	sum := echoSum(p)
	for _, s := range c.echoes.sums {
		if s == sum {
			return true
		}
	}
	return false
}

// Rest gives back what is needed only while packets are on the way.
func (c *Conn) Rest() { c.echoes = nil }

// changed finishes a packet that is to leave in place of another, and remembers it.
func (c *Conn) changed(q *Packet) {
	q.Finish()
	if c.echoes == nil {
		c.echoes = &echoes{}
	}
	c.echoes.note(q)
}
