package ftp

import (
	"net/netip"
	"testing"
)

func TestPortPrefixOK(t *testing.T) {
	own := netip.MustParseAddr("10.13.0.1")
	for _, tt := range []struct {
		arg  string
		want bool
	}{
		{"", true}, {"1", true}, {"10", true}, {"10,", true}, {"10,1", true}, {"10,13,0,1,", true},
		{"10 , 13,0,1,200,10", true},
		{"0", true}, {"00010,", true}, {"0001", true}, {"00001", false}, {"000010", false},
		{"2", false}, {"11", false}, {"1,", false}, {"10,2", false}, {"10,1,", false}, {"10,1 ", false},
		{"10,13,1", false}, {"10,130", false},
		{"10,13,0,1,0", true}, {"10,13,0,1,0,", false}, {"10,13,0,1,3", true}, {"10,13,0,1,3,", false},
		{"10,13,0,1,4,", true}, {"10,13,0,1,4,0", true},
		{"10,13,0,1,256", false}, {"10,13,0,1,25,256", false}, {"10,13,0,1,25,99999", false},
		{"10,13,0,1,4294967300", false},
		{"10,13,0,1,200,10,", false}, {"10,13,0,1,200,10 ", false}, {"10,13,0,1,200,10x", false},
		{" 10", false}, {"x", false}, {",", false}, {"10,,", false}, {"10 1", false}, {"-1", false},
		{"10.", false},
	} {
		if got := PortPrefixOK([]byte(tt.arg), own, 1024); got != tt.want {
			t.Errorf("%q: %v", tt.arg, got)
		}
	}
}

func TestPortPrefixOKAtTheLeastPort(t *testing.T) {
	own := netip.MustParseAddr("::ffff:1.1.1.1")
	for _, tt := range []struct {
		arg  string
		min  uint16
		want bool
	}{
		{"1,1,1,1,4,2", 1050, true}, {"1,1,1,1,4,26", 1050, true}, {"1,1,1,1,4,25", 1050, true},
		{"1,1,1,1,4,00025", 1050, false},
		{"1,1,1,1,5,0", 1050, true}, {"1,1,1,1,255,255", 65535, true}, {"1,1,1,1,255,254", 65535, false},
		{"1,1,1,1,254,", 65535, false}, {"1,1,1,1,0,0", 0, true},
	} {
		if got := PortPrefixOK([]byte(tt.arg), own, tt.min); got != tt.want {
			t.Errorf("%q from %d: %v", tt.arg, tt.min, got)
		}
	}
}

func TestNoPrefixIsOKForAnotherFamily(t *testing.T) {
	if PortPrefixOK(nil, netip.MustParseAddr("::1"), 0) || PortPrefixOK(nil, netip.Addr{}, 0) ||
		EPRTPrefixOK(nil, netip.Addr{}, 0) {
		t.Error("OK")
	}
}

func TestEPRTPrefixOK(t *testing.T) {
	const v4, v6 = "10.13.0.1", "2001:db8::1"
	for _, tt := range []struct {
		arg, own string
		want     bool
	}{
		{"", v4, true}, {"|", v4, true}, {"!", v6, true}, {":", v4, true}, {":", v6, false}, {"a", v6, false},
		{"1", v4, false}, {" ", v4, false}, {"\x7f", v4, false}, {".", v4, false},
		{"|1", v4, true}, {"|2", v4, true}, {"|1", v6, false}, {"|3", v6, false}, {"||", v4, false},
		{"|1|", v4, true}, {"|1!", v4, false}, {"|12", v4, false},
		{"|1|10.1", v4, true}, {"|1|10.13.0.1", v4, true}, {"|1|10.2", v4, false}, {"|1|010", v4, true},
		{"|1|010.", v4, true}, {"|1|00001", v4, false}, {"|1|10.13.00.1|4000|", v4, true},
		{"|1|10,", v4, false}, {"|1|.", v4, false}, {"|1|10.13.0.1.", v4, false},
		{"|1|10.13.0.12", v4, false}, {"|1|10.13.0.|", v4, false},
		{"|1|10.13.0.1|", v4, true}, {"|2|::ffff:10.13.0.1|", v4, true}, {"|2|::ffff:10.13.0.2|", v4, false},
		{"|2|::FFFF:a0d:1|", v4, true},
		{"|2|2001:DB8:0", v6, true}, {"|2|2001:0db8:0:0:0:0:0:1|", v6, true}, {"|2|2001:db8::2|", v6, false},
		{"|2|2001:db8::1%", v6, false}, {"|2|[", v6, false}, {"|2||", v6, false},
		{"|2|0000:0000:0000:0000:0000:0000:0000:0000:0000:00", v6, false},
		{"|1|10.13.0.1|1", v4, true}, {"|1|10.13.0.1|1023", v4, true}, {"|1|10.13.0.1|1023|", v4, false},
		{"|1|10.13.0.1|1024|", v4, true}, {"|1|10.13.0.1|01023", v4, false},
		{"|1|10.13.0.1|65535|", v4, true}, {"|1|10.13.0.1|65536", v4, false}, {"|1|10.13.0.1||", v4, false},
		{"|1|10.13.0.1|4000!", v4, false}, {"|1|10.13.0.1|4000|x", v4, false},
		{"|1|10.13.0.1|0", v4, true}, {"|1|10.13.0.1|00000", v4, false},
	} {
		if got := EPRTPrefixOK([]byte(tt.arg), netip.MustParseAddr(tt.own), 1024); got != tt.want {
			t.Errorf("%q for %v: %v", tt.arg, tt.own, got)
		}
	}
	if EPRTPrefixOK([]byte("|1|10.13.0.1|0|"), netip.MustParseAddr(v4), 0) {
		t.Error("port 0 is OK")
	}
}

func FuzzPortPrefixOK(f *testing.F) {
	f.Add([]byte("10,13,0,1,4,26"), []byte{10, 13, 0, 1}, uint16(1050))
	f.Add([]byte("1, 1 ,1,1,0,0"), []byte{1, 1, 1, 1}, uint16(0))
	f.Add([]byte("00001,1,1,1,255,255"), []byte{1, 1, 1, 1}, uint16(65535))
	f.Fuzz(func(t *testing.T, arg, octets []byte, minPort uint16) {
		a, parsed := ParsePort(arg)
		own, ok := netip.AddrFromSlice(octets)
		if !ok || parsed && len(arg)%2 == 0 {
			if own = a.Addr(); !parsed {
				return
			}
		}
		checkPrefixes(t, arg, own, minPort, parsed && a.Addr() == own.Unmap() && a.Port() >= minPort,
			PortPrefixOK)
		if !PortPrefixOK(arg, own, minPort) {
			return
		}
		if parsed && a.Addr() != own.Unmap() {
			t.Fatalf("%q is OK for %v", arg, own)
		}
		if parsed && a.Port() >= minPort {
			return
		}
		// It can still become good: there is always a byte to go on with.
		for _, next := range []byte("0123456789,") {
			if PortPrefixOK(append(arg[:len(arg):len(arg)], next), own, minPort) {
				return
			}
		}
		t.Fatalf("%q is OK for %v from %d, but nothing may follow it", arg, own, minPort)
	})
}

func FuzzEPRTPrefixOK(f *testing.F) {
	f.Add([]byte("|1|10.13.0.1|1050|"), []byte{10, 13, 0, 1}, uint16(1050))
	f.Add([]byte("!2!::ffff:10.13.0.1!00001!"), []byte{10, 13, 0, 1}, uint16(0))
	f.Add([]byte("|1|10.13.00.1|1050|"), []byte{10, 13, 0, 1}, uint16(1050))
	f.Add([]byte("|2|::1|65535|"), []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"),
		uint16(65535))
	f.Fuzz(func(t *testing.T, arg, octets []byte, minPort uint16) {
		e, parsed := ParseEPRT(arg)
		own, ok := netip.AddrFromSlice(octets)
		if !ok || parsed && len(arg)%2 == 0 {
			if own = e.Addr.Addr(); !parsed {
				return
			}
		}
		good := parsed && e.Addr.Addr() == own.Unmap() && e.Addr.Port() >= minPort
		checkPrefixes(t, arg, own, minPort, good, EPRTPrefixOK)
		if parsed && EPRTPrefixOK(arg, own, minPort) != good {
			t.Fatalf("%q is OK for %v from %d", arg, own, minPort)
		}
	})
}

// checkPrefixes checks that every beginning of a good argument is OK, and that no beginning is
// once an earlier one was not.
func checkPrefixes(t *testing.T, arg []byte, own netip.Addr, minPort uint16, good bool,
	prefixOK func([]byte, netip.Addr, uint16) bool) {
	t.Helper()
	before := true
	for i := range len(arg) + 1 {
		ok := prefixOK(arg[:i], own, minPort)
		if good && !ok {
			t.Fatalf("%q, the beginning of %q, is not OK for %v from %d", arg[:i], arg, own, minPort)
		}
		if ok && !before {
			t.Fatalf("%q is OK for %v from %d, though what it begins with is not", arg[:i], own, minPort)
		}
		before = ok
	}
}
