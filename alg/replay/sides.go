package replay

import (
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// A capture of all interfaces of a gateway has each packet twice: as it comes, and, translated, as it goes.
// So the first packets of a connection wait a moment for the same on the other side of a NAT.
const (
	waitFor    = 10 * time.Millisecond
	maxWaiting = 3  // packets of one connection
	maxWaiters = 64 // connections
)

// kept is a packet that waits.
type kept struct {
	number int
	time   time.Time
	dir    conntrack.Dir
	ip     []byte
}

// otherSide tells whether a packet with tuple t, which is not known, is one that came before, after NAT.
func (re *replay) otherSide(p *rewrite.Packet, ip []byte, t conntrack.Tuple) (view, bool) {
	if len(re.waiting) == 0 {
		return view{}, false
	}
	m, hops := markOf(p, ip)
	for _, c := range re.waiting {
		if m != c.mark || hops >= c.hops || c.BothSides || len(c.waiting) == 0 {
			continue
		}
		dir := c.waiting[0].dir
		came := c.seen[dir] // the two tuples stand in the order of directions
		if came.Src.Addr().Is4() != t.Src.Addr().Is4() || !shareEnd(came, t) {
			continue
		}
		re.join(c, dir, came, t)
		return view{c, dir, true}, true
	}
	return view{}, false
}

// join makes one connection of c, whose packets in direction dir come with one tuple and go with another.
func (re *replay) join(c *Control, dir conntrack.Dir, came, goes conntrack.Tuple) {
	c.BothSides = true
	back := dir.Opposite()
	re.see(c, came.Reverse(), back, true)
	re.see(c, goes, dir, true)
	re.see(c, goes.Reverse(), back, false)
	f := c.flow
	f.Tuple[dir], f.Tuple[back] = came, goes.Reverse()
	o, r := f.Tuple[conntrack.Original], f.Tuple[conntrack.Reply]
	f.SNAT, f.DNAT = o.Src != r.Dst, o.Dst != r.Src
	re.place(c, f)
}

// flushOld hands over what waited long enough.
func (re *replay) flushOld(now time.Time) {
	for len(re.waiting) > 0 {
		c := re.waiting[0]
		if waited := now.Sub(c.Start); waited >= 0 && waited <= waitFor && len(re.waiting) <= maxWaiters &&
			len(c.waiting) < maxWaiting && !c.BothSides {
			return
		}
		re.waiting = re.waiting[:copy(re.waiting, re.waiting[1:])]
		re.flush(c)
	}
}

// flush hands over what waited of c.
func (re *replay) flush(c *Control) {
	c.waits = false
	for _, k := range c.waiting {
		re.deliver(c, k)
	}
	c.waiting = nil
}

// deliver hands a packet over as it arrives at the gateway.
func (re *replay) deliver(c *Control, k kept) {
	ip := k.ip
	if re.view.Parse(ip); tupleOf(&re.view) != c.flow.Tuple[k.dir] {
		ip = readdressed(ip, c.flow.Tuple[k.dir])
	}
	re.feed(c, k.number, k.time, ip)
	re.release(k.time)
}

func nextPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), max(a.Port()+1, 1024))
}
