package firewall

import "golang.org/x/sys/unix"

// Passage is what comes of a packet in one base chain.
type Passage struct {
	Chain   string // as "inet filter forward"
	Drops   bool   // if no rule takes it of which it is not known whether it does
	ByState bool   // a rule that asks for the state accepts it
	Some    bool   // a rule of which it is not known whether it matches accepts it
	Acts    []Act
	Unclear bool // there are too many rules
}

// budget is how many rules are looked at for one packet in one base chain. Chains that
// are called from many places are looked at again for each.
const budget = 200_000

// maxDepth is NFT_JUMP_STACK_SIZE.
const maxDepth = 16

type walker struct {
	packet Packet
	base   *chain
	left   int
	out    Passage
}

// Walk follows a packet through the base chains of a hook, NF_INET_…, in tables of IP but
// for the one named.
func (r *Ruleset) Walk(p Packet, hook uint32, kind, without string) (all []Passage) {
	for _, c := range r.order {
		f := c.table.family
		if c.hook != hook || kind != "" && c.kind != kind || c.table.String() == without ||
			f != unix.NFPROTO_INET && f != unix.NFPROTO_IPV4 && f != unix.NFPROTO_IPV6 {
			continue
		}
		w := &walker{packet: p, base: c, left: budget, out: Passage{Chain: c.String()}}
		w.out.Drops = c.drops
		if v := w.chain(c, Yes, false, 0); v.known {
			w.out.Drops = v.code == nfDrop
		}
		w.out.Unclear = w.left <= 0
		all = append(all, w.out)
	}
	return all
}

// chain returns the verdict that certainly ends the walk, if there is one.
func (w *walker) chain(c *chain, so Answer, byState bool, depth int) verdict {
	if c == nil || depth > maxDepth {
		return verdict{}
	}
	for _, rule := range c.rules {
		if w.left--; w.left < 0 {
			return verdict{}
		}
		m := matcher{packet: w.packet, table: c.table, regs: map[uint32][]byte{}}
		if m.run(rule); m.answer == No {
			continue
		}
		here := min(so, m.answer)
		for _, a := range m.acts {
			a.Sure, a.Chain, a.Hook, a.Priority = here == Yes, c.String(), w.base.hook, w.base.priority
			w.out.Acts = append(w.out.Acts, a)
		}
		sure := m.answer == Yes && !m.doubt
		if !sure {
			here = min(here, Maybe)
		}
		for _, v := range m.verdicts {
			end, over := w.follow(c, v, here, byState || m.saysState, depth)
			if over && sure {
				return end
			}
		}
	}
	return verdict{}
}

// follow does what a verdict says. over is that nothing after it in the chain is met.
func (w *walker) follow(c *chain, v verdict, so Answer, byState bool, depth int) (end verdict, over bool) {
	if !v.known {
		return v, false
	}
	switch v.code {
	case nfAccept:
		w.out.ByState = w.out.ByState || byState
		w.out.Some = w.out.Some || so == Maybe
		return v, true
	case nfDrop:
		return v, true
	case unix.NFT_RETURN:
		return verdict{}, true
	case unix.NFT_JUMP:
		end = w.chain(c.table.chains[v.to], so, byState, depth+1)
		return end, end.known
	case unix.NFT_GOTO:
		return w.chain(c.table.chains[v.to], so, byState, depth+1), true
	}
	return verdict{}, false
}
