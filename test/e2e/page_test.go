package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// openHash is that of the password "open", as htpasswd -nB makes it.
const openHash = "$2a$04$Q4heh6oW.BYXQVY0JaF2w.UMwADdN5eLjY72Yb0G.683QvVvGAZP."

// pages asks for pages of a gateway as a browser on it would, trusting the certificate at cert.
func pages(t *testing.T, h *lab.Host, cert string) func(path, user, password string) (int, string) {
	text, err := os.ReadFile(cert)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	c := &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return h.DialContext(ctx, network, addr)
		},
	}}
	t.Cleanup(c.CloseIdleConnections)
	return func(path, user, password string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, "https://127.0.0.1:9821"+path, nil)
		must(t, err)
		r.SetBasicAuth(user, password)
		resp, err := c.Do(r)
		must(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, string(body)
	}
}

// certificate makes one for 127.0.0.1, in cert.pem and key.pem.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for name, b := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600))
	}
}

func TestPageTellsOfTheGatewayToWhomTheFileLetsIn(t *testing.T) {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	s := serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
	dir := t.TempDir()
	certificate(t, dir)
	web := filepath.Join(dir, "web.yml")
	must(t, os.WriteFile(web, []byte("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"+
		"basic_auth_users: {joe: '"+openHash+"'}\n"), 0o600))
	g := withConfig(t, r.Gateway, "http: {sessions: true}\n", "--metrics-address", "127.0.0.1:9821",
		"--web.config.file", web)
	c := login(t, r.Client, r.Server.AddrPort(false, lab.ControlPort))
	get(t, c, s, ftptest.PORT, "small")
	if _, err := c.Cmd("PORT 1,2,3,4,5,6"); err != nil {
		t.Fatal(err)
	}
	ask := pages(t, r.Gateway, filepath.Join(dir, "cert.pem"))
	for _, path := range []string{"/", "/live", "/metrics", "/healthz"} {
		if code, _ := ask(path, "joe", "shut"); code != http.StatusUnauthorized {
			t.Errorf("%s with a wrong password: %d", path, code)
		}
	}
	code, page := ask("/", "joe", "open")
	for _, want := range []string{"foreign_address", c.Local().String(), "<h2>Sessions</h2>", ">ok</span>"} {
		if code != http.StatusOK || !strings.Contains(page, want) {
			t.Errorf("%d, no %q in\n%s", code, want, page)
		}
	}
	if code, text := ask("/metrics", "joe", "open"); code != 200 || !strings.Contains(text, "ftpalg_") {
		t.Errorf("metrics: %d", code)
	}
	must(t, os.WriteFile(web, []byte("nonsense: 1\n"), 0o600))
	g.reload()
	if code, _ := ask("/readyz", "joe", "open"); code != 200 ||
		!strings.Contains(g.logged(), "old settings stay") {
		t.Errorf("after a mistake in the file: %d", code)
	}
}
