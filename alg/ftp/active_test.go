package ftp

import (
	"net/netip"
	"testing"
)

func TestParsePort(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"1,2,3,4,5,6", "1.2.3.4:1286"},
		{"255,255,255,255,255,255", "255.255.255.255:65535"},
		{"0,0,0,0,0,0", "0.0.0.0:0"},
		{"010,000,000,002,200,010", "10.0.0.2:51210"},
		{"00010,0,0,2,200,00010", "10.0.0.2:51210"},
		{"000010,0,0,2,200,10", ""},
		{"1, 2 ,3\t,\t4,5,6", "1.2.3.4:1286"},
		{" 1,2,3,4,5,6", ""},
		{"1,2,3,4,5,6 ", ""},
		{"1,2,3,4,5,6 junk", ""},
		{"1,2,3,4,5,6,", ""},
		{"1,2,3,4,5", ""},
		{"1,2,3,4,5,", ""},
		{"1,2,3,4,5,6,7", ""},
		{"256,2,3,4,5,6", ""},
		{"1,2,3,4,5,256", ""},
		{"4294967297,2,3,4,5,6", ""},
		{"18446744073709551617,2,3,4,5,6", ""},
		{"+1,2,3,4,5,6", ""},
		{"0x1,2,3,4,5,6", ""},
		{"1.2.3.4,5,6", ""},
		{"1 2 3 4 5 6", ""},
		{"1,2,3,4\n,5,6", ""},
		{"a,b", ""},
		{"", ""},
	} {
		a, ok := ParsePort([]byte(tt.arg))
		checkAddr(t, tt.arg, a, ok, tt.want)
	}
}

func TestParseEPRT(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"|1|132.235.1.2|6275|", "132.235.1.2:6275"},
		{"!1!10.0.0.1!4000!", "10.0.0.1:4000"},
		{"~2~::1~4000~", "[::1]:4000"},
		{":1:10.0.0.1:4000:", "10.0.0.1:4000"},
		{"a1a10.0.0.1a4000a", "10.0.0.1:4000"},
		{"z2zfe80::azz", ""},
		{"z2zfe80::1z4000z", "[fe80::1]:4000"},
		{"|2|::ffff:10.0.0.2|4000|", "10.0.0.2:4000"},
		{"|2|::FFFF:0A00:2|4000|", "10.0.0.2:4000"},
		{"|2|1080:0:0:0:8:800:200C:417A|1|", "[1080::8:800:200c:417a]:1"},
		{"|1|10.0.0.1|65535|", "10.0.0.1:65535"},
		{"|1|10.0.0.1|00080|", "10.0.0.1:80"},
		{"|1|10.0.0.1|000080|", ""},
		{"|1|10.0.0.1|0|", ""},
		{"|1|10.0.0.1|65536|", ""},
		{"|1|10.0.0.1|4295032832|", ""},
		{"|1|10.0.0.1||", ""},
		{"|1|10.0.0.1|4000", ""},
		{"|1|10.0.0.1|4000|x", ""},
		{"|1|10.0.0.1|4000||", ""},
		{" |1|10.0.0.1|4000|", ""},
		{"|1|10.0.0.1|4000!", ""},
		{"|1!10.0.0.1|4000|", ""},
		{"|1|010.0.0.1|4000|", "10.0.0.1:4000"}, // leading zeros are decimal
		{"|1|10.0.1|4000|", ""},
		{"|1|::ffff:10.0.0.1|4000|", ""},
		{"|1|::1|4000|", ""},
		{"|2|10.0.0.1|4000|", ""},
		{"|2|fe80::1%eth0|4000|", ""},
		{"|2|[::1]|4000|", ""},
		{"|2||4000|", ""},
		{"||10.0.0.1|4000|", ""},
		{"|3|10.0.0.1|4000|", ""},
		{"|01|10.0.0.1|4000|", ""},
		{"51510.0.0.15400", ""},
		{".1.10.0.0.1.4000.", ""},
		{":2:::1:4000:", ""},
		{"b2b::1b4000b", ""},
		{"\x7f1\x7f10.0.0.1\x7f4000\x7f", ""},
		{" 1 10.0.0.1 4000 ", ""},
		{"|", ""}, {"|1", ""}, {"|1|", ""}, {"||||", ""}, {"", ""},
	} {
		e, ok := ParseEPRT([]byte(tt.arg))
		checkAddr(t, tt.arg, e.Addr, ok, tt.want)
		if ok && (e.Delim != tt.arg[0] || e.Family != tt.arg[1]) {
			t.Errorf("%q: %c %c", tt.arg, e.Delim, e.Family)
		}
	}
}

func TestAppend(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("10.0.0.2:51210"), netip.MustParseAddrPort("[2001:db8::1]:80")
	mapped := netip.MustParseAddrPort("[::ffff:10.0.0.2]:51210")
	for _, tt := range []struct {
		got  []byte
		want string
	}{
		{AppendPort(nil, v4), "10,0,0,2,200,10"},
		{AppendPort(nil, mapped), "10,0,0,2,200,10"},
		{AppendPort([]byte("x"), v6), "x"},
		{AppendPort([]byte("x"), netip.AddrPort{}), "x"},
		{AppendEPRT(nil, '|', '1', v4), "|1|10.0.0.2|51210|"},
		{AppendEPRT(nil, '!', '1', mapped), "!1!10.0.0.2!51210!"},
		{AppendEPRT(nil, '|', '2', v4), "|2|::ffff:10.0.0.2|51210|"},
		{AppendEPRT(nil, '|', '2', v6), "|2|2001:db8::1|80|"},
		{AppendEPRT(nil, '|', '2', netip.MustParseAddrPort("[fe80::1%eth0]:80")), "|2|fe80::1|80|"},
		{AppendEPRT([]byte("x"), '|', '1', v6), "x"},
		{AppendEPRT([]byte("x"), '|', '2', netip.AddrPort{}), "x"},
		{AppendEPRT([]byte("x"), '|', '1', netip.AddrPort{}), "x"},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

func TestParsersAndWritersAllocateNothing(t *testing.T) {
	port, eprt := []byte("PORT 10,0,0,2,200,10\r\n"),
		[]byte("EPRT |2|2001:db8:1111:2222:3333:4444:255.255.255.255|51210|\r\n")
	bad := []byte("|2|2001:db8:1111:2222:3333:4444:5555:6666:7777|51210|")
	passive, extended := []byte("227 Entering Passive Mode (10,0,0,2,200,10).\r\n"),
		[]byte("229 Extended (|2|2001:db8::1|51210|)\r\n")
	own4, own6 := netip.MustParseAddr("10.0.0.2"),
		netip.MustParseAddr("2001:db8:1111:2222:3333:4444:ffff:ffff")
	buf := make([]byte, 0, 128)
	allocs := testing.AllocsPerRun(100, func() {
		for _, line := range [][]byte{port, eprt, passive, extended} {
			Foreign(line)
			ParseReply(line)
		}
		c := ParseCommand(port)
		arg := port[c.ArgStart:c.ArgEnd]
		a, _ := ParsePort(arg)
		AppendPort(buf, a)
		PortPrefixOK(arg, own4, 1024)
		EPRTPrefixOK([]byte("|1|10.0.0"), own4, 1024)
		c = ParseCommand(eprt)
		arg = eprt[c.ArgStart:c.ArgEnd]
		e, ok := ParseEPRT(arg)
		if !ok || !EPRTPrefixOK(arg, own6, 1024) {
			t.Fatal("not parsed")
		}
		AppendEPRT(buf, e.Delim, e.Family, e.Addr)
		AppendEPRT(buf, '|', '2', a)
		EPRTPrefixOK(arg[:40], own6, 1024)
		ParseEPRT(bad)
		ParsePassive(passive)
		ParseExtended(extended)
	})
	if allocs != 0 {
		t.Error(allocs, "allocations")
	}
}

func FuzzParsePort(f *testing.F) {
	for _, s := range []string{"1,2,3,4,5,6", "1, 2 ,3,4,5,00006", "256,1,1,1,1,1", "4294967297,1,1,1,1,1",
		"1,2,3,4,5,6,7"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, arg []byte) {
		a, ok := ParsePort(arg)
		if !ok {
			if a.IsValid() {
				t.Fatal("an address without success")
			}
			return
		}
		if b, ok := ParsePort(AppendPort(nil, a)); !ok || b != a {
			t.Fatalf("%q is %v; written again %v", arg, a, b)
		}
		for i := range arg {
			if b, ok := ParsePort(arg[:i]); ok && isDigit(arg[i]) == false {
				t.Fatalf("%q is %v; its beginning %q is %v", arg, a, arg[:i], b)
			}
		}
	})
}

func FuzzParseEPRT(f *testing.F) {
	for _, s := range []string{"|1|10.0.0.1|4000|", "|2|::1|1|", "!2!::ffff:10.0.0.2!65535!",
		"a1a10.0.0.1a4000a", ":1:1.1.1.1:1:", "|1|1.1.1.1|4295032832|"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, arg []byte) {
		e, ok := ParseEPRT(arg)
		if !ok {
			if e.Addr.IsValid() {
				t.Fatal("an address without success")
			}
			return
		}
		if e.Addr.Port() == 0 || e.Addr.Addr().Is4In6() || e.Addr.Addr().Zone() != "" ||
			e.Family == '1' && !e.Addr.Addr().Is4() {
			t.Fatalf("%q is %+v", arg, e)
		}
		if again, ok := ParseEPRT(AppendEPRT(nil, e.Delim, e.Family, e.Addr)); !ok || again != e {
			t.Fatalf("%q is %+v; written again %+v", arg, e, again)
		}
		for i := range arg {
			if b, ok := ParseEPRT(arg[:i]); ok {
				t.Fatalf("%q is %+v; its beginning %q is %+v", arg, e, arg[:i], b)
			}
		}
	})
}

func FuzzParseAddrAgreesWithNetip(f *testing.F) {
	for _, s := range []string{"::", "::1", "1::", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8", "::1.2.3.4",
		"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", ":::", "1::2::3", "12345::", "1:", ":1",
		"::ffff:01.2.3.4", "1.2.3.4", "256.1.1.1", "1.2.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := netip.ParseAddr(s)
		for _, family := range []byte("12") {
			got, ok := parseAddr([]byte(s), family)
			if family == '1' && ok && err != nil {
				continue // zeros in front of numbers, which netip refuses
			}
			if wantOK := err == nil && want.Zone() == "" && want.Is4() == (family == '1'); ok != wantOK ||
				ok && got != want {
				t.Fatalf("%q in family %c: %v, %v; netip says %v, %v", s, family, got, ok, want, err)
			}
		}
	})
}
