package webconfig

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"
)

// file is the file as it is written; paths in it are relative to its folder.
type file struct {
	TLS   tlsPart           `yaml:"tls_server_config"`
	HTTP  httpPart          `yaml:"http_server_config"`
	Users map[string]string `yaml:"basic_auth_users"` // hashes of bcrypt by name
	Rate  struct {
		Interval time.Duration `yaml:"interval"`
		Burst    int           `yaml:"burst"`
	} `yaml:"rate_limit"`
}

type httpPart struct {
	// HTTP2 changes nothing: whoever may speak it may speak HTTP/1.1, which is what is served.
	HTTP2   bool              `yaml:"http2"`
	Headers map[string]string `yaml:"headers"`
}

// settings are what a file says.
type settings struct {
	tls     *tls.Config // nil: none
	users   map[string]string
	headers map[string]string
	rate    *rate.Limiter // nil: as many as come
}

func read(path string) (*settings, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f file
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w; allowed are tls_server_config, http_server_config, basic_auth_users "+
			"and rate_limit, with what the exporters for Prometheus have in them", path, err)
	}
	s := &settings{users: f.Users, headers: f.HTTP.Headers}
	for name, hash := range f.Users {
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			return nil, fmt.Errorf("%s: the password of %q is no hash of bcrypt, as `htpasswd -nB` makes it",
				path, name)
		}
	}
	if err := checkHeaders(s.headers); err != nil {
		return nil, fmt.Errorf("%s: http_server_config: headers: %w", path, err)
	}
	switch {
	case f.Rate.Interval < 0, f.Rate.Burst < 0, f.Rate.Interval > 0 && f.Rate.Burst == 0:
		return nil, fmt.Errorf("%s: rate_limit needs an interval between requests, as 1s, and a burst of "+
			"at least 1; an interval of 0 is no limit", path)
	case f.Rate.Interval > 0:
		s.rate = rate.NewLimiter(rate.Every(f.Rate.Interval), f.Rate.Burst)
	}
	if s.tls, err = f.TLS.config(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("%s: tls_server_config: %w", path, err)
	}
	return s, nil
}

// allowedHeaders are the headers that may be set, and what they may say; nil: anything.
var allowedHeaders = map[string][]string{
	"Content-Security-Policy": nil, "Strict-Transport-Security": nil, "X-XSS-Protection": nil,
	"X-Frame-Options": {"deny", "sameorigin"}, "X-Content-Type-Options": {"nosniff"},
}

func checkHeaders(headers map[string]string) error {
	for name, value := range headers {
		values, ok := allowedHeaders[name]
		switch {
		case !ok:
			return fmt.Errorf("%q; allowed are %s", name,
				strings.Join(slices.Sorted(maps.Keys(allowedHeaders)), ", "))
		case value != "" && values != nil && !slices.Contains(values, strings.ToLower(value)):
			return fmt.Errorf("%s is %q; allowed is %s", name, value, strings.Join(values, " or "))
		}
	}
	return nil
}
