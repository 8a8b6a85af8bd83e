package main

import (
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager stands in for systemd: it owns the socket that NOTIFY_SOCKET names.
type manager struct {
	*net.UnixConn
	t *testing.T
}

func newManager(t *testing.T) manager {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return manager{c, t}
}

// told returns the next thing that it is told, signs of life aside, which it counts.
func (m manager) told() (state string, alive int) {
	m.t.Helper()
	if err := m.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	for b := make([]byte, 4096); ; alive++ {
		n, err := m.Read(b)
		if err != nil {
			m.t.Fatal(err)
		}
		if state = string(b[:n]); !strings.HasPrefix(state, "WATCHDOG=1\n") {
			return state, alive
		}
	}
}

func (m manager) expect(pattern string) {
	m.t.Helper()
	if state, _ := m.told(); !regexp.MustCompile("^(?s:" + pattern + ")$").MatchString(state) {
		m.t.Fatalf("told %q, want %s", state, pattern)
	}
}

// expectAlive reads one sign of life.
func (m manager) expectAlive() {
	m.t.Helper()
	if err := m.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := m.Read(b)
	if want := "WATCHDOG=1\nSTATUS=0 control connections on ports [21]"; err != nil || string(b[:n]) != want {
		m.t.Fatalf("told %q, %v, want %q", b[:n], err, want)
	}
}

func TestServiceManagerIsToldOfEachStep(t *testing.T) {
	newNetns(t)
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "400000")
	file := filepath.Join(t.TempDir(), "f.yaml")
	write(t, file, "metrics: {address: off}\n")
	p := startProcess(t, "run", "--config", file)
	m.expect(`READY=1\nSTATUS=0 control connections on ports \[21\]`)
	p.expect("msg=ready")
	m.expectAlive()
	m.expectAlive()

	write(t, file, "ports: [21, 2121]\nmetrics: {address: off}\n")
	p.signal(unix.SIGHUP)
	m.expect(`RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+`)
	m.expect(`READY=1\nSTATUS=0 control connections on ports \[21 2121\]`)
	p.expect("configuration reloaded")

	write(t, file, "prots: [21]\n")
	p.signal(unix.SIGHUP)
	m.expect(`RELOADING=1\n.*`)
	m.expect(`READY=1\nSTATUS=.* on ports \[21 2121\]`)
	p.expect("the old one stays")

	p.signal(unix.SIGTERM)
	m.expect("STOPPING=1")
	p.expect("msg=stopped")
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

// TestNoSignOfLifeWithoutTheLoop asks for one at times of the test's own.
func TestNoSignOfLifeWithoutTheLoop(t *testing.T) {
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "4000000")
	s, err := newSupervisor(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, after := range []time.Duration{0, time.Second, 1999 * time.Millisecond, 2 * time.Second,
		3 * time.Second} {
		s.alive(0, now.Add(after), func() string { return "well" })
	}
	s.stopping()
	if state, alive := m.told(); alive != 2 || state != "STOPPING=1" {
		t.Errorf("%d signs of life in 3 s for a watchdog of 4 s, then %q", alive, state)
	}
}

func TestWatchdogThatCannotBeReadIsAnError(t *testing.T) {
	newManager(t)
	t.Setenv("WATCHDOG_USEC", "soon")
	if _, err := newSupervisor(nil); err == nil || !strings.Contains(err.Error(), "WATCHDOG_USEC") {
		t.Errorf("%v", err)
	}
}

func TestConfigurationIsCheckedAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.yaml")
	for _, c := range []struct {
		text, want string
		status     int
	}{
		{"ports: [21, 2121]\n", "The configuration is right.\n", 0},
		{"prots: [21]\n", "f.yaml:1: prots: no such key, did you mean ports?", 2},
	} {
		write(t, file, c.text)
		out, err := commandLine("check", "--config-only", "--config", file).CombinedOutput()
		if status := exitStatus(err); status != c.status || !strings.Contains(string(out), c.want) {
			t.Errorf("%q ends with %d: %s", c.text, status, out)
		}
	}
}

// exitStatus is -1 for a program that did not end by itself.
func exitStatus(err error) int {
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return e.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}
