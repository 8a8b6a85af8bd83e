package webconfig

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// file is the file as it is written; paths in it are relative to its folder.
type file struct {
	TLS struct {
		Cert       string `yaml:"cert_file"`
		Key        string `yaml:"key_file"`
		ClientAuth string `yaml:"client_auth_type"`
		ClientCA   string `yaml:"client_ca_file"`
		MinVersion string `yaml:"min_version"`
	} `yaml:"tls_server_config"`
	Users map[string]string `yaml:"basic_auth_users"` // hashes of bcrypt by name
}

// clientAuth are the values of client_auth_type.
var clientAuth = map[string]tls.ClientAuthType{
	"": tls.NoClientCert, "NoClientCert": tls.NoClientCert, "RequestClientCert": tls.RequestClientCert,
	"RequireAnyClientCert": tls.RequireAnyClientCert, "VerifyClientCertIfGiven": tls.VerifyClientCertIfGiven,
	"RequireAndVerifyClientCert": tls.RequireAndVerifyClientCert,
}

var versions = map[string]uint16{"": tls.VersionTLS12, "TLS12": tls.VersionTLS12, "TLS13": tls.VersionTLS13}

// settings are what a file says.
type settings struct {
	tls   *tls.Config // nil: none
	users map[string]string
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
		return nil, fmt.Errorf("%s: %w; allowed are tls_server_config with cert_file, key_file, "+
			"client_auth_type, client_ca_file and min_version, and basic_auth_users", path, err)
	}
	s := &settings{users: f.Users}
	for name, hash := range f.Users {
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			return nil, fmt.Errorf("%s: the password of %q is no hash of bcrypt, as `htpasswd -nB` makes it",
				path, name)
		}
	}
	if s.tls, err = f.config(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// config returns nil if the file says nothing of TLS.
func (f *file) config(dir string) (*tls.Config, error) {
	t := &f.TLS
	if t.Cert+t.Key+t.ClientCA+t.ClientAuth+t.MinVersion == "" {
		return nil, nil
	}
	auth, known := clientAuth[t.ClientAuth]
	version, ok := versions[t.MinVersion]
	switch {
	case t.Cert == "" || t.Key == "":
		return nil, errors.New("tls_server_config needs cert_file and key_file")
	case !known:
		return nil, fmt.Errorf("%q is no client_auth_type", t.ClientAuth)
	case !ok:
		return nil, fmt.Errorf("min_version is %q; allowed are TLS12 and TLS13", t.MinVersion)
	case t.ClientCA != "" && auth == tls.NoClientCert:
		return nil, errors.New("client_ca_file without client_auth_type would check nobody")
	case t.ClientCA == "" && auth >= tls.VerifyClientCertIfGiven:
		return nil, fmt.Errorf("client_auth_type %s needs client_ca_file", t.ClientAuth)
	}
	cert, err := tls.LoadX509KeyPair(within(dir, t.Cert), within(dir, t.Key))
	if err != nil {
		return nil, err
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: auth, MinVersion: version,
		NextProtos: []string{"http/1.1"},
	}
	if t.ClientCA == "" {
		return c, nil
	}
	text, err := os.ReadFile(within(dir, t.ClientCA))
	if err != nil {
		return nil, err
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", t.ClientCA)
	}
	return c, nil
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
