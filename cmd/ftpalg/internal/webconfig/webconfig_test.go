package webconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// folder has certificates: server.crt and server.key, client.crt and client.key, each its own authority.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"server", "client"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		must(t, err)
		private, err := x509.MarshalPKCS8PrivateKey(key)
		must(t, err)
		for end, b := range map[string]*pem.Block{
			".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private},
		} {
			write(t, filepath.Join(dir, name+end), string(pem.EncodeToMemory(b)))
		}
	}
	return dir
}

// served starts a server that says "in", and returns its address.
func served(t *testing.T, dir, text string) (*Guard, string) {
	t.Helper()
	path := filepath.Join(dir, "web.yml")
	write(t, path, text)
	g, err := New(path)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "in")
	})}
	go func() { _ = g.Serve(s, l) }()
	t.Cleanup(func() { _ = s.Close() })
	return g, l.Addr().String()
}

// ask returns what is answered, or "no" if there is no connection.
func ask(t *testing.T, url string, c *tls.Config, user, password string) string {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: c}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	must(t, err)
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(r)
	if err != nil {
		return "no"
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(b))
}

func client(t *testing.T, dir string, withCert bool) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	text, err := os.ReadFile(filepath.Join(dir, "server.crt"))
	must(t, err)
	pool.AppendCertsFromPEM(text)
	c := &tls.Config{RootCAs: pool}
	if withCert {
		cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key"))
		must(t, err)
		c.Certificates = []tls.Certificate{cert}
	}
	return c
}

func hashOf(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	must(t, err)
	return string(h)
}

const (
	stranger = "who are you?"
	withTLS  = "tls_server_config: {cert_file: server.crt, key_file: server.key"
)

func TestClientNeedsACertificateThatIsKnown(t *testing.T) {
	dir := folder(t)
	_, addr := served(t, dir,
		withTLS+", client_auth_type: RequireAndVerifyClientCert, client_ca_file: client.crt}\n")
	if got := ask(t, "https://"+addr, client(t, dir, true), "", ""); got != "in" {
		t.Errorf("with a certificate: %s", got)
	}
	if got := ask(t, "https://"+addr, client(t, dir, false), "", ""); got != "no" {
		t.Errorf("without: %s", got)
	}
	if got := ask(t, "http://"+addr, nil, "", ""); got == "in" {
		t.Error("plain HTTP is answered")
	}
}

func TestPasswordIsAskedForAndChangesAtReload(t *testing.T) {
	dir := folder(t)
	g, addr := served(t, dir, withTLS+"}\nbasic_auth_users: {joe: '"+hashOf(t, "one")+"'}\n")
	want := func(want, user, password string) {
		t.Helper()
		for range 2 { // the second time it may be remembered
			if got := ask(t, "https://"+addr, client(t, dir, false), user, password); got != want {
				t.Errorf("%s, %s: %s, want %s", user, password, got, want)
			}
		}
	}
	want("in", "joe", "one")
	want(stranger, "joe", "two")
	want(stranger, "jim", "one")
	want(stranger, "jim", "fakepassword")
	want(stranger, "", "")
	write(t, g.path, withTLS+"}\nbasic_auth_users: {joe: '"+hashOf(t, "two")+"'}\n")
	must(t, g.Reload())
	want("in", "joe", "two")
	want(stranger, "joe", "one")
	write(t, g.path, "nonsense: 1\n")
	if g.Reload() == nil {
		t.Error("nonsense is taken")
	}
	want("in", "joe", "two")
	write(t, g.path, "basic_auth_users: {}\n")
	if g.Reload() == nil {
		t.Error("TLS is turned off")
	}
	want(stranger, "", "")
}

func TestClientNeedsOneOfTheNamesThatAreAllowed(t *testing.T) {
	dir := folder(t)
	sans := withTLS + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: client.crt, " +
		"client_allowed_sans: [%s]}\n"
	for san, want := range map[string]string{"10.0.0.1, 127.0.0.1": "in", "client": "no"} {
		_, addr := served(t, dir, fmt.Sprintf(sans, san))
		if got := ask(t, "https://"+addr, client(t, dir, true), "", ""); got != want {
			t.Errorf("%s: %s, want %s", san, got, want)
		}
	}
}

// What exporters have in the file, with each key there is.
func TestWholeFormatIsRead(t *testing.T) {
	dir := folder(t)
	inline := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		return strings.ReplaceAll(string(b), "\n", "\n    ")
	}
	_, addr := served(t, dir, `tls_server_config:
  cert: |
    `+inline("server.crt")+`
  key: |
    `+inline("server.key")+`
  client_auth_type: RequireAndVerifyClientCert
  client_ca: |
    `+inline("client.crt")+`
  min_version: TLS12
  max_version: TLS12
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]
  prefer_server_cipher_suites: true
  curve_preferences: [CurveP384]
http_server_config:
  http2: true
  headers: {X-Frame-Options: deny, Strict-Transport-Security: "", X-Content-Type-Options: nosniff}
rate_limit: {interval: 1h, burst: 1}
`)
	c := client(t, dir, true)
	conn, err := tls.Dial("tcp", addr, c)
	must(t, err)
	defer conn.Close()
	if s := conn.ConnectionState(); s.Version != tls.VersionTLS12 || s.CurveID != tls.CurveP384 ||
		s.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {
		t.Errorf("version %x, curve %v, suite %x", s.Version, s.CurveID, s.CipherSuite)
	}
	_, err = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	must(t, err)
	b, _ := io.ReadAll(conn)
	if s := string(b); !strings.Contains(s, "X-Frame-Options: deny") || strings.Contains(s, "Strict") ||
		!strings.HasSuffix(s, "in") {
		t.Errorf("answered is %q", s)
	}
	if got := ask(t, "https://"+addr, c, "", ""); got != "too many requests" {
		t.Errorf("the second request in an hour: %s", got)
	}
}

func TestMistakesAreRefused(t *testing.T) {
	dir := folder(t)
	for _, c := range []struct{ text, why string }{
		{"rate_limits: {burst: 1}\n",
			"allowed are tls_server_config"},
		{"rate_limit: {interval: 1s}\n",
			"a burst of at least 1"},
		{"http_server_config: {headers: {Server: none}}\n",
			"allowed are Content-Security-Policy, Strict-"},
		{"http_server_config: {headers: {X-Frame-Options: never}}\n",
			"allowed is deny or sameorigin"},
		{withTLS + ", cert: also}\n",
			"one of them is enough"},
		{withTLS + ", cipher_suites: [ROT13]}\n",
			`cipher_suites is "ROT13"; allowed are TLS_`},
		{withTLS + ", curve_preferences: [Round]}\n",
			"allowed are CurveP256"},
		{withTLS + ", min_version: TLS13, max_version: TLS12}\n",
			"max_version is below"},
		{withTLS + ", client_auth_type: RequestClientCert, client_allowed_sans: [a]}\n",
			"would get by"},
		{"basic_auth_users: {joe: secret}\n",
			`"joe" is no hash`},
		{"tls_server_config: {cert_file: server.crt}\n",
			"needs cert_file and key_file"},
		{withTLS + ", client_auth_type: Sometimes}\n",
			`client_auth_type is "Sometimes"; allowed are NoClientCert`},
		{withTLS + ", client_ca_file: client.crt}\n",
			"would check nobody"},
		{withTLS + ", client_auth_type: RequireAndVerifyClientCert}\n",
			"needs client_ca_file"},
		{withTLS + ", min_version: TLS9}\n",
			"allowed are TLS10"},
		{"tls_server_config: {cert_file: none, key_file: none}\n",
			"no such file"},
		{withTLS + ", client_auth_type: RequestClientCert, client_ca_file: client.key}\n",
			"holds no certificate"},
	} {
		path := filepath.Join(dir, "web.yml")
		write(t, path, c.text)
		if _, err := New(path); err == nil || !strings.Contains(err.Error(), c.why) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", c.text, err)
		}
	}
	if _, err := New(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there is taken")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
