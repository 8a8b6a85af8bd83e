package ftp

import (
	"net/netip"
	"strconv"
)

// ParsePort reads the argument of a PORT command, "h1,h2,h3,h4,p1,p2" (RFC 959
// section 5.3.2): exactly six numbers 0..255, with blanks allowed around the commas and
// nothing before or behind. The port may be 0.
func ParsePort(arg []byte) (netip.AddrPort, bool) {
	var six [6]byte
	at := 0
	for i := range six {
		if i > 0 {
			at = skipBlanks(arg, at)
			if at == len(arg) || arg[at] != ',' {
				return netip.AddrPort{}, false
			}
			at = skipBlanks(arg, at+1)
		}
		v, n := number(arg[at:])
		if n == 0 || v > 255 {
			return netip.AddrPort{}, false
		}
		six[i] = byte(v)
		at += n
	}
	if at != len(arg) {
		return netip.AddrPort{}, false
	}
	return fromSix(six), true
}

func fromSix(b [6]byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), uint16(b[4])<<8|uint16(b[5]))
}

// AppendPort appends "h1,h2,h3,h4,p1,p2", the form of PORT and 227. It appends
// nothing if a is not an IPv4 address.
func AppendPort(dst []byte, a netip.AddrPort) []byte {
	addr := a.Addr().Unmap()
	if !addr.Is4() {
		return dst
	}
	for _, b := range addr.As4() {
		dst = append(strconv.AppendUint(dst, uint64(b), 10), ',')
	}
	dst = append(strconv.AppendUint(dst, uint64(a.Port()>>8), 10), ',')
	return strconv.AppendUint(dst, uint64(a.Port()&0xff), 10)
}

// EPRTArg is the argument of an EPRT command.
type EPRTArg struct {
	Delim  byte
	Family byte           // '1' or '2', as sent
	Addr   netip.AddrPort // an IPv4 address in IPv6 form is unmapped; Family tells
}

// ParseEPRT reads the argument of an EPRT command, "|family|address|port|" (RFC 2428
// section 2), with any delimiter that [separates]. The address has the form of its
// family, without brackets or zone. The port is 1..65535. Nothing may stand before or behind.
func ParseEPRT(arg []byte) (EPRTArg, bool) {
	f, ok := cutAddress(arg)
	if !ok || f.end != len(arg) || f.port == 0 {
		return EPRTArg{}, false
	}
	addr := netip.AddrPortFrom(f.addr.Unmap(), f.port)
	return EPRTArg{Delim: arg[0], Family: arg[1], Addr: addr}, true
}

// AppendEPRT appends the argument of an EPRT command. An IPv4 address in family '2' is
// written in its IPv6 form. It appends nothing if a is not valid, or is an IPv6
// address in family '1'.
func AppendEPRT(dst []byte, delim byte, family byte, a netip.AddrPort) []byte {
	addr := a.Addr().Unmap().WithZone("")
	switch {
	case !addr.IsValid(), family == '1' && !addr.Is4():
		return dst
	case family == '2':
		addr = netip.AddrFrom16(addr.As16())
	}
	dst = append(dst, delim, family, delim)
	dst = append(addr.AppendTo(dst), delim)
	dst = strconv.AppendUint(dst, uint64(a.Port()), 10)
	return append(dst, delim)
}

// separates tells whether d may be the delimiter in EPRT and 229: visible ASCII (RFC
// 2428 section 2), but nothing that may be part of a field. Where such a field ends is
// anybody's guess, and a rewritten address might hold the delimiter. Family is that of
// the address, 0 if there is none.
func separates(d, family byte) bool {
	switch {
	case d < 33 || d > 126 || isDigit(d):
		return false
	case family == '1':
		return d != '.'
	case family == '2':
		return d != '.' && d != ':' && !isHex(d)
	}
	return true
}

// fields are those of "|family|address|port|", as offsets.
type fields struct {
	addrEnd, portEnd, end int // the address begins at 3, the port at addrEnd+1
	addr                  netip.Addr
	port                  uint16 // 0 if out of range
}

// cutAddress reads "|family|address|port|" at the start of b.
func cutAddress(b []byte) (f fields, ok bool) {
	if len(b) < 3 || b[1] != '1' && b[1] != '2' || !separates(b[0], b[1]) || b[2] != b[0] {
		return f, false
	}
	f.addrEnd = fieldEnd(b, 3)
	if f.addrEnd == len(b) {
		return f, false
	}
	if f.addr, ok = parseAddr(b[3:f.addrEnd], b[1]); !ok {
		return f, false
	}
	v, n := number(b[f.addrEnd+1:])
	f.portEnd = f.addrEnd + 1 + n
	f.end = f.portEnd + 1
	if v <= 65535 {
		f.port = uint16(v)
	}
	return f, n > 0 && f.portEnd < len(b) && b[f.portEnd] == b[0]
}

// fieldEnd returns where the delimiter b[0] follows from at on, no further than behind the
// longest address; len(b) if nowhere.
func fieldEnd(b []byte, at int) int {
	for i := at; i < len(b) && i <= at+maxIPv6; i++ {
		if b[i] == b[0] {
			return i
		}
	}
	return len(b)
}
