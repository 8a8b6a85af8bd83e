package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// asProgram makes the test binary be the program.
const asProgram = "FTPALG_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// patience bounds every wait.
const patience = 20 * time.Second

// newNetns puts the test into a network namespace of its own. Its thread is not
// used by others any more.
func newNetns(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		const why = "NOT TESTED: a network namespace needs root"
		if os.Getenv("FTPALG_REQUIRE_ROOT") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
}

// process is the program, running in the network namespace of the test.
type process struct {
	*exec.Cmd
	t   *testing.T
	log *bufio.Scanner
}

func commandLine(args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", args...)
	ours := func(v string) bool { return strings.HasPrefix(v, "FTPALG_") }
	c.Env = append(slices.DeleteFunc(os.Environ(), ours), asProgram+"=1", "FTPALG_SOCKET_PATH=off")
	return c
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	c := commandLine(args...)
	out, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	return &process{Cmd: c, t: t, log: bufio.NewScanner(out)}
}

// expect returns the next line of the log, which must hold the text.
func (p *process) expect(text string) string {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() { _ = p.Process.Signal(unix.SIGQUIT) }) // it tells where it is
	defer timer.Stop()
	if !p.log.Scan() || !strings.Contains(p.log.Text(), text) {
		first := p.log.Text()
		_ = p.Process.Signal(unix.SIGQUIT)
		for p.log.Scan() {
			p.t.Log(p.log.Text())
		}
		p.t.Fatalf("logged %q, want %q; what came after is above", first, text)
	}
	return p.log.Text()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop ends it as a service manager does.
func (p *process) stop() {
	p.t.Helper()
	p.signal(unix.SIGTERM)
	p.expect("msg=stopped")
	if err := p.Wait(); err != nil {
		p.t.Error(err)
	}
}

// fails runs the program to its end, which must be a failure, and returns what it says.
func fails(t *testing.T, args ...string) string {
	t.Helper()
	out, err := commandLine(args...).CombinedOutput()
	if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.ExitCode() != 1 {
		t.Errorf("%v ended with %v: %s", args, err, out)
	}
	return string(out)
}

// ports returns the ports in the table; nil if there is no table.
func ports(t *testing.T) []string {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	set, err := c.GetSetByName(&nftables.Table{Family: nftables.TableFamilyINet, Name: "ftpalg"}, "ports")
	if err != nil {
		return nil
	}
	elements, err := c.GetSetElements(set)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range elements {
		all = append(all, strconv.Itoa(int(e.Key[0])<<8|int(e.Key[1])))
	}
	slices.Sort(all)
	return all
}

func wantPorts(t *testing.T, want ...string) {
	t.Helper()
	if got := ports(t); !slices.Equal(got, want) {
		t.Errorf("the table has ports %v, want %v", got, want)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRunWithoutConfiguration(t *testing.T) {
	newNetns(t)
	p := startProcess(t, "run")
	ready := p.expect("msg=ready")
	chosen := regexp.MustCompile(`version=\S+ ports=\[21\] queue=2121 workers=1 queueing=(native|xt) ` +
		`helper=\S+ helper_kind=(own|carrier) `)
	if !chosen.MatchString(ready) {
		t.Errorf("the first line does not say what was chosen: %s", ready)
	}
	wantPorts(t, "21")
	wantCapabilities(t, p.Process.Pid)
	for _, want := range []string{"\nftpalg_queue_waiting_packets 0\n", "\nftpalg_control_sessions 0\n",
		"\nprocess_open_fds "} {
		if page := get(t, "127.0.0.1:9821"); !strings.Contains(page, want) {
			t.Errorf("no %q in the metrics: %s", want, page)
		}
	}
	owner := "belongs to process " + strconv.Itoa(p.Process.Pid)
	if out := fails(t, "run", "--metrics-address", "off"); !strings.Contains(out, owner) {
		t.Errorf("a second one says %s", out)
	}
	wantPorts(t, "21")
	p.stop()
	wantPorts(t)
}

// wantCapabilities looks at every thread.
func wantCapabilities(t *testing.T, pid int) {
	t.Helper()
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, file := range threads {
		status, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"CapPrm:\t0000000000001000", "CapEff:\t0000000000001000",
			"CapInh:\t0000000000000000", "CapBnd:\t0000000000001000", "NoNewPrivs:\t1"} {
			if !bytes.Contains(status, []byte(want)) {
				t.Errorf("%s is without %s", file, want)
			}
		}
	}
}

// get asks by hand, because an HTTP client dials from another thread.
func get(t *testing.T, addr string) string { t.Helper(); return getPage(t, addr, "/metrics") }

func getPage(t *testing.T, addr, path string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestReloadTakesAGoodFileAndKeepsTheOldForABadOne(t *testing.T) {
	newNetns(t)
	file := filepath.Join(t.TempDir(), "f.yaml")
	write(t, file, "ports: [21]\nmetrics: {address: off}\n")
	p := startProcess(t, "run", "--config", file)
	p.expect("msg=ready")

	write(t, file, "ports: [21, 2121]\nmetrics: {address: off}\nlog: {level: warn}\nqueue: 7\n")
	p.signal(unix.SIGHUP)
	p.expect(`changes that wait for a restart`)
	wantPorts(t, "21", "2121")

	write(t, file, "ports: [21]\nmetrics: {adress: off}\n")
	p.signal(unix.SIGHUP)
	if line := p.expect("the old one stays"); !strings.Contains(line,
		"f.yaml:2: metrics.adress: no such key") {
		t.Error(line)
	}
	wantPorts(t, "21", "2121")

	write(t, file, "ports: [990]\nmetrics: {address: off}\n")
	p.signal(unix.SIGHUP)
	p.expect("configuration reloaded")
	wantPorts(t, "990")
	p.stop()
}

func TestExternalRulesAreLeftAlone(t *testing.T) {
	newNetns(t)
	p := startProcess(t, "run", "--rules", "external", "--metrics-address", "")
	p.expect("rules=external")
	wantPorts(t)
	p.stop()
}

func TestFailedStartLeavesNothingBehind(t *testing.T) {
	newNetns(t)
	l, err := net.Listen("tcp", "127.0.0.1:9821")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if out := fails(t, "run"); !strings.Contains(out, "serve metrics: ") ||
		!strings.Contains(out, "--metrics-address") {
		t.Error(out)
	}
	wantPorts(t)
	if out := fails(t, "run", "--helper", "nosuchhelper", "--metrics-address", "off"); !strings.Contains(out,
		"install nftables table ftpalg") {
		t.Error(out)
	}
	wantPorts(t)
}

func TestKilledProgramIsFollowedByAnother(t *testing.T) {
	newNetns(t)
	first := startProcess(t, "run")
	first.expect("msg=ready")
	first.signal(unix.SIGKILL)
	_ = first.Wait() // it was killed
	wantPorts(t, "21")
	second := startProcess(t, "run")
	second.expect("msg=ready")
	second.stop()
	wantPorts(t)
}

func TestCheckAndRulesAgreeWithRun(t *testing.T) {
	newNetns(t)
	out, err := commandLine("check").Output()
	if err != nil || !bytes.Contains(out, []byte("found    nftables ")) ||
		!bytes.Contains(out, []byte("sequence_offsets")) {
		t.Errorf("check: %v, %s", err, out)
	}
	out, err = commandLine("rules", "--ports", "21,2121", "--queue", "9").Output()
	if err != nil || !bytes.Contains(out, []byte("table inet ftpalg {")) ||
		!bytes.Contains(out, []byte("elements = { 21, 2121 }")) || !bytes.Contains(out, []byte("to 9\n")) {
		t.Errorf("rules: %v, %s", err, out)
	}
	wantPorts(t)
}
