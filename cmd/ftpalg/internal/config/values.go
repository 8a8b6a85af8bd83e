package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is how the text of a key becomes part of the configuration.
type value struct {
	allowed string // for people
	list    bool   // takes any number of texts, else exactly one
	set     func(c *Config, texts []string) error
}

// one makes a value of a single text.
func one(allowed string, set func(*Config, string) error) value {
	return value{allowed: allowed, set: func(c *Config, texts []string) error { return set(c, texts[0]) }}
}

// each makes a list of what parse makes of the texts; what is wrong with each is reported.
func each[T comparable](allowed string, at func(*Config) *[]T, parse func(string) (T, error)) value {
	return value{allowed: allowed, list: true, set: func(c *Config, texts []string) error {
		var list []T
		var errs []error
		for _, t := range texts {
			v, err := parse(t)
			switch {
			case err != nil:
				errs = append(errs, err)
			case slices.Contains(list, v):
				errs = append(errs, fmt.Errorf("%q is there twice", t))
			default:
				list = append(list, v)
			}
		}
		*at(c) = list
		return errors.Join(errs...)
	}}
}

func number[T int | uint16](lo, hi T, at func(*Config) *T) value {
	return one(fmt.Sprintf("%d to %d", lo, hi), func(c *Config, text string) error {
		n, err := parseNumber(text, lo, hi)
		*at(c) = n
		return err
	})
}

func parseNumber[T int | uint16](text string, lo, hi T) (T, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return lo, fmt.Errorf("%q is not a number", text)
	}
	if n < int64(lo) || n > int64(hi) {
		return lo, fmt.Errorf("%d is out of range", n)
	}
	return T(n), nil
}

func workers() value {
	return one(fmt.Sprintf("auto, or 1 to %d", maxWorkers), func(c *Config, text string) (err error) {
		if text == "auto" {
			c.Workers = WorkersAuto
			return nil
		}
		c.Workers, err = parseNumber(text, 1, maxWorkers)
		return err
	})
}

func ports(at func(*Config) *[]uint16) value {
	v := each("one or more ports from 1 to 65535", at, func(text string) (uint16, error) {
		return parseNumber[uint16](text, 1, 65535)
	})
	set := v.set
	v.set = func(c *Config, texts []string) error {
		if len(texts) == 0 {
			return errors.New("no port")
		}
		return set(c, texts)
	}
	return v
}

type option[T any] struct {
	word  string
	value T
}

func choice[T any](at func(*Config) *T, options ...option[T]) value {
	var words []string
	for _, o := range options {
		words = append(words, o.word)
	}
	return one(strings.Join(words, ", "), func(c *Config, text string) error {
		i := slices.Index(words, text)
		if i < 0 {
			return fmt.Errorf("%q is not one of them", text)
		}
		*at(c) = options[i].value
		return nil
	})
}

func yes(at func(*Config) *bool) value {
	return choice(at, option[bool]{"true", true}, option[bool]{"false", false})
}

func name(allowed string, form *regexp.Regexp, at func(*Config) *string) value {
	return one(allowed, func(c *Config, text string) error {
		if !form.MatchString(text) {
			return fmt.Errorf("%q is not a name", text)
		}
		*at(c) = text
		return nil
	})
}

// off can be said where the empty text cannot, as in an environment variable.
const off = "off"

func listener(at func(*Config) *string) value {
	return one(`an address with a port, as in 127.0.0.1:9821, or "" or off`,
		func(c *Config, text string) error {
			if text == "" || text == off {
				*at(c) = ""
				return nil
			}
			host, port, err := net.SplitHostPort(text)
			if err != nil {
				return fmt.Errorf("%q is not an address with a port", text)
			}
			if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
				return fmt.Errorf("%q is not an address", host)
			}
			if _, err := parseNumber[uint16](port, 1, 65535); err != nil {
				return fmt.Errorf("port %w", err)
			}
			*at(c) = text
			return nil
		})
}

// optional is a name, or nothing.
func optional(allowed string, form *regexp.Regexp, at func(*Config) *string) value {
	v := name(allowed, form, at)
	set := v.set
	v.set = func(c *Config, texts []string) error {
		if texts[0] == "" {
			*at(c) = ""
			return nil
		}
		return set(c, texts)
	}
	return v
}

// maxSocketPath is what fits into struct sockaddr_un with its NUL.
const maxSocketPath = 107

func socket(at func(*Config) *string) value {
	return one(`an absolute path of at most 107 bytes, or "" or off`, func(c *Config, text string) error {
		switch {
		case text == "" || text == off:
			text = ""
		case !strings.HasPrefix(text, "/") || len(text) > maxSocketPath || strings.ContainsRune(text, 0):
			return fmt.Errorf("%q is not the path of a socket", text)
		}
		*at(c) = text
		return nil
	})
}

// file is an absolute path, or one of the words, or nothing.
func file(allowed string, at func(*Config) *string, words ...string) value {
	return one(allowed, func(c *Config, text string) error {
		switch {
		case text == "" || text == off:
			text = ""
		case slices.Contains(words, text):
		case !strings.HasPrefix(text, "/") || strings.ContainsRune(text, 0):
			return fmt.Errorf("%q is not an absolute path", text)
		}
		*at(c) = text
		return nil
	})
}

func path(at func(*Config) *string) value {
	return one("a path that begins with /, without blanks", func(c *Config, text string) error {
		if !strings.HasPrefix(text, "/") ||
			strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '{' }) {
			return fmt.Errorf("%q is not a path", text)
		}
		*at(c) = text
		return nil
	})
}

func duration(lo, hi time.Duration, at func(*Config) *time.Duration) value {
	return one(fmt.Sprintf("%v to %v in whole seconds, as in 90s or 2m", lo, hi),
		func(c *Config, text string) error {
			d, err := time.ParseDuration(text)
			if err != nil || d%time.Second != 0 {
				return fmt.Errorf("%q is not a duration in whole seconds", text)
			}
			if d < lo || d > hi {
				return fmt.Errorf("%v is out of range", d)
			}
			*at(c) = d
			return nil
		})
}
