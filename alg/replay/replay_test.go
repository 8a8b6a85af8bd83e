package replay

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

const (
	syn = 1 << iota
	ack
	fromServer
)

// segment is one packet of a dialogue between 10.0.0.1:40000 and 10.0.0.2:21.
type segment struct {
	flags int
	text  string
}

var handshake = []segment{{syn, ""}, {syn | ack | fromServer, ""}, {ack, ""}}

var login = append(handshake[:3:3],
	segment{ack | fromServer, "220 ready\r\n"},
	segment{ack, "USER u\r\n"},
	segment{ack | fromServer, "230 in\r\n"})

// packets makes IPv4 packets of a dialogue.
func packets(t testing.TB, dialogue []segment) [][]byte {
	t.Helper()
	next := [2]uint32{1000, 5000}
	var all [][]byte
	for _, s := range dialogue {
		from := s.flags / fromServer
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 0, 0, 1},
			DstIP: net.IP{10, 0, 0, 2}}
		tcp := &layers.TCP{SrcPort: 40000, DstPort: 21, Seq: next[from], SYN: s.flags&syn != 0,
			ACK: s.flags&ack != 0, Window: 1000}
		if from == 1 {
			ip.SrcIP, ip.DstIP = ip.DstIP, ip.SrcIP
			tcp.SrcPort, tcp.DstPort = tcp.DstPort, tcp.SrcPort
		}
		if tcp.ACK {
			tcp.Ack = next[1-from]
		}
		next[from] += uint32(len(s.text))
		if tcp.SYN {
			next[from]++
		}
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true,
			ComputeChecksums: true}, ip, tcp, gopacket.Payload(s.text)); err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(b.Bytes()))
	}
	return all
}

func info(b []byte, i int) gopacket.CaptureInfo {
	return gopacket.CaptureInfo{Timestamp: time.Unix(int64(1000+i), 0), CaptureLength: len(b), Length: len(b)}
}

// pcap puts a link header before each packet.
func pcap(t testing.TB, link layers.LinkType, header string, pkts [][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(65535, link); err != nil {
		t.Fatal(err)
	}
	for i, p := range pkts {
		b := append([]byte(header), p...)
		if err := w.WritePacket(info(b, i), b); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func pcapng(t testing.TB, pkts [][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeRaw)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pkts {
		if err := w.WritePacket(info(p, i), p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// report collects what a replay tells.
type report struct {
	sum      Sum
	controls []*Control
	settled  int
}

func run(r io.Reader, o Options) (rep report, err error) {
	rep.sum, err = Run(r, o, Observer{
		Settled: func(*Control, *Channel) { rep.settled++ },
		Ended:   func(c *Control) { rep.controls = append(rep.controls, c) },
	})
	return rep, err
}

func replayed(t testing.TB, capture []byte, o Options) report {
	t.Helper()
	if o.Policy.All.Timeout == 0 {
		o.Policy = DefaultPolicy()
	}
	r, err := run(bytes.NewReader(capture), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// told is a report in short.
func (r report) told() string {
	var b strings.Builder
	for _, c := range r.controls {
		fmt.Fprintf(&b, "%v>%v %d-%d", c.Client, c.Server, c.First, c.Last)
		for _, n := range []struct {
			is  bool
			say string
		}{{c.MidStream, "midstream"}, {c.TLS, "TLS"}, {c.NotFTP, "not FTP"}, {c.BothSides, "both sides"}} {
			if n.is {
				b.WriteString(" " + n.say)
			}
		}
		for _, ch := range c.Channels {
			fmt.Fprintf(&b, "; %d %s %v for %v", ch.Frame, ch.Mode, ch.Target, ch.For)
		}
		for _, f := range c.Refusals {
			fmt.Fprintf(&b, "; %d %s", f.Frame, f.Reason)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestEveryCaptureFormatIsRead(t *testing.T) {
	active := packets(t, append(login[:6:6], segment{ack, "PORT 10,0,0,1,39,136\r\n"}))
	ether := strings.Repeat("\x02", 12)
	for name, capture := range map[string][]byte{
		"ethernet": pcap(t, layers.LinkTypeEthernet, ether+"\x08\x00", active),
		"VLAN":     pcap(t, layers.LinkTypeEthernet, ether+"\x81\x00\x00\x07\x08\x00", active),
		"VLAN in VLAN": pcap(t, layers.LinkTypeEthernet,
			ether+"\x88\xa8\x00\x01\x81\x00\x00\x07\x08\x00", active),
		"PPPoE": pcap(t, layers.LinkTypeEthernet,
			ether+"\x88\x64\x11\x00\x00\x01\x00\x99\x00\x21", active),
		"raw IP":              pcap(t, layers.LinkTypeRaw, "", active),
		"raw IP of BSD":       pcap(t, layers.LinkType(linkRawBSD), "", active),
		"IPv4":                pcap(t, layers.LinkType(linkIPv4), "", active),
		"loopback of BSD":     pcap(t, layers.LinkTypeNull, "\x02\x00\x00\x00", active),
		"loopback of OpenBSD": pcap(t, layers.LinkTypeLoop, "\x00\x00\x00\x02", active),
		"Linux any": pcap(t, layers.LinkTypeLinuxSLL, strings.Repeat("\x00", 14)+"\x08\x00",
			active),
		"Linux any, 2":   pcap(t, layers.LinkType(linkSLL2), "\x08\x00"+strings.Repeat("\x00", 18), active),
		"pcapng":         pcapng(t, active),
		"pcap in gzip":   zipped(t, pcap(t, layers.LinkTypeRaw, "", active)),
		"pcapng in gzip": zipped(t, pcapng(t, active)),
	} {
		t.Run(name, func(t *testing.T) {
			r := replayed(t, capture, Options{})
			const want = "10.0.0.1:40000>10.0.0.2:21 1-7; 7 port 10.0.0.1:10120 for 10.0.0.2\n"
			if text := r.told(); text != want || r.sum.Frames != 7 || r.sum.Channels != 1 ||
				r.sum.First.Unix() != 1000 {
				t.Errorf("got\n%s%+v\nwant\n%s", text, r.sum, want)
			}
		})
	}
}

func TestReportTellsWhatOpensAndWhyNot(t *testing.T) {
	port := segment{ack, "PORT 10,0,0,1,39,136\r\n"}
	for _, c := range []struct {
		name     string
		dialogue []segment
		want     string
	}{
		{"not logged in", append(handshake[:3:3], segment{ack | fromServer, "220 hi\r\n"}, port),
			"; 5 not_logged_in"},
		{"from the middle", []segment{port}, " midstream;"},
		{"from the middle, opens", []segment{port}, "port 10.0.0.1:10120"},
		{"from the server's middle", []segment{{ack | fromServer, "200 ok\r\n"}, port},
			"port 10.0.0.1:10120"},
		{"SYN not captured", append(login[1:6:6], port), "port 10.0.0.1:10120"},
		{"another host's address", append(login[:6:6], segment{ack, "PORT 10,0,0,9,39,136\r\n"}),
			"; 7 foreign_address"},
		{"passive", append(login[:6:6], segment{ack, "PASV\r\n"}, segment{ack | fromServer,
			"227 ok (10,0,0,2,40,1)\r\n"}), "pasv 10.0.0.2:10241 for 10.0.0.1"},
		{"TLS", append(login[:6:6], segment{ack, "AUTH TLS\r\n"}, segment{ack | fromServer, "234 go\r\n"}),
			" TLS"},
		{"another protocol", append(handshake[:3:3], segment{ack, "GET / HTTP/1.1\r\n"}), " not FTP"},
		{"nothing", login, "10.0.0.1:40000>10.0.0.2:21 1-6\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if text := replayed(t, pcapng(t, packets(t, c.dialogue)),
				Options{}).told(); !strings.Contains(text, c.want) {
				t.Errorf("got\n%swithout %q", text, c.want)
			}
		})
	}
}

func TestOtherPortsAreIgnoredButNamed(t *testing.T) {
	r := replayed(t, pcapng(t, packets(t, login)), Options{Ports: PortsOf(2121)})
	if r.sum.Frames != len(login) || len(r.controls) != 0 || !slices.Equal(r.sum.Elsewhere, []uint16{21}) {
		t.Errorf("%+v", r)
	}
}

func TestUnknownLinkTypeIsReported(t *testing.T) {
	r := replayed(t, pcap(t, layers.LinkTypeIEEE802_11, "", packets(t, login)), Options{})
	if r.sum.UnknownLink != 6 {
		t.Errorf("%+v", r.sum)
	}
}

func TestWhatIsNoCaptureIsAnError(t *testing.T) {
	whole := pcapng(t, packets(t, login))
	for name, c := range map[string][]byte{
		"empty": nil, "short": {1, 2}, "text": []byte("220 this is no capture, it is a log of a session"),
	} {
		if s, err := Run(bytes.NewReader(c), Options{Policy: DefaultPolicy()}, Observer{}); !errors.Is(err,
			ErrNoCapture) || s.Frames != 0 {
			t.Errorf("%s: %v, %+v", name, err, s)
		}
	}
	s, err := Run(bytes.NewReader(whole[:len(whole)-5]), Options{Policy: DefaultPolicy()}, Observer{})
	if err == nil || errors.Is(err, ErrNoCapture) || s.Frames != len(login)-1 {
		t.Errorf("cut: %v, %+v", err, s)
	}
}

func FuzzReplay(f *testing.F) {
	pkts := packets(f, append(login[:6:6], segment{ack, "EPRT |1|10.0.0.1|10120|\r\n"}))
	f.Add(pcapng(f, pkts))
	f.Add(pcap(f, layers.LinkTypeEthernet, strings.Repeat("\x02", 12)+"\x81\x00\x00\x07\x08\x00", pkts))
	all, err := ParsePorts("1-65535")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _ := run(bytes.NewReader(b), Options{Ports: all, Policy: DefaultPolicy()})
		for _, c := range r.controls {
			for _, ch := range c.Channels {
				if ch.Target.Port() < 1024 || ch.For != c.Server.Addr() && ch.For != c.Client.Addr() {
					t.Errorf("%+v opened %+v", c, ch)
				}
			}
		}
		if r.settled != r.sum.Channels {
			t.Errorf("%d of %d channels settled", r.settled, r.sum.Channels)
		}
	})
}
