package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketIsTakenOverAndItsAbsenceIsNoFailure(t *testing.T) {
	newNetns(t)
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	first := startProcess(t, "run", "--metrics-address", "", "--socket-path", socket)
	first.expect("msg=ready")
	file := filepath.Join(dir, "second.yaml")
	write(t, file, "table: second\nqueue: 7\nports: [2121]\n")
	second := startProcess(t, "run", "--metrics-address", "", "--socket-path", socket, "--config", file)
	if line := second.expect("no socket for"); !strings.Contains(line, "another program listens on") {
		t.Error(line)
	}
	second.expect("msg=ready")
	first.stop()
	second.expect("the socket is there now")
	out, err := commandLine("status", "--socket", socket).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ports [2121]: ok") {
		t.Errorf("%v: %s", err, out)
	}
	second.stop()
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is left behind")
	}

	third := startProcess(t, "run", "--metrics-address", "", "--socket-path", filepath.Join(dir, "none", "s"))
	third.expect("no such file or directory")
	third.expect("msg=ready")
	third.stop()
}
