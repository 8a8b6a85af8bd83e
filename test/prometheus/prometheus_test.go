// Package prometheus tests the rules and the dashboard in deploy with the real Prometheus, which scrapes a
// real gateway.
package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/build"
	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

const (
	patience = 60 * time.Second
	// Addresses on the gateway, a network namespace of its own.
	metricsAt    = "127.0.0.1:9821"
	prometheusAt = "127.0.0.1:9090"

	rulesFile = "../../deploy/prometheus/ftpalg.rules.yaml"
	testsFile = "../../deploy/prometheus/ftpalg.test.yaml"
)

// program is the gateway, built from this checkout.
var program string

func TestMain(m *testing.M) { os.Exit(build.Main(m, &program)) }

// tool finds a program of Debian's package prometheus.
func tool(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(os.Getenv("FTPALG_PEERS"), "usr/bin", name)
	if _, err := os.Stat(file); err == nil {
		return file
	}
	file, err := exec.LookPath(name)
	if err == nil {
		return file
	}
	const what = "%s is not installed: run test/peers and set FTPALG_PEERS to what it prints"
	if os.Getenv("FTPALG_REQUIRE_ROOT") == "1" {
		t.Fatalf(what, name)
	}
	t.Skipf("SKIPPED, NOT TESTED: "+what, name)
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scene is a gateway with some traffic, and a Prometheus beside it.
type scene struct {
	t       *testing.T
	gateway *lab.Host
	program *lab.Cmd
	http    *http.Client
}

func newScene(t *testing.T) *scene {
	t.Helper()
	prometheus := tool(t, "prometheus")
	r, err := lab.NewT(t).ClientBehindNAT()
	must(t, err)
	r.Rules.Input = nil // Prometheus is asked from this machine
	must(t, r.SetRules())
	s := &scene{t: t, gateway: r.Gateway, http: &http.Client{
		Transport: &http.Transport{DialContext: r.Gateway.DialContext}, Timeout: patience,
	}}
	s.program = s.start(program, "run", "--metrics-address", metricsAt, "--socket-path", "")
	s.await(metricsAt, "/readyz")
	s.transfer(r)

	dir := t.TempDir()
	rules, err := filepath.Abs(rulesFile)
	must(t, err)
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\n"+
		"scrape_configs: [{job_name: ftpalg, static_configs: [{targets: [%q]}]}]\n", rules, metricsAt)
	must(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o644))
	s.start(prometheus, "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path",
		filepath.Join(dir, "data"), "--web.listen-address", prometheusAt, "--log.level", "warn")
	s.await(prometheusAt, "/-/ready")
	return s
}

// start runs a program on the gateway until the lab is closed.
func (s *scene) start(name string, args ...string) *lab.Cmd {
	s.t.Helper()
	c := s.gateway.Command(context.Background(), name, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	must(s.t, c.Start())
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	s.t.Cleanup(func() {
		_ = c.Process.Kill()
		<-ended
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s", name, &out)
		}
	})
	return c
}

// get returns the page, or "" with its status.
func (s *scene) get(at, path string) (string, int) {
	answer, err := s.http.Get("http://" + at + path)
	if err != nil {
		return "", 0
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", 0
	}
	return string(b), answer.StatusCode
}

func (s *scene) await(at, path string) {
	s.t.Helper()
	s.until(at+path+" is there", func() bool {
		_, status := s.get(at, path)
		return status == http.StatusOK
	})
}

// until waits for what becomes so by itself.
func (s *scene) until(what string, so func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// transfer has files fetched, and a command refused.
func (s *scene) transfer(r *lab.Routed) {
	s.t.Helper()
	at := r.Server.AddrPort(false, lab.ControlPort)
	server := &ftptest.Server{Network: r.Server, Timeout: patience}
	server.Put("small", ftptest.Random(1000, 1))
	must(s.t, server.Start(at))
	s.t.Cleanup(func() { _ = server.Close() })
	c, err := ftptest.Dial(s.t.Context(), r.Client, at)
	must(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	c.Timeout = patience
	must(s.t, c.Login("u", "p"))
	for _, m := range []ftptest.Mode{ftptest.PORT, ftptest.PASV, ftptest.EPSV} {
		if _, err := c.Get(m, "small"); err != nil {
			s.t.Fatalf("%v: %v", m, err)
		}
	}
	_, err = c.Cmd("PORT 10,0,13,9,200,10") // somebody else's address
	must(s.t, err)
}

// api asks Prometheus.
func (s *scene) api(path string, into any) {
	s.t.Helper()
	page, status := s.get(prometheusAt, "/api/v1/"+path)
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal([]byte(page), &answer); err != nil || answer.Status != "success" {
		s.t.Fatalf("%s: %d, %v: %s", path, status, err, page)
	}
	must(s.t, json.Unmarshal(answer.Data, into))
}

// series is how many the query gives.
func (s *scene) series(query string) int {
	s.t.Helper()
	var data struct{ Result []json.RawMessage }
	s.api("query?query="+url.QueryEscape(query), &data)
	return len(data.Result)
}
