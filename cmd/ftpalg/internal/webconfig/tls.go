package webconfig

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// tlsPart is tls_server_config. What may be in a file of its own may be here instead.
type tlsPart struct {
	Cert         string   `yaml:"cert"`
	CertFile     string   `yaml:"cert_file"`
	Key          string   `yaml:"key"`
	KeyFile      string   `yaml:"key_file"`
	ClientAuth   string   `yaml:"client_auth_type"`
	ClientCA     string   `yaml:"client_ca"`
	ClientCAFile string   `yaml:"client_ca_file"`
	ClientSANs   []string `yaml:"client_allowed_sans"`
	MinVersion   string   `yaml:"min_version"`
	MaxVersion   string   `yaml:"max_version"`
	Ciphers      []string `yaml:"cipher_suites"`
	Curves       []string `yaml:"curve_preferences"`

	// PreferServer changes nothing: crypto/tls chooses by what both sides can do fast.
	PreferServer bool `yaml:"prefer_server_cipher_suites"`
}

// The words of the file.
var (
	clientAuth = map[string]tls.ClientAuthType{
		"": tls.NoClientCert, "NoClientCert": tls.NoClientCert, "RequestClientCert": tls.RequestClientCert,
		"RequireAnyClientCert": tls.RequireAnyClientCert, "RequireClientCert": tls.RequireAnyClientCert,
		"VerifyClientCertIfGiven":    tls.VerifyClientCertIfGiven,
		"RequireAndVerifyClientCert": tls.RequireAndVerifyClientCert,
	}
	versions = map[string]uint16{
		"TLS10": tls.VersionTLS10, "TLS11": tls.VersionTLS11,
		"TLS12": tls.VersionTLS12, "TLS13": tls.VersionTLS13,
	}
	curves = map[string]tls.CurveID{
		"CurveP256": tls.CurveP256, "CurveP384": tls.CurveP384, "CurveP521": tls.CurveP521,
		"X25519": tls.X25519,
	}
)

// config returns nil if the file says nothing of TLS. Paths are relative to dir.
func (t *tlsPart) config(dir string) (*tls.Config, error) {
	if reflect.ValueOf(*t).IsZero() {
		return nil, nil
	}
	c := &tls.Config{NextProtos: []string{"http/1.1"}}
	if err := t.certificate(c, dir); err != nil {
		return nil, err
	}
	if err := t.protocol(c); err != nil {
		return nil, err
	}
	return c, t.clients(c, dir)
}

func (t *tlsPart) certificate(c *tls.Config, dir string) error {
	cert, err := textOr(t.Cert, t.CertFile, "cert", dir)
	if err != nil {
		return err
	}
	key, err := textOr(t.Key, t.KeyFile, "key", dir)
	if err != nil {
		return err
	}
	if cert == nil || key == nil {
		return errors.New("it needs cert_file and key_file")
	}
	pair, err := tls.X509KeyPair(cert, key)
	c.Certificates = []tls.Certificate{pair}
	return err
}

func (t *tlsPart) protocol(c *tls.Config) (err error) {
	if c.MinVersion, err = known(versions, "min_version", cmp.Or(t.MinVersion, "TLS12")); err != nil {
		return err
	}
	if c.MaxVersion, err = known(versions, "max_version", cmp.Or(t.MaxVersion, "TLS13")); err != nil {
		return err
	}
	if c.MaxVersion < c.MinVersion {
		return errors.New("max_version is below min_version")
	}
	suites := map[string]uint16{}
	for _, s := range tls.CipherSuites() {
		suites[s.Name] = s.ID
	}
	for _, name := range t.Ciphers {
		id, err := known(suites, "cipher_suites", name)
		if err != nil {
			return err
		}
		c.CipherSuites = append(c.CipherSuites, id)
	}
	for _, name := range t.Curves {
		id, err := known(curves, "curve_preferences", name)
		if err != nil {
			return err
		}
		c.CurvePreferences = append(c.CurvePreferences, id)
	}
	return nil
}

func (t *tlsPart) clients(c *tls.Config, dir string) (err error) {
	if c.ClientAuth, err = known(clientAuth, "client_auth_type", t.ClientAuth); err != nil {
		return err
	}
	ca, err := textOr(t.ClientCA, t.ClientCAFile, "client_ca", dir)
	switch {
	case err != nil:
		return err
	case ca != nil && c.ClientAuth == tls.NoClientCert:
		return errors.New("client_ca_file without client_auth_type would check nobody")
	case ca == nil && c.ClientAuth >= tls.VerifyClientCertIfGiven:
		return fmt.Errorf("client_auth_type %s needs client_ca_file", t.ClientAuth)
	}
	if t.ClientSANs != nil {
		if c.ClientAuth != tls.RequireAnyClientCert && c.ClientAuth != tls.RequireAndVerifyClientCert {
			return errors.New("client_allowed_sans needs client_auth_type RequireAndVerifyClientCert, or a " +
				"client without a certificate would get by")
		}
		c.VerifyConnection = t.named
	}
	if ca != nil {
		if c.ClientCAs = x509.NewCertPool(); !c.ClientCAs.AppendCertsFromPEM(ca) {
			return errors.New("client_ca holds no certificate")
		}
	}
	return nil
}

// named refuses a client whose certificate has none of the names that are allowed. It is asked for a resumed
// session too.
func (t *tlsPart) named(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the client shows no certificate")
	}
	cert := s.PeerCertificates[0]
	names := slices.Concat(cert.DNSNames, cert.EmailAddresses)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range cert.URIs {
		names = append(names, uri.String())
	}
	if !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(t.ClientSANs, n) }) {
		return fmt.Errorf("none of the names %q in the client's certificate is in client_allowed_sans", names)
	}
	return nil
}

// textOr returns the text, or what is in the file, or nil if there is neither.
func textOr(text, path, name, dir string) ([]byte, error) {
	switch {
	case text != "" && path != "":
		return nil, fmt.Errorf("%s and %[1]s_file are the same thing: one of them is enough", name)
	case text != "":
		return []byte(text), nil
	case path == "":
		return nil, nil
	case !filepath.IsAbs(path):
		path = filepath.Join(dir, path)
	}
	return os.ReadFile(path)
}

func known[V any](values map[string]V, key, name string) (V, error) {
	v, ok := values[name]
	if !ok {
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(values)), func(s string) bool { return s == "" })
		return v, fmt.Errorf("%s is %q; allowed are %s", key, name, strings.Join(names, ", "))
	}
	return v, nil
}
