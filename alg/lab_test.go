package alg

import (
	"encoding/binary"
	"fmt"
	"github.com/ftpalg/ftpalg/alg/policy"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

const (
	toServer = conntrack.Original
	toClient = conntrack.Reply
)

// adjusted is what the kernel makes of a sequence number (nf_ct_seq_adjust).
func adjusted(a conntrack.SeqAdj, seq uint32) uint32 {
	if int32(seq-a.Pos) > 0 {
		return seq + uint32(a.After)
	}
	return seq + uint32(a.Before)
}

// fakeKernel is a connection tracker with one flow.
type fakeKernel struct {
	looks   int // at the entry
	flow    conntrack.Flow
	expects []conntrack.Expectation
	taken   map[uint16]bool
	fail    error
	shut    int                    // expectations that were taken back
	updated func(conntrack.Update) // nil: nobody looks
	number  uint32                 // of the next expectations
	silent  bool                   // it makes no events of the next expectations
	gone    bool                   // there is no entry any more
}

func (k *fakeKernel) Flow(t conntrack.Tuple) (conntrack.Flow, error) {
	k.looks++
	if k.gone || t != k.flow.Tuple[0] && t != k.flow.Tuple[1] {
		return conntrack.Flow{}, conntrack.ErrNotFound
	}
	f := k.flow
	// An empty label is not told.
	f.HasState = f.HasState && (f.State != 0 || f.Flight != [2]conntrack.Flight{})
	return f, nil
}

func (k *fakeKernel) Update(_ conntrack.Tuple, u conntrack.Update) error {
	if k.updated != nil {
		k.updated(u)
	}
	if k.flow.HasState {
		k.flow.State = k.flow.State&^u.StateMask | u.State&u.StateMask
	}
	for d := range u.Seq {
		if u.SetFlight[d] && k.flow.HasState {
			k.flow.Flight[d] = u.Flight[d]
		}
		if u.SetSeq[d] && k.flow.HasSeq {
			k.flow.Seq[d] = u.Seq[d]
		}
	}
	return nil
}

func (k *fakeKernel) Expect(e *conntrack.Expectation) error {
	if k.fail != nil {
		return k.fail
	}
	if k.taken[e.Dst.Port()] {
		return conntrack.ErrPortTaken
	}
	if k.flow.EvictsOldest() {
		k.expects = slices.DeleteFunc(k.expects, func(old conntrack.Expectation) bool {
			return old.Master == e.Master
		})
	}
	e.ID, e.Told = k.number, !k.silent
	k.expects = append(k.expects, *e)
	return nil
}

func (k *fakeKernel) Withdraw(e conntrack.Expectation) error {
	k.shut++
	for i := range k.expects {
		if k.expects[i] == e {
			k.expects = append(k.expects[:i], k.expects[i+1:]...)
			return nil
		}
	}
	return nil
}

// Addresses of the scenarios.
var (
	clientIn   = netip.MustParseAddrPort("10.0.13.222:40000")
	serverAddr = netip.MustParseAddrPort("10.0.1.66:21")
	gatewayOut = netip.MustParseAddrPort("203.0.113.77:40000")
	published  = netip.MustParseAddrPort("198.51.100.1:21")
	client6    = netip.MustParseAddrPort("[2001:db8:1::222]:40000")
	server6    = netip.MustParseAddrPort("[2001:db8:2::66]:21")
	outside6   = netip.MustParseAddrPort("[2001:db8:ff::7]:40000")
)

func natFlow(client, dialled, server, outside netip.AddrPort) conntrack.Flow {
	return conntrack.Flow{
		ID:    1,
		Tuple: [2]conntrack.Tuple{{Src: client, Dst: dialled}, {Src: server, Dst: outside}},
		SNAT:  client != outside, DNAT: dialled != server,
		Helper: conntrack.HelperCarrier, HasState: true, HasSeq: client != outside || dialled != server,
		State: conntrack.StateControl,
	}
}

func firewallFlow() conntrack.Flow { return natFlow(clientIn, serverAddr, serverAddr, clientIn) }
func snatFlow() conntrack.Flow     { return natFlow(clientIn, serverAddr, serverAddr, gatewayOut) }
func dnatFlow() conntrack.Flow     { return natFlow(clientIn, published, serverAddr, clientIn) }

// talk drives a gateway with the two ends of one control connection. Each
// end sends as a TCP would and receives what the gateway and the kernel make of it.
type talk struct {
	t      testing.TB
	g      *Gateway
	k      *fakeKernel
	now    time.Time
	seq    [2]uint32 // next original number of each end
	rcv    [2]uint32 // next number that each direction's receiver expects
	got    [2][]byte // what each direction's receiver has
	id     uint32
	entry  uint32 // of the next packets, as the kernel tells it; 0: it does not
	asked  bool   // a probe arrived
	holes  bool   // a receiver waits for what is missing: its sender, who would repeat that, does not here
	opens  []string
	refuse []policy.Reason
}

func newTalk(t testing.TB, f conntrack.Flow, p policy.Policy) *talk {
	d := &talk{t: t, k: &fakeKernel{flow: f, taken: map[uint16]bool{}}, now: time.Unix(1e9, 0)}
	d.g = New(d.k, p)
	d.listen()
	d.seq = [2]uint32{4294967200, 5000} // the client's soon wraps
	d.rcv = d.seq
	d.packet(toClient, d.seq[toClient]-1, rewrite.SYN|rewrite.ACK, nil)
	return d
}

func (d *talk) listen() {
	d.g.OnRefused = func(r Refusal) { d.refuse = append(d.refuse, r.Reason) }
	d.g.OnOpened = func(c DataChannel) {
		d.opens = append(d.opens, fmt.Sprintf("%v %v>%v=%v", c.Mode, c.For, c.Open, c.Target))
	}
	d.g.OnKernelError = func(doing string, err error) { d.t.Errorf("%s: %v", doing, err) }
}

// restart puts a new gateway in place of the old one, as after kill -9.
func (d *talk) restart() {
	d.g = New(d.k, d.g.policy, d.g.between...)
	d.g.Adopt(d.k.expects)
	d.listen()
}

func (d *talk) packet(dir conntrack.Dir, seq uint32, flags byte, payload []byte) {
	send := func() {
		d.handle(tcpPacket(d.k.flow.Tuple[dir], seq, d.ackOf(dir), flags|rewrite.ACK, payload), dir)
	}
	if send(); d.asked {
		d.asked = false
		other := dir.Opposite()
		d.handle(tcpPacket(d.k.flow.Tuple[other], d.seq[other], d.ackOf(other), rewrite.ACK, nil), other)
		send() // as a sender does that hears of no progress
	}
}

// ackOf is what an end acknowledges: what it received of the other direction, in its final numbers.
func (d *talk) ackOf(dir conntrack.Dir) uint32 { return d.rcv[dir.Opposite()] }

func (d *talk) handle(pkt []byte, dir conntrack.Dir) {
	d.id++
	v, out := d.g.HandleFrom(Origin{Zone: d.k.flow.Tuple[dir].Zone, Entry: d.entry}, d.now, d.id, pkt)
	d.deliver(v, out, pkt, dir)
	d.release(dir)
}

// tick lets time have its effect; what it lets go of travels in direction dir.
func (d *talk) tick(dir conntrack.Dir) {
	d.g.Tick(d.now)
	d.release(dir)
}

func (d *talk) release(dir conntrack.Dir) {
	for h, ok := d.g.Next(); ok; h, ok = d.g.Next() {
		if !h.Drop {
			v, out := d.g.HandleFrom(h.Origin, d.now, h.ID, h.Data)
			d.deliver(v, out, h.Data, dir)
		}
	}
}

// deliver gives a packet to its receiver, through the kernel's sequence adjustment.
func (d *talk) deliver(v Verdict, out, pkt []byte, dir conntrack.Dir) {
	switch v {
	case Hold, Drop:
		return
	case Rewrite:
		pkt = out
	}
	var p rewrite.Packet
	if !p.Parse(pkt) || !p.ChecksumOK() {
		d.t.Fatalf("a broken packet left: % x", pkt)
	}
	if p.Flags()&rewrite.SYN != 0 {
		return
	}
	seq := adjusted(d.k.flow.Seq[dir], p.Seq())
	old := int(int32(d.rcv[dir] - seq))
	if old < 0 && !d.holes {
		d.t.Fatalf("a hole of %d bytes before %q", -old, p.Payload())
	}
	d.asked = old > 1<<15
	if pl := p.Payload(); old >= 0 && old < len(pl) {
		d.got[dir] = append(d.got[dir], pl[old:]...)
		d.rcv[dir] += uint32(len(pl) - old)
	}
}

// lose takes the last that arrived in direction dir for lost behind the gateway.
func (d *talk) lose(dir conntrack.Dir, arrived string) {
	d.rcv[dir] -= uint32(len(arrived))
	d.got[dir] = d.got[dir][:len(d.got[dir])-len(arrived)]
}

// send sends text in direction dir and returns what arrives of it.
func (d *talk) send(dir conntrack.Dir, text string) string {
	d.t.Helper()
	had := len(d.got[dir])
	d.packet(dir, d.seq[dir], rewrite.PSH, []byte(text))
	d.seq[dir] += uint32(len(text))
	return string(d.got[dir][had:])
}

func (d *talk) c(text string) string { d.t.Helper(); return d.send(toServer, text) }
func (d *talk) s(text string) string { d.t.Helper(); return d.send(toClient, text) }

// login takes the session to where ports may be opened.
func (d *talk) login() *talk {
	d.t.Helper()
	d.s("220 ready\r\n")
	d.c("USER joe\r\n")
	d.s("331 password\r\n")
	d.c("PASS x\r\n")
	d.s("230 in\r\n")
	return d
}

// segments sends what the attack tables write as "c>text" and "s>text".
func (d *talk) segments(list ...string) {
	d.t.Helper()
	for _, seg := range list {
		if text, ok := strings.CutPrefix(seg, "c>"); ok {
			d.c(text)
		} else {
			d.s(strings.TrimPrefix(seg, "s>"))
		}
	}
}

func tcpPacket(t conntrack.Tuple, seq, ack uint32, flags byte, payload []byte) []byte {
	hl := 20
	if t.Src.Addr().Is6() {
		hl = 40
	}
	b := make([]byte, hl+20, hl+20+len(payload))
	b = append(b, payload...)
	src, dst := t.Src.Addr().AsSlice(), t.Dst.Addr().AsSlice()
	if hl == 20 {
		b[0], b[8], b[9] = 0x45, 64, 6
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		copy(b[12:], src)
		copy(b[16:], dst)
	} else {
		b[0], b[6], b[7] = 0x60, 6, 64
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		copy(b[8:], src)
		copy(b[24:], dst)
	}
	binary.BigEndian.PutUint16(b[hl:], t.Src.Port())
	binary.BigEndian.PutUint16(b[hl+2:], t.Dst.Port())
	binary.BigEndian.PutUint32(b[hl+4:], seq)
	binary.BigEndian.PutUint32(b[hl+8:], ack)
	b[hl+12], b[hl+13] = 5<<4, flags
	var p rewrite.Packet
	p.Parse(b)
	p.Finish()
	return b
}
