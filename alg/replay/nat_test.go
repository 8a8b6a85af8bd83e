package replay

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ftpalg/ftpalg/conntrack"
)

// anyInterface is a capture of all interfaces of a gateway: each packet as it comes and, 0.1 ms later, as
// it goes, with its source (of a reply: its destination) translated to outside and one hop less.
func anyInterface(t *testing.T, dialogue []segment, outside netip.AddrPort) []byte {
	t.Helper()
	client, server := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:21")
	inside := [2]conntrack.Tuple{{Src: client, Dst: server}, {Src: server, Dst: client}}
	beyond := [2]conntrack.Tuple{{Src: outside, Dst: server}, {Src: server, Dst: outside}}
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(65535, layers.LinkType(linkSLL2)); err != nil {
		t.Fatal(err)
	}
	header := "\x08\x00" + strings.Repeat("\x00", 18)
	for i, p := range packets(t, dialogue) {
		from := dialogue[i].flags / fromServer
		came, goes := inside[from], beyond[from]
		if from == 1 {
			came, goes = goes, came
		}
		first, second := readdressed(p, came), readdressed(p, goes)
		second[8]-- // hops left
		for j, b := range [][]byte{first, second} {
			b = append([]byte(header), b...)
			at := time.Unix(int64(1000+i), int64(j)*1e5)
			info := gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(b), Length: len(b)}
			if err := w.WritePacket(info, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out.Bytes()
}

func TestBothSidesOfANATAreOneSession(t *testing.T) {
	port, outside := segment{ack, "PORT 10,0,0,1,39,136\r\n"}, netip.MustParseAddrPort("203.0.113.9:1234")
	for name, dialogue := range map[string][]segment{
		"from the start":           append(login[:6:6], port),
		"from the middle":          {{ack, "NOOP\r\n"}, {ack | fromServer, "200 ok\r\n"}, port},
		"from the server's middle": {{ack | fromServer, "200 ok\r\n"}, port},
	} {
		t.Run(name, func(t *testing.T) {
			r := replayed(t, anyInterface(t, dialogue, outside), Options{})
			if len(r.controls) != 1 || r.sum.Channels != 1 {
				t.Fatal(r.told())
			}
			c, ch := r.controls[0], r.controls[0].Channels[0]
			if !c.BothSides || c.Client.String() != "10.0.0.1:40000" || c.Outside != outside ||
				c.Server != c.Inside {
				t.Errorf("%+v", c)
			}
			if ch.Is != "203,0,113,9,39,136" || ch.Target.String() != "10.0.0.1:10120" {
				t.Errorf("%+v", ch)
			}
		})
	}
}

// The numbers of a capture are those of a connection on which nothing was rewritten. Many lines that would
// become longer do not put the gateway off.
func TestNATOfTheGatewayTellsWhatIsRewritten(t *testing.T) {
	dialogue := login[:6:6]
	for i := range 60 {
		dialogue = append(dialogue, segment{ack, fmt.Sprintf("PORT 10,0,0,1,50,%d\r\n", i)},
			segment{ack | fromServer, "200 ok\r\n"})
	}
	r := replayed(t, pcapng(t, packets(t, dialogue)),
		Options{NAT: []NAT{Masquerade(netip.MustParseAddr("203.0.113.209"))}})
	if r.controls[0].Channels[0].Is != "10,0,0,1,50,0" {
		t.Errorf("both are inside: %s", r.told())
	}
	nat, err := ParseNAT("10.0.0.1=203.0.113.209")
	if err != nil {
		t.Fatal(err)
	}
	r = replayed(t, pcapng(t, packets(t, dialogue)), Options{NAT: []NAT{nat}})
	if len(r.controls) != 1 || len(r.controls[0].Channels) != 60 {
		t.Fatal(r.told())
	}
	for i, ch := range r.controls[0].Channels {
		if want := fmt.Sprintf("203,0,113,209,50,%d", i); ch.Is != want || ch.Reply.Code != 200 {
			t.Errorf("%+v, want %s", ch, want)
		}
	}
}

func TestServerBehindNATIsSeenFromEitherSide(t *testing.T) {
	nat, err := ParseNAT("10.0.0.2=203.0.113.9")
	if err != nil {
		t.Fatal(err)
	}
	pasv := append(login[:6:6], segment{ack, "PASV\r\n"},
		segment{ack | fromServer, "227 ok (10,0,0,2,40,1)\r\n"})
	inside := packets(t, pasv)
	var outside [][]byte
	dialled := netip.MustParseAddrPort("203.0.113.9:21")
	for i, p := range packets(t, pasv) {
		tuple := conntrack.Tuple{Src: netip.MustParseAddrPort("10.0.0.1:40000"), Dst: dialled}
		if pasv[i].flags&fromServer != 0 {
			tuple = tuple.Reverse()
		}
		outside = append(outside, readdressed(p, tuple))
	}
	for name, pkts := range map[string][][]byte{"inside": inside, "outside": outside} {
		r := replayed(t, pcapng(t, pkts), Options{NAT: []NAT{nat}})
		if len(r.controls) != 1 || len(r.controls[0].Channels) != 1 {
			t.Fatalf("%s: %s", name, r.told())
		}
		c, ch := r.controls[0], r.controls[0].Channels[0]
		if c.Server != dialled || c.Inside.String() != "10.0.0.2:21" || ch.Is != "203,0,113,9,40,1" ||
			ch.Open.String() != "203.0.113.9:10241" || ch.Target.String() != "10.0.0.2:10241" ||
			ch.Asked != "PASV" {
			t.Errorf("%s: %+v %+v", name, c, ch)
		}
	}
}

func TestNATWithMistakesIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1":              "is not INSIDE=OUTSIDE",
		"x=10.0.0.1":            "neither an address nor a network",
		"10.0.0.1=x":            "not an IP address",
		"fd00::1=203.0.113.9":   "not of one IP version",
		"10.0.0.0/8=fe80::1%lo": "not an IP address",
	} {
		if _, err := ParseNAT(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func mustAddr(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }
