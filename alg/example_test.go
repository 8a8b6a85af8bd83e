package alg_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// tracker is the connection tracking of a router in a few lines: it knows one control connection,
// which it translates.
type tracker struct{ flow conntrack.Flow }

func (t *tracker) Flow(of conntrack.Tuple) (conntrack.Flow, error) {
	if of != t.flow.Tuple[0] && of != t.flow.Tuple[1] {
		return conntrack.Flow{}, conntrack.ErrNotFound
	}
	return t.flow, nil
}

func (t *tracker) Update(_ conntrack.Tuple, u conntrack.Update) error {
	t.flow.State = t.flow.State&^u.StateMask | u.State&u.StateMask
	for d := range u.Seq {
		if u.SetSeq[d] {
			t.flow.Seq[d] = u.Seq[d]
		}
		if u.SetFlight[d] {
			t.flow.Flight[d] = u.Flight[d]
		}
	}
	return nil
}

func (t *tracker) Expect(e *conntrack.Expectation) error {
	fmt.Printf("%v may connect to %v, which leads to %v\n", e.Src, e.Dst, e.Target)
	return nil
}

func (t *tracker) Withdraw(e conntrack.Expectation) error { return nil }

// packet returns a TCP segment over IPv4.
func packet(t conntrack.Tuple, seq, ack uint32, flags byte, payload string) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[8], b[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(b[2:], uint16(40+len(payload)))
	copy(b[12:], t.Src.Addr().AsSlice())
	copy(b[16:], t.Dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[20:], t.Src.Port())
	binary.BigEndian.PutUint16(b[22:], t.Dst.Port())
	binary.BigEndian.PutUint32(b[24:], seq)
	binary.BigEndian.PutUint32(b[28:], ack)
	b[32], b[33] = 5<<4, flags|rewrite.ACK
	b = append(b, payload...)
	var p rewrite.Packet
	p.Parse(b)
	p.Finish()
	return b
}

// A router hands over the packets of a control connection and does with each what the verdict says.
func ExampleGateway_Handle() {
	client, server := netip.MustParseAddrPort("10.0.0.5:40000"), netip.MustParseAddrPort("198.51.100.9:21")
	outside := netip.MustParseAddrPort("203.0.113.7:40000")
	there, back := conntrack.Tuple{Src: client, Dst: server}, conntrack.Tuple{Src: server, Dst: outside}
	gateway := alg.New(&tracker{conntrack.Flow{
		Tuple: [2]conntrack.Tuple{there, back}, SNAT: true,
		Helper: conntrack.HelperCarrier, HasState: true, HasSeq: true, State: conntrack.StateControl,
	}}, policy.Default())

	seq := [2]uint32{1000, 5000} // of the client, of the server
	say := func(from int, text string) {
		tuple := [2]conntrack.Tuple{there, back}[from]
		in := packet(tuple, seq[from], seq[1-from], 0, text)
		seq[from] += uint32(len(text))
		verdict, out := gateway.Handle(time.Now(), 1, in, false)
		if verdict == alg.Rewrite {
			var p rewrite.Packet
			p.Parse(out)
			fmt.Printf("%q leaves as %q\n", text, p.Payload())
		}
	}
	gateway.Handle(time.Now(), 1, packet(back, 4999, 1000, rewrite.SYN, ""), false)
	say(1, "220 ready\r\n")
	say(0, "USER joe\r\n")
	say(1, "230 welcome\r\n")
	say(0, "PORT 10,0,0,5,200,10\r\n")
	// Output:
	// 198.51.100.9 may connect to 203.0.113.7:51210, which leads to 10.0.0.5:51210
	// "PORT 10,0,0,5,200,10\r\n" leaves as "PORT 203,0,113,7,200,10\r\n"
}
