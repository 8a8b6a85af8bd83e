package ftp

import (
	"net/netip"
	"strconv"
)

// number reads a decimal number up to limit at b[i:]. It returns where it ends; ok is
// false where there is none or it is too large. It never wraps.
func number(b []byte, i, limit int) (n, end int, ok bool) {
	start := i
	for i < len(b) && isDigit(b[i]) {
		if n = n*10 + int(b[i]-'0'); n > limit {
			return 0, i, false
		}
		i++
	}
	return n, i, i > start
}

// sixNumbers reads h1,h2,h3,h4,p1,p2 at b[i:], with blanks allowed around commas.
func sixNumbers(b []byte, i int) (a netip.AddrPort, end int, ok bool) {
	var v [6]byte
	for k := range v {
		n, e, ok := number(b, i, 255)
		if !ok {
			return a, i, false
		}
		v[k], i = byte(n), e
		if k == 5 {
			break
		}
		for i < len(b) && isBlank(b[i]) {
			i++
		}
		if i >= len(b) || b[i] != ',' {
			return a, i, false
		}
		for i++; i < len(b) && isBlank(b[i]); {
			i++
		}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(v[:4])), uint16(v[4])<<8|uint16(v[5])), i, true
}

// ParsePort reads the argument of PORT (RFC 959 section 4.1.2): six numbers and nothing
// else. The port may be 0.
func ParsePort(arg []byte) (netip.AddrPort, bool) {
	a, end, ok := sixNumbers(arg, 0)
	return a, ok && end == len(arg)
}

// AppendPort writes an IPv4 address and port as PORT and 227 name it.
func AppendPort(dst []byte, a netip.AddrPort) []byte {
	for _, b := range a.Addr().As4() {
		dst = append(strconv.AppendUint(dst, uint64(b), 10), ',')
	}
	dst = append(strconv.AppendUint(dst, uint64(a.Port()>>8), 10), ',')
	return strconv.AppendUint(dst, uint64(a.Port()&0xff), 10)
}

// EPRTArg is the argument of EPRT (RFC 2428 section 2).
type EPRTArg struct {
	Delim  byte
	Family byte           // as sent: '1' IPv4, '2' IPv6
	Addr   netip.AddrPort // an IPv4-mapped address is unmapped
}

// isDelim tells whether b may delimit the fields of EPRT and 229: printable ASCII (RFC 2428
// section 2), and nothing that can stand in a field.
func isDelim(b byte) bool {
	return b >= 33 && b <= 126 && !isDigit(b) && b != '.' && b != ':' && !isHexLetter(b)
}

func isHexLetter(b byte) bool { return b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F' }

// maxAddrText is the longest text of an address: IPv6 with an embedded IPv4 address.
const maxAddrText = 45

// ParseEPRT reads the argument of EPRT: |1|132.235.1.2|6275| or |2|1080::8:800:200C:417A|5282|.
// The family must be that of the address; port 0 is refused.
func ParseEPRT(arg []byte) (EPRTArg, bool) {
	if len(arg) < 3 || !isDelim(arg[0]) || arg[1] != '1' && arg[1] != '2' || arg[2] != arg[0] {
		return EPRTArg{}, false
	}
	e := EPRTArg{Delim: arg[0], Family: arg[1]}
	end := 3
	for end < len(arg) && arg[end] != e.Delim {
		end++
	}
	addr, ok := parseAddr(arg[3:end], e.Family)
	if !ok || end == len(arg) {
		return EPRTArg{}, false
	}
	port, stop, ok := number(arg, end+1, 65535)
	if !ok || port == 0 || stop != len(arg)-1 || arg[stop] != e.Delim {
		return EPRTArg{}, false
	}
	e.Addr = netip.AddrPortFrom(addr, uint16(port))
	return e, true
}

// parseAddr reads an address of a family, without a zone.
func parseAddr(b []byte, family byte) (netip.Addr, bool) {
	if family == '1' {
		return parse4(b)
	}
	if len(b) > maxAddrText {
		return netip.Addr{}, false
	}
	for _, c := range b {
		if !isDigit(c) && !isHexLetter(c) && c != ':' && c != '.' {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(string(b))
	return a.Unmap(), err == nil && a.Is6()
}

func parse4(b []byte) (netip.Addr, bool) {
	var v [4]byte
	i := 0
	for k := range v {
		n, e, ok := number(b, i, 255)
		if !ok || k < 3 && (e >= len(b) || b[e] != '.') {
			return netip.Addr{}, false
		}
		v[k], i = byte(n), e+1
	}
	return netip.AddrFrom4(v), i == len(b)+1
}

// AppendEPRT writes the argument of EPRT. An IPv4 address with family '2' is written IPv4-mapped.
func AppendEPRT(dst []byte, delim, family byte, a netip.AddrPort) []byte {
	dst = append(dst, delim, family, delim)
	addr := a.Addr()
	if family == '2' && addr.Is4() {
		addr = netip.AddrFrom16(addr.As16())
	}
	dst = append(addr.AppendTo(dst), delim)
	return append(strconv.AppendUint(dst, uint64(a.Port()), 10), delim)
}

// PortPrefixOK tells whether the argument of a PORT, as far as it has come, can still become
// the address own with a port from minPort up.
func PortPrefixOK(arg []byte, own netip.Addr, minPort uint16) bool {
	if !own.Is4() {
		return false
	}
	want := own.As4()
	i, p1 := 0, 0
	for k := 0; k < 6; k++ {
		for i < len(arg) && isBlank(arg[i]) {
			i++
		}
		n, e, ok := number(arg, i, 255)
		if !ok {
			return i == len(arg) && e == i
		}
		for i = e; i < len(arg) && isBlank(arg[i]); {
			i++
		}
		whole := i < len(arg) || i > e
		switch {
		case k < 4 && !mayBecome(n, int(want[k]), whole):
			return false
		case k == 4:
			if p1 = n; p1 < int(minPort>>8) && (whole || !mayReach(p1, int(minPort>>8))) {
				return false
			}
		case k == 5:
			if p := p1<<8 | n; p < int(minPort) && (whole || !mayReach(n, int(minPort)&0xff)) {
				return false
			}
			return i == len(arg)
		}
		if i == len(arg) {
			return true
		}
		if arg[i] != ',' {
			return false
		}
		i++
	}
	return true
}

// mayBecome tells whether more digits, if there may be more, make want of n.
func mayBecome(n, want int, whole bool) bool {
	if whole || n > want {
		return n == want
	}
	for w := want; ; w /= 10 {
		if w == n {
			return true
		}
		if w == 0 {
			return false
		}
	}
}

// mayReach tells whether more digits make of n a number from low to 255.
func mayReach(n, low int) bool {
	for n *= 10; n <= 255; n *= 10 {
		if n+9 >= low || n >= low {
			return true
		}
		if n == 0 {
			return true // leading zeros
		}
	}
	return false
}

// EPRTPrefixOK is PortPrefixOK for EPRT. An IPv6 address has many spellings, so it is
// compared when it is whole.
func EPRTPrefixOK(arg []byte, own netip.Addr, minPort uint16) bool {
	if len(arg) == 0 {
		return true
	}
	d := arg[0]
	if !isDelim(d) || len(arg) > 1 && arg[1] != '1' && arg[1] != '2' || len(arg) > 2 && arg[2] != d {
		return false
	}
	if len(arg) < 4 {
		return true
	}
	end := 3
	for end < len(arg) && arg[end] != d {
		end++
	}
	if end == len(arg) {
		return end-3 <= maxAddrText
	}
	if a, ok := parseAddr(arg[3:end], arg[1]); !ok || a != own {
		return false
	}
	n, e, ok := number(arg, end+1, 65535)
	switch {
	case !ok:
		return e == end+1 && e == len(arg)
	case e == len(arg):
		for m := n; m <= 65535; m = m*10 + 9 {
			if m >= int(minPort) && m > 0 {
				return true
			}
			if m == 0 {
				return true
			}
		}
		return false
	}
	return n >= int(minPort) && n > 0 && arg[e] == d && e == len(arg)-1
}
