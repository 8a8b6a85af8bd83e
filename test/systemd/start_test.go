package systemd

import (
	"os"
	"strings"
	"testing"
)

// queueBound tells whether a program has the queue.
func queueBound(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/1/net/netfilter/nfnetlink_queue") // our first thread may be elsewhere
	must(t, err)
	f := strings.Fields(string(text))
	return len(f) > 0 && f[0] == "2121"
}

func tableThere() bool {
	_, err := try("nft", "list", "table", "inet", "ftpalg")
	return err == nil
}

func TestStartEndsWhenQueueAndRulesAreThere(t *testing.T) {
	unit(t, "")
	run(t, "systemctl", "start", service)
	if !queueBound(t) || !tableThere() {
		t.Errorf("started, and the queue is bound: %t, the rules are there: %t", queueBound(t), tableThere())
	}
	wantProperty(t, "ActiveState", "active")
	wantProperty(t, "StatusText", "0 control connections on ports [21]")
	run(t, "systemctl", "stop", service)
	if tableThere() {
		t.Error("stopped, and the rules are there")
	}
}

func TestUnitIsNotActiveBeforeTheProgramSaysSo(t *testing.T) {
	unit(t, "", "UnsetEnvironment=NOTIFY_SOCKET") // it cannot say so
	j := mark(t)
	run(t, "systemctl", "start", "--no-block", service)
	j.await("msg=ready")
	wantProperty(t, "ActiveState", "activating")
}

func TestUnitIsCleanAndTight(t *testing.T) {
	unit(t, "")
	// The pages are there, and the program that shows them is not.
	if out := run(t, "systemd-analyze", "verify", "--man=no", unitFile); out != "" {
		t.Errorf("verify: %s", out)
	}
	if _, err := os.Stat("/usr/share/man/man1/ftpalg.1"); err != nil {
		t.Error(err)
	}
	out := run(t, "systemd-analyze", "security", "--no-pager", "--threshold=15", service)
	lines := strings.Split(out, "\n")
	t.Log(lines[len(lines)-1])
}

// TestDeathsInARowDoNotEndItForGood has another program in its place, which dies faster, and a limit that
// would tell at once.
func TestDeathsInARowDoNotEndItForGood(t *testing.T) {
	unit(t, "", "RestartSec=100ms", "ExecStartPre=", "ExecStart=", "ExecStart=/usr/bin/false",
		"[Unit]", "StartLimitBurst=1")
	j := mark(t)
	_, _ = try("systemctl", "start", "--no-block", service) // the first death may be its answer
	if line := j.await("restart counter is at 4|repeated too quickly"); !strings.Contains(line, "counter") {
		t.Error(line)
	}
}
