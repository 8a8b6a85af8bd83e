package ftp

import "net/netip"

// PortPrefixOK tells whether the argument of a PORT, of which arg has arrived, may
// still become the address own with a port of at least minPort. It says no at the first
// byte after which it cannot. An argument that is complete is to be judged by
// [ParsePort] all the same: its last digit might have been followed by another.
func PortPrefixOK(arg []byte, own netip.Addr, minPort uint16) bool {
	own = own.Unmap()
	if !own.Is4() {
		return false
	}
	octets := own.As4()
	at, high := 0, 0
	for i := range 6 {
		lo, hi := 0, 255
		switch {
		case i < 4:
			lo = int(octets[i])
			hi = lo
		case i == 4:
			lo = int(minPort >> 8)
		case high == int(minPort>>8):
			lo = int(minPort & 0xff)
		}
		if i > 0 {
			at = skipBlanks(arg, at)
			if at == len(arg) {
				return true
			}
			if arg[at] != ',' {
				return false
			}
			at = skipBlanks(arg, at+1)
		}
		v, n := number(arg[at:])
		at += n
		if at == len(arg) {
			return mayReach(v, n, lo, hi)
		}
		if n == 0 || v < lo || v > hi {
			return false
		}
		high = v
	}
	return false // something stands behind the numbers
}

// EPRTPrefixOK tells the same of the argument of an EPRT. An IPv6 address has many
// spellings: as long as it is incomplete, anything that can be part of one is good.
func EPRTPrefixOK(arg []byte, own netip.Addr, minPort uint16) bool {
	own = own.Unmap().WithZone("")
	if !own.IsValid() {
		return false
	}
	if len(arg) == 0 {
		return true
	}
	delim := arg[0]
	if len(arg) == 1 {
		return own.Is4() && separates(delim, '1') || separates(delim, '2')
	}
	family := arg[1]
	if family != '2' && (family != '1' || !own.Is4()) || !separates(delim, family) {
		return false
	}
	if len(arg) == 2 {
		return true
	}
	if arg[2] != delim {
		return false
	}
	addrEnd := fieldEnd(arg, 3)
	if addrEnd == len(arg) {
		return addrPrefixOK(arg[3:], family, own)
	}
	if a, ok := parseAddr(arg[3:addrEnd], family); !ok || a.Unmap() != own {
		return false
	}
	lo := max(1, int(minPort))
	v, n := number(arg[addrEnd+1:])
	portEnd := addrEnd + 1 + n
	if portEnd == len(arg) {
		return mayReach(v, n, lo, 65535)
	}
	return n > 0 && v >= lo && v <= 65535 && arg[portEnd] == delim && portEnd+1 == len(arg)
}

// addrPrefixOK tells whether b may still become own in the text form of the family.
func addrPrefixOK(b []byte, family byte, own netip.Addr) bool {
	if family == '1' {
		at := 0
		for i, octet := range own.As4() {
			if i > 0 {
				if b[at] != '.' {
					return false
				}
				at++
			}
			v, n := number(b[at:])
			at += n
			if at == len(b) {
				return mayReach(v, n, int(octet), int(octet))
			}
			if n == 0 || v != int(octet) {
				return false
			}
		}
		return false
	}
	for _, c := range b {
		if !isHex(c) && c != ':' && c != '.' {
			return false
		}
	}
	return len(b) <= maxIPv6
}
