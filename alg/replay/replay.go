package replay

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Options say what a replay assumes.
type Options struct {
	Ports  *Ports // of control connections, as dialled; nil: 21
	Policy Policy
	NAT    []NAT // of the gateway
}

// replay is a gateway that is fed from a capture.
type replay struct {
	observer Observer
	ports    *Ports
	nats     []NAT
	engine   engine
	table    table
	waiting  []*Control // whose first packets wait, in order
	expected map[dataKey]*Channel
	data     map[conntrack.Tuple]*dataFlow
	greeted  map[conntrack.Tuple]struct{} // servers elsewhere that greeted, by what they send
	sum      Sum

	view   rewrite.Packet
	filled []byte
	vlan   []byte
}

// Run reads a capture to its end and tells see what it finds. An error that is ErrNoCapture, or comes
// with a Sum without frames, means that nothing was read; else the capture ends in the middle of a frame and
// the sum is of what precedes it.
func Run(r io.Reader, o Options, see Observer) (Sum, error) {
	in, err := openCapture(r)
	if err != nil {
		return Sum{}, err
	}
	re := newReplay(o, see)
	for {
		f, err := in.next()
		if errors.Is(err, io.EOF) {
			return re.end(), nil
		}
		if err != nil {
			return re.end(), fmt.Errorf("the report ends early: %w", err)
		}
		re.frame(&f)
	}
}

func newReplay(o Options, see Observer) *replay {
	re := &replay{
		observer: see, ports: o.Ports, nats: o.NAT,
		expected: map[dataKey]*Channel{}, data: map[conntrack.Tuple]*dataFlow{},
		greeted: map[conntrack.Tuple]struct{}{}, filled: make([]byte, 1<<16+40),
	}
	if re.ports == nil {
		re.ports = PortsOf(21)
	}
	re.table.seen = map[conntrack.Tuple]view{}
	re.engine.init(o.Policy)
	re.engine.gateway.OnOpened = re.opened
	re.engine.gateway.OnRefused = re.refused
	return re
}

func (re *replay) frame(f *frame) {
	re.sum.Frames++
	re.sum.Last = f.time
	if re.sum.Frames == 1 {
		re.sum.First = f.time
	}
	if f.cut {
		re.sum.Cut++
	}
	re.flushOld(f.time)
	if f.time.Sub(re.engine.ticked) >= time.Second {
		re.tick(f.time) // before the frame is looked at: it lets go packets of other connections
		re.sweep(f.time)
	}
	if !known(f.link) {
		re.sum.UnknownLink++
		return
	}
	var ip []byte
	ip, re.vlan = ipPacket(f.link, f.data, re.vlan[:0])
	whole, kept := filled(re.filled, ip)
	if !re.view.Parse(whole) {
		re.sum.NotTCP++
		return
	}
	if v, ok := re.find(&re.view, f, whole); ok {
		re.control(v, f, kept, len(kept) < len(whole))
	} else if !re.dataPacket(&re.view, f) && len(kept) == len(whole) {
		re.lookElsewhere(&re.view)
	}
}

// control takes a packet of a control connection, as the capture has it.
func (re *replay) control(v view, f *frame, ip []byte, cut bool) {
	c := v.control
	c.Last = f.number
	re.touch(c, f.time)
	c.noteVLAN(re.vlan)
	if cut {
		c.Cut++
		if ip = shortened(ip); !re.view.Parse(ip) {
			return
		}
	}
	if v.after {
		return // it came before
	}
	c.Packets[v.dir]++
	flags := re.view.Flags()
	c.fin[v.dir] = c.fin[v.dir] || flags&rewrite.FIN != 0
	c.over = c.over || flags&rewrite.RST != 0 || c.fin[0] && c.fin[1]
	if k := (kept{f.number, f.time, v.dir, ip}); c.waits {
		c.waiting = append(c.waiting, k)
	} else {
		re.deliver(c, k)
	}
}

// end lets go of everything, in the order in which it began.
func (re *replay) end() Sum {
	for _, c := range slices.Clone(re.waiting) {
		re.flush(c)
	}
	re.drain()
	var left []*Control
	for e := re.table.order.Front(); e != nil; e = e.Next() {
		left = append(left, e.Value.(*Control))
	}
	slices.SortFunc(left, func(a, b *Control) int { return cmp.Compare(a.First, b.First) })
	for _, c := range left {
		re.retire(c)
	}
	slices.Sort(re.sum.Elsewhere)
	return re.sum
}
