package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUpgradeKeepsSessionsAndConfiguration(t *testing.T) {
	unit(t, logging)
	n := connected(t)
	run(t, "systemctl", "start", service)
	c, before := n.shifted(t), property(t, "MainPID")
	run(t, "dpkg", "-i", "--force-confold", newer)
	wantProperty(t, "ActiveState", "active")
	if property(t, "MainPID") == before {
		t.Error("the old process runs")
	}
	if out := run(t, "ftpalg", "status"); !strings.Contains(out, "1.0.1") {
		t.Errorf("status: %s", out)
	}
	wantFile(t, configuration, logging)
	n.works(t, c)
	n.curl(t)
}

func TestUpgradeStartsNothingThatIsNotAskedFor(t *testing.T) {
	unit(t, "")
	run(t, "dpkg", "-i", "--force-confold", newer)
	wantProperty(t, "ActiveState", "inactive")
	if out, err := try("systemctl", "is-enabled", service); err == nil {
		t.Errorf("it is %s", out)
	}
}

// In place of a configuration that only the new version does not take it has one that neither does.
func TestUpgradeWithAWrongConfigurationLeavesTheRunningOneAlone(t *testing.T) {
	unit(t, "")
	n := connected(t)
	run(t, "systemctl", "start", service)
	c, before := n.shifted(t), property(t, "MainPID")
	write(t, configuration, "prots: [21]\n")
	out := run(t, "dpkg", "-i", "--force-confold", newer)
	if !strings.Contains(out, "did you mean ports?") {
		t.Errorf("dpkg says nothing of it: %s", out)
	}
	wantProperty(t, "ActiveState", "active")
	wantProperty(t, "MainPID", before)
	n.works(t, c)
}

func TestRemovalLeavesTheConfigurationAndPurgeNothing(t *testing.T) {
	unit(t, logging)
	n := connected(t)
	run(t, "systemctl", "enable", "--now", service)
	n.curl(t)
	run(t, "dpkg", "-r", "ftpalg")
	if tableThere() || queueBound(t) {
		t.Error("removed, and the rules or the queue are there")
	}
	if out, _ := try("systemctl", "is-active", service); out != "inactive" {
		t.Errorf("removed, and it is %s", out)
	}
	wantFile(t, configuration, logging)
	run(t, "dpkg", "-P", "ftpalg")
	for _, pattern := range []string{
		"/etc/ftpalg*", "/usr/bin/ftpalg", "/usr/lib/systemd/system/ftpalg*", "/etc/systemd/system/ftpalg*",
		"/etc/systemd/system/*.wants/ftpalg*", "/usr/share/doc/ftpalg", "/usr/share/man/man1/ftpalg*",
		"/var/log/ftpalg", "/var/log/private/ftpalg", "/run/ftpalg", "/var/lib/dpkg/info/ftpalg*",
	} {
		left, err := filepath.Glob(pattern)
		must(t, err)
		for _, file := range left {
			t.Errorf("%s is left behind", file)
		}
	}
	if out := run(t, "nft", "list", "tables"); strings.Contains(out, "ftpalg") {
		t.Errorf("tables: %s", out)
	}
}

func wantFile(t *testing.T, file, want string) {
	t.Helper()
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s is %q, %v, want %q", file, got, err, want)
	}
}
