package ftptest

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Mode is the way a data connection is agreed on.
type Mode string

// The modes, named for their commands.
const (
	PORT Mode = "PORT" // active, IPv4 only
	EPRT Mode = "EPRT" // active
	PASV Mode = "PASV" // passive, IPv4 only
	EPSV Mode = "EPSV" // passive
)

// Active tells whether the server connects to the client.
func (m Mode) Active() bool { return m == PORT || m == EPRT }

// FormatPort returns the argument of PORT and 227: h1,h2,h3,h4,p1,p2.
func FormatPort(a netip.AddrPort) string {
	ip := a.Addr().Unmap().As4()
	return fmt.Sprintf("%d,%d,%d,%d,%d,%d", ip[0], ip[1], ip[2], ip[3], a.Port()>>8, a.Port()&0xff)
}

// FormatExtended returns the argument of EPRT: |1|10.0.13.222|10120|.
func FormatExtended(a netip.AddrPort) string {
	family := 1
	if a.Addr().Is6() {
		family = 2
	}
	return fmt.Sprintf("|%d|%s|%d|", family, a.Addr(), a.Port())
}

// Format227 returns the usual reply to PASV.
func Format227(a netip.AddrPort) string {
	return "227 Entering Passive Mode (" + FormatPort(a) + ")."
}

// Format229 returns the usual reply to EPSV.
func Format229(a netip.AddrPort) string {
	return fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)", a.Port())
}

var (
	sixNumbers = regexp.MustCompile(`(\d+),(\d+),(\d+),(\d+),(\d+),(\d+)`)
	onePort    = regexp.MustCompile(`\(\D\D\D(\d+)\D\)`)
)

// ParsePort reads six numbers anywhere in the text, as RFC 1123 asks of
// clients.
func ParsePort(text string) (netip.AddrPort, error) {
	m := sixNumbers.FindStringSubmatch(text)
	if m == nil {
		return netip.AddrPort{}, fmt.Errorf("no address of the form h1,h2,h3,h4,p1,p2 in %q", text)
	}
	var n [6]byte
	for i := range n {
		v, err := strconv.ParseUint(m[i+1], 10, 8)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q: each number is 0 to 255", m[0])
		}
		n[i] = byte(v)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(n[:4])), uint16(n[4])<<8|uint16(n[5])), nil
}

var errExtended = errors.New("want |family|address|port|")

// ParseExtended reads the argument of EPRT.
func ParseExtended(arg string) (netip.AddrPort, error) {
	if len(arg) < 2 {
		return netip.AddrPort{}, errExtended
	}
	f := strings.Split(arg, arg[:1])
	if len(f) != 5 {
		return netip.AddrPort{}, errExtended
	}
	ip, err := netip.ParseAddr(f[2])
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", errExtended, err)
	}
	port, err := strconv.ParseUint(f[3], 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", errExtended, err)
	}
	if f[1] == "1" != ip.Is4() || f[1] == "2" != ip.Is6() {
		return netip.AddrPort{}, fmt.Errorf("%w: %s is not of family %s", errExtended, ip, f[1])
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

// Parse229 reads the port of a reply to EPSV.
func Parse229(text string) (uint16, error) {
	m := onePort.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("no port of the form (|||6446|) in %q", text)
	}
	port, err := strconv.ParseUint(m[1], 10, 16)
	if err != nil {
		return 0, fmt.Errorf("port in %q: %w", text, err)
	}
	return uint16(port), nil
}
