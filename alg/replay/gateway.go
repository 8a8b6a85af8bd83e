package replay

import (
	"bytes"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Policy is what the gateway is to allow.
type Policy struct {
	All     policy.Policy
	Between []policy.Network // in its place, between some networks
}

// DefaultPolicy is the standard one, but that a return to clear text after TLS is noticed.
func DefaultPolicy() Policy {
	p := policy.Default()
	p.TLS = policy.TLSWatch
	return Policy{All: p}
}

// engine is the gateway that the packets go through.
type engine struct {
	gateway *alg.Gateway
	kernel  kernel
	packet  rewrite.Packet // of the packet under way
	current *Control       // to which it belongs
	number  int            // of its frame
	now     time.Time
	held    int // packets that wait in the gateway
	ticked  time.Time
}

func (e *engine) init(p Policy) {
	e.kernel.flows = map[conntrack.Tuple]*Control{}
	e.gateway = alg.New(&e.kernel, p.All, p.Between...)
}

// feed hands a packet as the kernel would to the gateway.
func (re *replay) feed(c *Control, number int, now time.Time, ip []byte) {
	e := &re.engine
	if !e.packet.Parse(ip) {
		return
	}
	e.current, e.number, e.now = c, number, now
	opaque := e.gateway.Stats.Opaque.Load()
	v, _ := e.gateway.Handle(now, uint32(number), ip, false)
	c.NotFTP = c.flow.State&conntrack.State(dialogue.NotFTP) != 0
	c.TLS = c.TLS || !c.NotFTP && e.gateway.Stats.Opaque.Load() > opaque
	if v == alg.Hold {
		e.held++
		return
	}
	re.listen(c, c.flow.Direction(tupleOf(&e.packet)))
}

// release hands over the packets that were held back and can go on now.
func (re *replay) release(now time.Time) {
	e := &re.engine
	for h, ok := e.gateway.Next(); ok; h, ok = e.gateway.Next() {
		e.held--
		if h.Drop || !e.packet.Parse(h.Data) {
			continue
		}
		if c := e.kernel.flows[tupleOf(&e.packet)]; c != nil {
			re.feed(c, int(h.ID), now, h.Data)
		}
	}
}

// tick does what the program does about every second.
func (re *replay) tick(now time.Time) {
	re.engine.ticked = now
	re.engine.gateway.Tick(now)
	re.release(now)
}

// drain lets go of what still waits for a lost predecessor, at the end.
func (re *replay) drain() {
	for range 4*re.engine.held + 4 {
		if re.engine.held <= 0 {
			return
		}
		re.tick(re.engine.ticked.Add(time.Minute))
	}
}

func (re *replay) opened(d alg.DataChannel) {
	re.addChannel(re.engine.current, &Channel{
		Frame: re.engine.number, Time: re.engine.now, Mode: d.Mode.String(),
		For: d.For, Open: d.Open, Target: d.Target, Was: string(d.Was), Is: string(d.Is),
	})
}

func (re *replay) refused(r alg.Refusal) {
	re.addRefusal(re.engine.current, &Refusal{
		Frame: re.engine.number, Time: re.engine.now, Reason: r.Reason.String(), Line: bytes.Clone(r.Line),
	})
}

// kernel stands in place of connection tracking.
type kernel struct {
	flows map[conntrack.Tuple]*Control // by the tuples that the gateway sees
}

// Flow implements alg.Kernel.
func (k *kernel) Flow(t conntrack.Tuple) (conntrack.Flow, error) {
	if c := k.flows[t]; c != nil {
		return c.flow, nil
	}
	return conntrack.Flow{}, conntrack.ErrNotFound
}

// Update implements alg.Kernel.
func (k *kernel) Update(original conntrack.Tuple, u conntrack.Update) error {
	c := k.flows[original]
	if c == nil {
		return conntrack.ErrNotFound
	}
	f := &c.flow
	f.State = f.State&^u.StateMask | u.State&u.StateMask
	for d := range f.Seq {
		if u.SetSeq[d] && f.HasSeq {
			f.Seq[d] = u.Seq[d]
		}
		if u.SetFlight[d] {
			f.Flight[d] = u.Flight[d]
		}
	}
	return nil
}

// Expect implements alg.Kernel.
func (k *kernel) Expect(*conntrack.Expectation) error { return nil }

// Withdraw implements alg.Kernel: the port would be shut again.
func (k *kernel) Withdraw(e conntrack.Expectation) error {
	c := k.flows[e.Master]
	if c == nil {
		return nil
	}
	for _, ch := range c.open {
		if ch.Open == e.Dst && ch.Data.Frame == 0 {
			ch.Shut = true
		}
	}
	return nil
}
