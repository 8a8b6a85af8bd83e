package replay

import (
	"net/netip"
	"slices"

	"github.com/ftpalg/ftpalg/conntrack"
)

// addChannel notes a port that the gateway opened.
func (re *replay) addChannel(c *Control, ch *Channel) {
	for _, old := range slices.Clone(c.open) {
		if old.Data.Frame == 0 || len(c.open) >= maxOpen {
			re.settle(old) // nothing of it came before the next
		}
	}
	ch.control, ch.Data.Fate = c, NotSeen
	c.open = append(c.open, ch)
	c.talk.fresh = append(c.talk.fresh, ch)
	re.expect(c, ch)
	c.Opened++
	re.sum.Channels++
	if c.room() {
		c.Channels = append(c.Channels, ch)
	}
}

// expect has the data connection of ch recognised, from whatever side of a NAT it is seen.
func (re *replay) expect(c *Control, ch *Channel) {
	o, r := c.flow.Tuple[conntrack.Original], c.flow.Tuple[conntrack.Reply]
	from := []netip.Addr{ch.For, o.Dst.Addr()}
	if ch.Mode == "pasv" || ch.Mode == "epsv" {
		from[1] = r.Dst.Addr()
	}
	for _, src := range from {
		for _, dst := range []netip.AddrPort{ch.Open, ch.Target} {
			key := dataKey{src, dst}
			if !slices.Contains(ch.keys, key) {
				ch.keys = append(ch.keys, key)
			}
			re.expected[key] = ch
		}
	}
}

func (re *replay) addRefusal(c *Control, r *Refusal) {
	c.Refused++
	re.sum.Refusals++
	if c.room() {
		c.Refusals = append(c.Refusals, r)
	}
	if re.observer.Refused != nil {
		re.observer.Refused(c, r)
	}
}

// settleIfDone settles a channel whose transfer and whose data connection ended.
func (re *replay) settleIfDone(ch *Channel) {
	failed := max(ch.Transfer.Code, ch.Reply.Code) >= 400
	switch {
	case ch.Transfer.Code < 200 && !failed, ch.Data.Fate == Open, ch.Data.Fate == Unanswered && !failed:
		return
	}
	re.settle(ch)
}

// settle tells what became of a channel and forgets what it needed.
func (re *replay) settle(ch *Channel) {
	if ch.settled {
		return
	}
	ch.settled = true
	c := ch.control
	c.open = slices.DeleteFunc(c.open, func(o *Channel) bool { return o == ch })
	for _, k := range ch.keys {
		if re.expected[k] == ch {
			delete(re.expected, k)
		}
	}
	if ch.tuple.Src.IsValid() {
		delete(re.data, ch.tuple)
		delete(re.data, ch.tuple.Reverse())
	}
	if c.talk.channel == ch {
		c.talk.channel = nil
	}
	if re.observer.Settled != nil {
		re.observer.Settled(c, ch)
	}
	ch.keys, ch.control = nil, nil
}
