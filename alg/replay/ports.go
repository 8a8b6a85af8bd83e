package replay

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Ports are those of control connections.
type Ports struct {
	named  [1 << 10]uint64 // a bit for each port
	ranged [1 << 10]uint64 // a bit for each that is only part of a range
}

// PortsOf returns the ports in a list.
func PortsOf(list ...uint16) *Ports {
	p := &Ports{}
	for _, n := range list {
		p.named[n>>6] |= 1 << (n & 63)
	}
	return p
}

// ParsePorts reads ports and ranges of them, as in "21,2121" or "1-65535". Of the connections to a port
// that only a range names those are told of on which FTP is spoken.
func ParsePorts(text string) (*Ports, error) {
	p := &Ports{}
	var errs []error
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		lo, err1 := parsePort(first)
		hi, err2 := parsePort(last)
		switch {
		case err1 != nil:
			errs = append(errs, err1)
		case err2 != nil:
			errs = append(errs, err2)
		case lo > hi:
			errs = append(errs, fmt.Errorf("%d is above %d", lo, hi))
		}
		set := &p.named
		if isRange {
			set = &p.ranged
		}
		for n := lo; n <= hi; n++ {
			set[n>>6] |= 1 << (n & 63)
		}
	}
	if len(errs) == 0 && *p == (Ports{}) {
		errs = append(errs, errors.New("no port"))
	}
	return p, errors.Join(errs...)
}

func parsePort(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 1, fmt.Errorf("%q is not a number", text)
	}
	if n < 1 || n > 65535 {
		return 1, fmt.Errorf("%d is out of range", n)
	}
	return n, nil
}

func (p *Ports) has(n uint16) bool { return p.isNamed(n) || p.ranged[n>>6]>>(n&63)&1 != 0 }

func (p *Ports) isNamed(n uint16) bool { return p.named[n>>6]>>(n&63)&1 != 0 }
