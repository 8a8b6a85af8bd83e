package ftp

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
)

func TestParseReply(t *testing.T) {
	for _, tt := range []struct {
		line string
		code int
		kind ReplyKind
	}{
		{"220 ready\r\n", 220, Final},
		{"220\r\n", 220, Final},
		{"220\n", 220, Final},
		{"220", 220, Final},
		{"220 ", 220, Final},
		{"220-hello\r\n", 220, Opening},
		{"220-\r\n", 220, Opening},
		{"100 x", 100, Final}, {"699 x", 699, Final}, {"099 x", 0, NotReply}, {"700 x", 0, NotReply},
		{"000 x", 0, NotReply},
		{"\xff\xf1227 x", 227, Final},
		{"\xff\xfb\x01227 x", 227, Final},
		{"\xff", 0, NotReply},
		{" 220 x", 0, NotReply},
		{"\r220 x", 0, NotReply},
		{"22", 0, NotReply},
		{"2200 x", 0, NotReply},
		{"220x", 0, NotReply},
		{"220\t", 0, NotReply},
		{"2a0 x", 0, NotReply},
		{"HTTP/1.1 200 OK\r\n", 0, NotReply},
		{"", 0, NotReply},
	} {
		if code, kind := ParseReply([]byte(tt.line)); code != tt.code || kind != tt.kind {
			t.Errorf("%q: %d, %v; want %d, %v", tt.line, code, kind, tt.code, tt.kind)
		}
	}
	if s := fmt.Sprint(NotReply, Final, Opening, Opening+1); s != "not a reply final opening invalid" {
		t.Error(s)
	}
}

func TestParsePassive(t *testing.T) {
	for _, tt := range []struct{ line, span, want string }{
		{"227 (1,2,3,4,5,6)", "1,2,3,4,5,6", "1.2.3.4:1286"},
		{"227 =1,2,3,4,5,6\r\n", "1,2,3,4,5,6", "1.2.3.4:1286"}, // publicfile
		{"227 Entering Passive Mode. 1,2,3,4,5,6\r\n", "1,2,3,4,5,6", "1.2.3.4:1286"},
		{"227 mode #2 (1,2,3,4,5,6)", "1,2,3,4,5,6", "1.2.3.4:1286"},
		{"227 mode 2, sir (1,2,3,4,5,6)", "1,2,3,4,5,6", "1.2.3.4:1286"},
		{"227 mode 99999999999 (1,2,3,4,5,6)", "1,2,3,4,5,6", "1.2.3.4:1286"},
		{"227 v1,2 (1, 2,  3,\t4,5,6)", "1, 2,  3,\t4,5,6", "1.2.3.4:1286"},
		{"227 (010,000,000,002,200,010)", "010,000,000,002,200,010", "10.0.0.2:51210"},
		{"227 (1,2,3,4,5,6) or (6,5,4,3,2,1)", "1,2,3,4,5,6", "1.2.3.4:1286"},
		{"227 1,2,3,4,5,6, please", "1,2,3,4,5,6", "1.2.3.4:1286"},
		{"227 (0,0,0,0,156,64)", "0,0,0,0,156,64", "0.0.0.0:40000"},
		{"227 (1,2,3,4,0,0)", "1,2,3,4,0,0", "1.2.3.4:0"},
		{"\xff\xf1227 (1,2,3,4,5,6)", "1,2,3,4,5,6", "1.2.3.4:1286"},
		{"227 (1,2,3,4,5)", "", ""},
		{"227 (1,2,3,4,5,)", "", ""},
		{"227 (1,2,3,4,5,6,7)", "", ""},
		{"227 (1,2,3,4,5,6,7) (1,2,3,4,5,6)", "", ""},
		{"227 (1,2,3,4,256,0)", "", ""},
		{"227 (300,1,1,1,1,1) (1,2,3,4,5,6)", "", ""},
		{"227 (1,2,3,4,5,4294967297)", "", ""},
		{"227 (1 ,2,3,4,5,6)", "", ""},
		{"227 (1,2,3,4,-5,6)", "", ""},
		{"227 Logout.\r\n", "", ""},
		{"227 Entering Passive Mode (\r\n", "", ""},
		{"227 x\n(1,2,3,4,5,6)\r\n", "", ""},
		{"227-(1,2,3,4,5,6)\r\n", "", ""},
		{" 227 (1,2,3,4,5,6)\r\n", "", ""},
		{"226 (1,2,3,4,5,6)\r\n", "", ""},
		{"227\r\n", "", ""}, {"227", "", ""}, {"", "", ""},
	} {
		p, ok := ParsePassive([]byte(tt.line))
		checkAddr(t, tt.line, p.Addr, ok, tt.want)
		if span := tt.line[p.Start:p.End]; span != tt.span {
			t.Errorf("%q: found %q, want %q", tt.line, span, tt.span)
		}
	}
}

func TestParseExtended(t *testing.T) {
	for _, tt := range []struct {
		line string
		port uint16
		addr string
	}{
		{"229 (|||6446|)", 6446, ""},
		{"229 |||6446|", 6446, ""},
		{"229 (|||06446|).\r\n", 6446, ""},
		{"229 (yes) (|||6446|)", 6446, ""},
		{"229 (|||1|) (|||6446|)", 6446, ""},
		{"229 (!!!6446!)", 6446, ""}, // IBM
		{"229 (~~~6446~)", 6446, ""},
		{"229 (:::6446:)", 6446, ""},
		{"229 ((((6446()", 6446, ""},
		{"229 (||||6446|)", 6446, ""},
		{"229 (|||1|) (|||0|)", 0, ""},
		{"229 (|||1|) (|1|10.0.0.1|65536|)", 0, ""},
		{"229 (|1|192.168.1.2|6446|)", 6446, "192.168.1.2"},
		{"229 (|2|fe80::1|6446|)", 6446, "fe80::1"},
		{"229 (|2|::ffff:10.0.0.1|6446|)", 6446, "10.0.0.1"},
		{"229 (|1|fe80::1|6446|)", 0, ""},
		{"229 (|2|10.0.0.1|6446|)", 0, ""},
		{"229 (|2|fe80::1%eth0|6446|)", 0, ""},
		{"229 (|1||6446|)", 0, ""},
		{"229 (||10.0.0.1|6446|)", 0, ""},
		{"229 (|||65535|)", 65535, ""},
		{"229 (|||65536|)", 0, ""},
		{"229 (|||65558|)", 0, ""},
		{"229 (|||4294973742|)", 0, ""},
		{"229 (|||006446|)", 0, ""},
		{"229 (|||0|)", 0, ""},
		{"229 (||||)", 0, ""},
		{"229 (|||6446)", 0, ""},
		{"229 (||6446|)", 0, ""},
		{"229 (|||64a6|)", 0, ""},
		{"229 (||| 6446|)", 0, ""},
		{"229 (|!|6446|)", 0, ""},
		{"229 (|||6446!)", 0, ""},
		{"229 (11164461)", 0, ""},
		{"229 (   6446 )", 0, ""},
		{"229 (\x7f\x7f\x7f6446\x7f)", 0, ""},
		{"229-(|||6446|)\r\n", 0, ""},
		{"227 (|||6446|)\r\n", 0, ""},
		{"229 x\n(|||6446|)\r\n", 0, ""},
		{"229", 0, ""}, {"229 |", 0, ""}, {"", 0, ""},
	} {
		e, ok := ParseExtended([]byte(tt.line))
		if ok != (tt.port != 0) || ok && e.Port != tt.port || ok && e.HasAddr != (tt.addr != "") {
			t.Errorf("%q: %+v, %v", tt.line, e, ok)
		}
		if tt.addr != "" && e.Addr != netip.MustParseAddr(tt.addr) {
			t.Errorf("%q: %v", tt.line, e.Addr)
		}
	}
}

func TestParseExtendedTakesEveryDelimiterButDigits(t *testing.T) {
	for d := range 256 {
		line := append([]byte("229 Entering Extended Passive Mode ("), byte(d), byte(d), byte(d))
		line = append(append(line, "6446"...), byte(d), ')')
		e, ok := ParseExtended(line)
		if want := d > 32 && d < 127 && !isDigit(byte(d)); ok != want ||
			ok && (e.Port != 6446 || e.Delim != byte(d)) {
			t.Errorf("%#x: %+v, %v", d, e, ok)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	for _, s := range []string{"220 a\r\n", "220-a", "220", "\xff\xf1227 x", "2200"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		code, kind := ParseReply(line)
		if kind == NotReply {
			if code != 0 {
				t.Fatal(code)
			}
			return
		}
		if code < 100 || code > 699 || !bytes.Contains(line, strconv.AppendInt(nil, int64(code), 10)) {
			t.Fatalf("%q: %d", line, code)
		}
		// More bytes change nothing, once there is one behind the code.
		at := skipTelnet(line) + 4
		for i := at; i < len(line); i++ {
			if c, k := ParseReply(line[:i]); c != code || k != kind {
				t.Fatalf("%q is %d %v; its beginning %q is %d %v", line, code, kind, line[:i], c, k)
			}
		}
	})
}

func FuzzParsePassive(f *testing.F) {
	for _, s := range []string{"227 (1,2,3,4,5,6)\r\n", "227 #2 =1, 2,3,4,5,6", "227 1,2,3,4,5,6,7",
		"227 (1,2,3,4,5,256)", "227 1,2,3,4,5,6, x", "\xff\xf1227 0,0,0,0,0,0"} {
		f.Add([]byte(s), uint32(0x0a000002), uint16(51210))
	}
	f.Fuzz(func(t *testing.T, line []byte, ip uint32, port uint16) {
		p, ok := ParsePassive(line)
		if !ok {
			if p != (Passive{}) {
				t.Fatalf("%q: %+v", line, p)
			}
			return
		}
		if p.Start < 4 || p.Start >= p.End || p.End > len(line) || !isDigit(line[p.Start]) ||
			!isDigit(line[p.End-1]) || !p.Addr.Addr().Is4() {
			t.Fatalf("%q: %+v", line, p)
		}
		// The numbers are those of PORT.
		if a, ok := ParsePort(line[p.Start:p.End]); !ok || a != p.Addr {
			t.Fatalf("%q: %v, and as a PORT %v", line, p.Addr, a)
		}
		// As soon as the numbers cannot go on, the answer stays.
		for i := p.End; i < len(line); i++ {
			q, ok := ParsePassive(line[:i])
			if b := line[i]; isDigit(b) || b == ',' || isBlank(b) && i > p.End {
				continue
			}
			if !ok || q != p {
				t.Fatalf("%q is %+v; its beginning %q is %+v", line, p, line[:i], q)
			}
		}
		// Another address in its place is found there.
		want := netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8),
			byte(ip)}), port)
		text := AppendPort(nil, want)
		again := bytes.Join([][]byte{line[:p.Start], line[p.End:]}, text)
		if q, ok := ParsePassive(again); !ok || q.Addr != want || q.Start != p.Start ||
			q.End != p.Start+len(text) {
			t.Fatalf("%q is %+v; rewritten %q is %+v", line, p, again, q)
		}
	})
}

func FuzzParseExtended(f *testing.F) {
	for _, s := range []string{"229 (|||6446|)\r\n", "229 !!!1!", "229 (|2|::1|65535|)",
		"229 (|1|10.0.0.1|1|)", "229 (|||1|) |||0|", "229 (|||4294973742|)", "229 a1a1.1.1.1a1a",
		"229 |1|0.00.0.0|1|", "229 ((((1()"} {
		f.Add([]byte(s), uint16(51210))
	}
	f.Fuzz(func(t *testing.T, line []byte, port uint16) {
		e, ok := ParseExtended(line)
		if !ok {
			if e != (Extended{}) {
				t.Fatalf("%q: %+v", line, e)
			}
			return
		}
		if e.Port == 0 || e.PortStart < 7 || e.PortStart >= e.PortEnd || e.PortEnd >= len(line) ||
			line[e.PortStart-1] != e.Delim || line[e.PortEnd] != e.Delim {
			t.Fatalf("%q: %+v", line, e)
		}
		if n, err := strconv.ParseUint(string(line[e.PortStart:e.PortEnd]), 10, 16); err != nil ||
			uint16(n) != e.Port {
			t.Fatalf("%q: %+v", line, e)
		}
		if e.HasAddr {
			a, ok := parseAddr(line[e.AddrStart:e.AddrEnd], e.Family)
			if !ok || a.Unmap() != e.Addr || e.AddrEnd+1 != e.PortStart || line[e.AddrStart-2] != e.Family {
				t.Fatalf("%q: %+v", line, e)
			}
		} else if e.AddrStart != 0 || e.AddrEnd != 0 || e.Family != 0 || e.Addr.IsValid() {
			t.Fatalf("%q: %+v", line, e)
		}
		// The answer is there as soon as its last delimiter is.
		if d, ok := ParseExtended(line[:e.PortEnd+1]); !ok || d != e {
			t.Fatalf("%q is %+v; its beginning is %+v", line, e, d)
		}
		// Another port in its place is found there.
		text := strconv.AppendUint(nil, uint64(max(port, 1)), 10)
		again := bytes.Join([][]byte{line[:e.PortStart], line[e.PortEnd:]}, text)
		if d, ok := ParseExtended(again); !ok || d.Port != max(port, 1) || d.PortStart != e.PortStart {
			t.Fatalf("%q is %+v; rewritten %q is %+v", line, e, again, d)
		}
	})
}
