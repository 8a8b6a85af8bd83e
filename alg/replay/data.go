package replay

import (
	"net/netip"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// dataKey is what is known of a data connection beforehand.
type dataKey struct {
	src netip.Addr
	dst netip.AddrPort
}

// dataFlow is a data connection of the capture. Both its tuples lead to it.
type dataFlow struct {
	channel *Channel
	opener  netip.AddrPort
	edge    [2]uint32 // sequence number behind what was sent, of the opener and of the listener
	known   [2]bool
	fin     [2]bool
}

// isData tells whether t is that of a data connection, or of one that is expected.
func (re *replay) isData(t conntrack.Tuple) bool {
	return re.data[t] != nil || re.expected[dataKey{t.Src.Addr(), t.Dst}] != nil
}

// dataPacket counts a packet if it is one of a data connection.
func (re *replay) dataPacket(p *rewrite.Packet, f *frame) bool {
	t := tupleOf(p)
	d := re.data[t]
	if d == nil {
		d = re.newData(t, f)
	}
	if d == nil && p.Flags()&rewrite.SYN == 0 {
		d = re.newData(t.Reverse(), f) // the capture has not its start
	}
	if d == nil {
		return false
	}
	ch := d.channel
	ch.Data.End = f.time
	re.touch(ch.control, f.time)
	d.count(p)
	if f := ch.Data.Fate; f != Open && f != Unanswered {
		re.settleIfDone(ch)
	}
	return true
}

func (re *replay) newData(t conntrack.Tuple, f *frame) *dataFlow {
	ch := re.expected[dataKey{t.Src.Addr(), t.Dst}]
	if ch == nil || ch.Data.Frame != 0 {
		return nil // another connection, or the other side of the same
	}
	d := &dataFlow{channel: ch, opener: t.Src}
	ch.Data.Frame, ch.Data.Start, ch.Data.Fate, ch.tuple = f.number, f.time, Unanswered, t
	re.data[t], re.data[t.Reverse()] = d, d
	return d
}

// count adds what is new in a packet.
func (d *dataFlow) count(p *rewrite.Packet) {
	from := 0
	if p.Src() != d.opener {
		from = 1
	}
	data := &d.channel.Data
	end := p.Seq() + uint32(len(p.Payload()))
	switch {
	case p.Flags()&rewrite.SYN != 0:
		end = p.Seq() + 1
	case !d.known[from]:
		d.edge[from] = p.Seq()
	}
	if n := int32(end - d.edge[from]); d.known[from] && n > 0 || !d.known[from] {
		if p.Flags()&rewrite.SYN == 0 {
			d.add(from, int64(n))
		}
		d.edge[from], d.known[from] = end, true
	}
	d.fin[from] = d.fin[from] || p.Flags()&rewrite.FIN != 0
	switch {
	case p.Flags()&rewrite.RST != 0 && data.Fate == Unanswered:
		data.Fate = Rejected
	case p.Flags()&rewrite.RST != 0 && data.Fate != Closed:
		data.Fate = Reset
	case d.fin[0] && d.fin[1]:
		data.Fate = Closed
	case data.Fate == Unanswered && (from == 1 || p.Flags()&rewrite.SYN == 0):
		data.Fate = Open
	}
}

// add counts n bytes of the opener (0) or of the listener (1).
func (d *dataFlow) add(from int, n int64) {
	client := from == 0
	if d.channel.Mode == "port" || d.channel.Mode == "eprt" {
		client = from == 1
	}
	if client {
		d.channel.Data.FromClient += n
	} else {
		d.channel.Data.FromServer += n
	}
}
