package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/ftpalg/ftpalg/alg/policy"
)

// Values that are lists, or are taken apart further.

// external sets the IPv4 and the IPv6 address to show.
func external() value {
	const allowed = "an IPv4 address, an IPv6 address, or one of each"
	return value{allowed: allowed, list: true, set: func(c *Config, texts []string) error {
		p := &c.Policy
		p.External4, p.External6 = netip.Addr{}, netip.Addr{}
		var errs []error
		for _, t := range texts {
			a, err := netip.ParseAddr(t)
			at := &p.External4
			if a.Is6() {
				at = &p.External6
			}
			switch {
			case err != nil || a.Zone() != "" || a.Is4In6():
				errs = append(errs, fmt.Errorf("%q is not an IP address", t))
			case !a.IsGlobalUnicast():
				errs = append(errs, fmt.Errorf("%s is not an address that others can connect to", a))
			case at.IsValid():
				errs = append(errs, fmt.Errorf("%s is a second address of its kind", a))
			default:
				*at = a
			}
		}
		return errors.Join(errs...)
	}}
}

func networks(at func(*Config) *[]netip.Prefix) value {
	return each("networks as in 10.0.0.0/8 or fd00::/8, and single addresses", at, ParseNetwork)
}

// ParseNetwork reads a network, or the address of one host.
func ParseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a network", text)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has bits set behind its prefix: the network is %s", p,
			p.Masked())
	}
	return p, nil
}

func portRange() value {
	return one("FIRST-LAST within 1024 to 65535, as in 32768-60999", func(c *Config, text string) error {
		if !strings.Contains(text, "-") {
			return fmt.Errorf("%q is not a range", text)
		}
		r, err := parsePorts(text, 1024)
		if err == nil {
			c.Policy.FirstPort, c.Policy.LastPort = r.First, r.Last
		}
		return err
	})
}

// parsePorts reads a port or FIRST-LAST, from lo on.
func parsePorts(text string, lo uint16) (policy.PortRange, error) {
	a, b, two := strings.Cut(text, "-")
	if !two {
		b = a
	}
	first, err := parseNumber(strings.TrimSpace(a), lo, 65535)
	last, err2 := parseNumber(strings.TrimSpace(b), lo, 65535)
	if two {
		err = errors.Join(err, err2)
	}
	if err == nil && first > last {
		err = fmt.Errorf("%d is above %d", first, last)
	}
	return policy.PortRange{First: first, Last: last}, err
}

// services stands in deny_ports for policy.Services.
const services = "services"

// denyPorts sets the ports that no data connection may have.
func denyPorts() value {
	const allowed = "ports and ranges as in 3306 or 6000-6063, and the word " + services
	return value{allowed: allowed, list: true, set: func(c *Config, texts []string) error {
		var list []policy.PortRange
		var errs []error
		for i, t := range texts {
			r, err := parsePorts(t, 1)
			switch {
			case slices.Contains(texts[:i], t):
				errs = append(errs, fmt.Errorf("%q is there twice", t))
			case t == services:
				list = append(list, policy.Services...)
			case err != nil:
				errs = append(errs, err)
			default:
				list = append(list, r)
			}
		}
		c.Policy.DenyPorts = list
		return errors.Join(errs...)
	}}
}

func zones() value {
	const any = "any"
	v := each("numbers of conntrack zones, from 1 to 65535, or any; zone 0 always counts",
		func(c *Config) *[]uint16 { return &c.Zones.Named },
		func(text string) (uint16, error) { return parseNumber[uint16](text, 1, 65535) })
	numbers := v.set
	v.set = func(c *Config, texts []string) error {
		if c.Zones.Any = slices.Equal(texts, []string{any}); c.Zones.Any {
			texts = nil
		}
		return numbers(c, texts)
	}
	return v
}

var command = regexp.MustCompile(`^[A-Za-z]{1,16}$`)

func commands(at func(*Config) *[]string) value {
	return each("FTP commands as in RETR, of letters only", at, func(text string) (string, error) {
		if !command.MatchString(text) {
			return "", fmt.Errorf("%q is not a command", text)
		}
		return strings.ToUpper(text), nil
	})
}

// patterns are regular expressions.
func patterns(at func(*Config) *[]*regexp.Regexp) value {
	const allowed = `regular expressions (RE2) as in ^/etc/ or (?i)\.exe$; ` +
		"in a variable or flag without commas and blanks"
	return value{allowed: allowed, list: true, set: func(c *Config, texts []string) error {
		var list []*regexp.Regexp
		var errs []error
		for i, t := range texts {
			p, err := regexp.Compile(t)
			switch {
			case err != nil:
				errs = append(errs, fmt.Errorf("%q is not a regular expression", t))
			case t == "":
				errs = append(errs, errors.New("an empty pattern fits everything"))
			case slices.Contains(texts[:i], t):
				errs = append(errs, fmt.Errorf("%q is there twice", t))
			default:
				list = append(list, p)
			}
		}
		*at(c) = list
		return errors.Join(errs...)
	}}
}
