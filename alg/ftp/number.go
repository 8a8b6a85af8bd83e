package ftp

import (
	"math"
	"net/netip"
)

// maxDigits is how many digits a number may have: those of 65535.
const maxDigits = 5

// number reads the digits at the start of b: their value and how many they are. More
// than maxDigits have a value beyond every range.
func number(b []byte) (v, n int) {
	for n < len(b) && isDigit(b[n]) {
		if n < maxDigits {
			v = v*10 + int(b[n]-'0')
		}
		n++
	}
	if n > maxDigits {
		v = math.MaxInt
	}
	return v, n
}

// mayReach tells whether a number of which n digits with the value v are there is in
// lo..hi, or can still get there with more digits.
func mayReach(v, n, lo, hi int) bool {
	for width := 1; n <= maxDigits; n, v, width = n+1, v*10, width*10 {
		if v <= hi && v+width > lo {
			return true
		}
	}
	return false
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// parseAddr reads an address in the text form of the address family, '1' for IPv4
// and '2' for IPv6 (RFC 2428 section 2). It accepts what [netip.ParseAddr] does, whose errors
// need memory, and in family '1' zeros in front of the numbers too; but no zone, which
// means nothing to another host. An IPv4 address in IPv6 form is returned as it is written.
func parseAddr(b []byte, family byte) (netip.Addr, bool) {
	if family == '1' {
		// Leading zeros are decimal, as in PORT.
		ip, ok := parseIPv4(b, true)
		return netip.AddrFrom4(ip), ok
	}
	ip, ok := parseIPv6(b)
	return netip.AddrFrom16(ip), ok
}

func parseIPv4(b []byte, zeros bool) (ip [4]byte, ok bool) {
	at := 0
	for i := range ip {
		if i > 0 {
			if at == len(b) || b[at] != '.' {
				return ip, false
			}
			at++
		}
		v, n := number(b[at:])
		if n == 0 || v > 255 || n > 1 && b[at] == '0' && !zeros {
			return ip, false
		}
		ip[i] = byte(v)
		at += n
	}
	return ip, at == len(b)
}

// maxIPv6 is the longest text of an IPv6 address: six groups and an IPv4 address.
const maxIPv6 = 6*5 + 15

// parseIPv6 reads the forms of RFC 4291 section 2.2.
func parseIPv6(b []byte) (ip [16]byte, ok bool) {
	gap := -1 // where "::" stands
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, b = 0, b[2:]
	}
	n := 0
	for n < len(ip) && len(b) > 0 {
		v, digits := hex(b)
		if digits < len(b) && b[digits] == '.' {
			v4, ok := parseIPv4(b, false)
			if !ok || n > 12 || n < 12 && gap < 0 {
				return ip, false
			}
			n += copy(ip[n:], v4[:])
			b = nil
			break
		}
		if digits == 0 || digits > 4 {
			return ip, false
		}
		ip[n], ip[n+1] = byte(v>>8), byte(v)
		n += 2
		b = b[digits:]
		if len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return ip, false
		}
		if b = b[1:]; b[0] == ':' {
			if gap >= 0 {
				return ip, false
			}
			gap, b = n, b[1:]
		}
	}
	// "::" stands for one group at least.
	if len(b) > 0 || (n < len(ip)) != (gap >= 0) {
		return ip, false
	}
	if gap >= 0 {
		widen(&ip, gap, n)
	}
	return ip, true
}

// widen fills the gap in the first n bytes of an address with the zeros that "::" stands for.
func widen(ip *[16]byte, gap, n int) {
	tail := n - gap
	copy(ip[len(ip)-tail:], ip[gap:n])
	clear(ip[gap : len(ip)-tail])
}

// hex reads the hexadecimal digits at the start of b: their value, of the last
// four, and how many they are.
func hex(b []byte) (v uint16, n int) {
	for n < len(b) && isHex(b[n]) {
		d := b[n]
		switch {
		case d >= 'a':
			d -= 'a' - 10
		case d >= 'A':
			d -= 'A' - 10
		default:
			d -= '0'
		}
		v = v<<4 | uint16(d)
		n++
	}
	return v, n
}

func isHex(b byte) bool {
	return isDigit(b) || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}
