package wire

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

func TestSegmentIsWhatItWasAskedToBe(t *testing.T) {
	from, to := netip.MustParseAddrPort("10.99.0.1:10000"), netip.MustParseAddrPort("198.51.100.1:21")
	for _, text := range []string{"", "x", "NOOP\r\n"} {
		var room [headers + 64]byte
		for i := range room {
			room[i] = 0xa5 // what was there before must not matter
		}
		b := segment(room[:], from, to, 0xfffffff0, 77, psh|ack, []byte(text))
		p := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default)
		ip, tcp := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if int(ip.Length) != len(b) || ip.SrcIP.String() != "10.99.0.1" ||
			ip.DstIP.String() != "198.51.100.1" {
			t.Errorf("%q: %+v", text, ip)
		}
		if tcp.SrcPort != 10000 || tcp.DstPort != 21 || tcp.Seq != 0xfffffff0 || tcp.Ack != 77 ||
			!tcp.PSH || !tcp.ACK || tcp.SYN || tcp.Window != window || string(tcp.Payload) != text {
			t.Errorf("%q: %+v", text, tcp)
		}
		if bad := tcp.SetNetworkLayerForChecksum(ip); bad != nil {
			t.Fatal(bad)
		}
		if err, sum := tcp.VerifyChecksum(); err != nil || !sum.Valid {
			t.Errorf("%q: checksum %+v, %v", text, sum, err)
		}
	}
}
