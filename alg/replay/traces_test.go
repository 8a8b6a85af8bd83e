package replay

import (
	"bytes"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// tcp makes one IPv4 segment; text is its payload.
func tcp(t testing.TB, from, to string, flags string, seq, ackNo uint32, text string) []byte {
	t.Helper()
	src, dst := net.TCPAddrFromAddrPort(mustAddr(from)), net.TCPAddrFromAddrPort(mustAddr(to))
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.IP, DstIP: dst.IP}
	seg := &layers.TCP{SrcPort: layers.TCPPort(src.Port), DstPort: layers.TCPPort(dst.Port), Seq: seq,
		Ack: ackNo, Window: 1000,
		SYN: strings.Contains(flags, "S"), ACK: strings.Contains(flags, "A"),
		FIN: strings.Contains(flags, "F"), RST: strings.Contains(flags, "R")}
	if err := seg.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true,
		ComputeChecksums: true}, ip, seg, gopacket.Payload(text)); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

func TestFateOfADataConnectionIsTold(t *testing.T) {
	const s, c = "10.0.0.2:20", "10.0.0.1:10120"
	before := packets(t, append(login[:6:6], segment{ack, "PORT 10,0,0,1,39,136\r\n"},
		segment{ack | fromServer, "200 ok\r\n"},
		segment{ack, "RETR f\r\n"}, segment{ack | fromServer, "150 here\r\n"}))
	all := packets(t, append(login[:6:6], segment{ack, "PORT 10,0,0,1,39,136\r\n"},
		segment{ack | fromServer, "200 ok\r\n"},
		segment{ack, "RETR f\r\n"}, segment{ack | fromServer, "150 here\r\n"},
		segment{ack | fromServer, "226 done\r\n"}))
	after := all[len(all)-1]
	syn, synAck := tcp(t, s, c, "S", 100, 0, ""), tcp(t, c, s, "SA", 500, 101, "")
	data, again := tcp(t, s, c, "A", 101, 501, "hello"), tcp(t, s, c, "A", 103, 501, "llo!!")
	for _, tc := range []struct {
		name string
		pkts [][]byte
		want Data
	}{
		{"not seen", nil, Data{Fate: NotSeen}},
		{"SYN alone", [][]byte{syn}, Data{Frame: 11, Fate: Unanswered}},
		{"rejected", [][]byte{syn, tcp(t, c, s, "RA", 0, 101, "")}, Data{Frame: 11, Fate: Rejected}},
		{"open", [][]byte{syn, synAck, data, again}, Data{Frame: 11, Fate: Open, FromServer: 7}},
		{"closed", [][]byte{syn, synAck, data, data, tcp(t, s, c, "FA", 106, 501, ""),
			tcp(t, c, s, "FA", 501, 107, "")}, Data{Frame: 11, Fate: Closed, FromServer: 5}},
		{"reset", [][]byte{syn, synAck, data, tcp(t, c, s, "RA", 501, 106, "")},
			Data{Frame: 11, Fate: Reset, FromServer: 5}},
		{"without its start", [][]byte{data}, Data{Frame: 11, Fate: Open, FromServer: 5}},
		{"without its start, the other side first", [][]byte{tcp(t, c, s, "A", 501, 101, ""), data},
			Data{Frame: 11, Fate: Open, FromServer: 5}},
		{"another host's", [][]byte{tcp(t, "10.0.0.7:20", c, "S", 100, 0, "")}, Data{Fate: NotSeen}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := replayed(t, pcapng(t, append(append(before[:10:10], tc.pkts...), after)), Options{})
			ch := r.controls[0].Channels[0]
			got := ch.Data
			got.Start, got.End = time.Time{}, time.Time{}
			if got != tc.want || ch.Reply.Text != "200 ok" || ch.Command != "RETR f" ||
				ch.Transfer.Text != "226 done" || r.settled != 1 {
				t.Errorf("%+v, settled %d", ch, r.settled)
			}
		})
	}
}

func TestWhatTheCaptureLacksIsNoted(t *testing.T) {
	var clients [][]byte
	for i, p := range packets(t, login) {
		if login[i].flags&fromServer == 0 {
			clients = append(clients, p)
		}
	}
	if c := replayed(t, pcapng(t, clients), Options{}).controls[0]; c.Packets != [2]int{3, 0} {
		t.Errorf("packets of one side: %+v", c)
	}
	// The first command is lost; the server's reply to it is there.
	gap := append(login[:6:6], segment{ack, "NOOP\r\n"}, segment{ack | fromServer, "200 ok\r\n"},
		segment{ack, "PWD\r\n"})
	pkts := packets(t, gap)
	if c := replayed(t, pcapng(t, append(pkts[:6:6], pkts[7:]...)),
		Options{}).controls[0]; c.Gaps != [2]int{1, 0} {
		t.Errorf("a gap: %+v", c)
	}
	tagged := replayed(t, pcap(t, layers.LinkTypeEthernet,
		strings.Repeat("\x02", 12)+"\x88\xa8\x00\x01\x81\x00\x00\x07\x08\x00", pkts), Options{})
	if c := tagged.controls[0]; len(c.VLANs) != 1 || c.VLANs[0] != "1.7" {
		t.Errorf("VLANs: %+v", c)
	}
}

// A line whose packet is cut behind it still counts.
func TestCutFramesAreReadAsFarAsTheyGo(t *testing.T) {
	pkts := packets(t, append(login[:6:6], segment{ack,
		"PORT 10,0,0,1,39,136\r\nNOOP " + strings.Repeat("x", 200)}))
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(80, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	for i, p := range pkts {
		in := info(p, i)
		in.CaptureLength = min(len(p), 80)
		if err := w.WritePacket(in, p[:in.CaptureLength]); err != nil {
			t.Fatal(err)
		}
	}
	r := replayed(t, out.Bytes(), Options{})
	if r.sum.Cut != 1 || r.controls[0].Cut != 1 || r.sum.Channels != 1 {
		t.Errorf("%s%+v", r.told(), r.sum)
	}
}

func TestRangeOfPortsTellsOfFTPAlone(t *testing.T) {
	all, err := ParsePorts("1-65535")
	if err != nil {
		t.Fatal(err)
	}
	pkts := packets(t, append(login[:6:6], segment{ack, "PORT 10,0,0,1,39,136\r\n"}))
	for i := range 4 { // the data connection, and another that speaks HTTP
		text := []string{"", "", "PORT 10,0,0,1,39,137\r\n", "GET / HTTP/1.1\r\n"}[i]
		flags := []string{"S", "S", "A", "A"}[i]
		to := []string{"10.0.0.1:10120", "10.0.0.9:80", "10.0.0.1:10120", "10.0.0.9:80"}[i]
		pkts = append(pkts, tcp(t, "10.0.0.2:50000", to, flags, uint32(100+i/2), 0, text))
	}
	r := replayed(t, pcapng(t, pkts), Options{Ports: all})
	if len(r.controls) != 1 || r.sum.Channels != 1 || r.sum.NotTold != 1 ||
		r.controls[0].Channels[0].Data.FromServer != 22 {
		t.Errorf("%s%+v", r.told(), r.sum)
	}
	for text, want := range map[string]string{"x": "is not a number", "0": "out of range",
		"9-7": "9 is above 7", "": "no port", "1-70000": "out of range"} {
		if _, err := ParsePorts(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// manySessions makes a capture of n sessions, each of which opens a port, as it is read.
type manySessions struct {
	n, made int
	pkts    [][]byte
	buf     bytes.Buffer
	w       *pcapgo.Writer
}

func (m *manySessions) Read(b []byte) (int, error) {
	for m.buf.Len() == 0 && m.made < m.n {
		for _, p := range m.pkts {
			client, at := 12, 20
			if p[15] == 2 {
				client, at = 16, 22
			}
			p[client+1], p[client+2] = byte(m.made>>16), byte(m.made>>8)
			p[at], p[at+1] = 0x80, byte(m.made)
			in := gopacket.CaptureInfo{Timestamp: time.UnixMilli(1e6 + int64(m.made)),
				CaptureLength: len(p), Length: len(p)}
			if err := m.w.WritePacket(in, p); err != nil {
				return 0, err
			}
		}
		m.made++
	}
	return m.buf.Read(b)
}

// TestMemoryIsBounded replays sessions that never end, more than are kept.
func TestMemoryIsBounded(t *testing.T) {
	n := 2 * maxControls
	if testing.Short() {
		n = maxControls + 1000
	}
	m := &manySessions{n: n, pkts: packets(t, append(login[:6:6], segment{ack, "PORT 10,0,0,1,39,136\r\n"}))}
	m.w = pcapgo.NewWriter(&m.buf)
	if err := m.w.WriteFileHeader(65535, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	ended, peak := 0, uint64(0)
	o := Options{Policy: DefaultPolicy()}
	sum, err := Run(m, o, Observer{Ended: func(*Control) {
		if ended++; ended%20000 == 1 {
			var s runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&s)
			peak = max(peak, s.HeapAlloc)
		}
	}})
	if err != nil || sum.Controls != n || ended != n || sum.Forgotten != n-maxControls {
		t.Errorf("%v, %d ended: %+v", err, ended, sum)
	}
	if peak > 400<<20 {
		t.Errorf("%d MiB are kept", peak>>20)
	}
	t.Logf("%d sessions, at most %d MiB", n, peak>>20)
}
