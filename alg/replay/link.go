package replay

import (
	"encoding/binary"
	"strconv"
)

// linkType is what a capture calls a link layer (https://www.tcpdump.org/linktypes.html).
type linkType uint16

// The link types that can be read.
const (
	linkNull       linkType = 0
	linkEthernet   linkType = 1
	linkRawBSD     linkType = 12
	linkRawOpenBSD linkType = 14
	linkRaw        linkType = 101
	linkLoop       linkType = 108
	linkSLL        linkType = 113
	linkIPv4       linkType = 228
	linkIPv6       linkType = 229
	linkSLL2       linkType = 276
)

// known tells whether frames of this link type can be read.
func known(link linkType) bool { return headerLen(link) >= 0 }

// headerLen is the length of the link header; -1 of a link type that is not known.
func headerLen(link linkType) int {
	switch link {
	case linkRawBSD, linkRawOpenBSD, linkRaw, linkIPv4, linkIPv6:
		return 0
	case linkNull, linkLoop:
		return 4
	case linkEthernet:
		return 14
	case linkSLL:
		return 16
	case linkSLL2:
		return 20
	}
	return -1
}

// ipPacket strips the link layer; nil if what is in it is not IP. The VLAN tags, the outer one
// first and joined by a full stop, are appended to vlan.
func ipPacket(link linkType, b, vlan []byte) (ip, tags []byte) {
	n := headerLen(link)
	if n < 0 || len(b) < n {
		return nil, vlan
	}
	switch link {
	case linkEthernet:
		return stripTags(binary.BigEndian.Uint16(b[12:]), b[n:], vlan)
	case linkSLL:
		return stripTags(binary.BigEndian.Uint16(b[14:]), b[n:], vlan)
	case linkSLL2:
		return stripTags(binary.BigEndian.Uint16(b), b[n:], vlan)
	}
	return b[n:], vlan // the IP version tells the rest
}

// stripTags strips VLAN tags (802.1Q, 802.1ad and what came before it) and the
// header of a PPPoE session (RFC 2516).
func stripTags(ethertype uint16, b, vlan []byte) (ip, tags []byte) {
	for {
		switch ethertype {
		case 0x0800, 0x86dd:
			return b, vlan
		case 0x8100, 0x88a8, 0x9100:
			if len(b) < 4 {
				return nil, vlan
			}
			if len(vlan) > 0 {
				vlan = append(vlan, '.')
			}
			vlan = strconv.AppendUint(vlan, uint64(binary.BigEndian.Uint16(b)&0x0fff), 10)
			ethertype, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		case 0x8864:
			if len(b) < 8 {
				return nil, vlan
			}
			return b[8:], vlan
		default:
			return nil, vlan
		}
	}
}
