package systemd

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
)

const (
	transfers = "/var/log/ftpalg/transfers.json"
	logging   = "log: {transfers: " + transfers + "}\n"
)

// TestAllOfItWorksInTheUnit has the unit as it is, and one in which the program dies of the first system
// call that the unit forbids, where the kernel only says no else, and nobody would see it.
func TestAllOfItWorksInTheUnit(t *testing.T) {
	for name, lines := range map[string][]string{
		"as shipped":            nil,
		"with death for denial": {"SystemCallErrorNumber=kill"},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.RemoveAll("/var/log/private/ftpalg"))
			unit(t, logging, lines...)
			n := connected(t)
			run(t, "systemctl", "start", service)
			n.curl(t)
			c := n.shifted(t)
			wantAnswers(t)
			wantTransfers(t)
			wantReload(t, n, c)

			before := property(t, "MainPID")
			run(t, "systemctl", "restart", service)
			if now := property(t, "MainPID"); now == before {
				t.Errorf("process %s is still there", now)
			}
			n.works(t, c)
			n.curl(t)
			run(t, "systemctl", "stop", service)
			wantProperty(t, "Result", "success")
		})
	}
}

// wantAnswers asks the running program on its socket and by HTTP.
func wantAnswers(t *testing.T) {
	t.Helper()
	run(t, "ftpalg", "status", "--quiet")
	if out := run(t, "ftpalg", "sessions"); !strings.Contains(out, "10.0.0.2:") {
		t.Errorf("sessions: %s", out)
	}
	for path, want := range map[string]string{
		"metrics": "\nftpalg_control_sessions 1\n", "readyz": "", "healthz": "", "": "<html",
	} {
		until(t, "/"+path+" has "+want, func() bool { // sessions before may not have ended yet
			return strings.Contains(run(t, "curl", "-sSf", "http://127.0.0.1:9821/"+path)+"\n", want)
		})
	}
}

// wantTransfers reads the log of transfers, which is written as they end, and has it begun anew.
func wantTransfers(t *testing.T) {
	t.Helper()
	line := await(t, `"dialled":"203.0.113.67:21"`, "tail", "--lines=+1", "--follow", transfers)
	var entry struct{ Command, Arg string }
	must(t, json.Unmarshal([]byte(line), &entry))
	if entry.Command != "RETR" || entry.Arg != "file" {
		t.Errorf("the log of transfers has %s", line)
	}
	must(t, os.Rename(transfers, transfers+".1"))
}

// wantReload reloads with another policy for the session, and then with the first.
func wantReload(t *testing.T, n *network, c *ftptest.Client) {
	t.Helper()
	j, before := mark(t), property(t, "MainPID")
	write(t, configuration, "active: false\n"+logging)
	run(t, "systemctl", "reload", service)
	j.await("configuration reloaded")
	if got, err := c.Get(ftptest.PORT, "file"); err == nil {
		t.Errorf("active mode is off: %s", got.Done)
	}
	if _, err := c.Get(ftptest.EPSV, "file"); err != nil {
		t.Errorf("passive mode: %v", err)
	}
	if _, err := os.Stat(transfers); err != nil {
		t.Errorf("the log of transfers is not begun anew: %v", err)
	}
	until(t, "systemd tells of the session", func() bool {
		return property(t, "StatusText") == "1 control connections on ports [21]"
	})
	j = mark(t)
	write(t, configuration, logging)
	run(t, "systemctl", "reload", service)
	j.await("configuration reloaded")
	wantProperty(t, "ActiveState", "active")
	wantProperty(t, "MainPID", before)
	n.works(t, c)
}

// successor writes a unit like the package's own for a second instance.
func successor(t *testing.T, name, flags string) {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	must(t, err)
	file := "/etc/systemd/system/" + name + ".service"
	write(t, file, strings.NewReplacer(
		"ftpalg run", "ftpalg run "+flags,
		"Directory=ftpalg", "Directory="+name,
		"/run/ftpalg/", "/run/"+name+"/",
	).Replace(string(text)))
	run(t, "systemctl", "daemon-reload")
	t.Cleanup(func() {
		_, _ = try("systemctl", "stop", name) // it may have ended
		_, _ = try("systemctl", "reset-failed", name)
		must(t, os.Remove(file))
		run(t, "systemctl", "daemon-reload")
	})
}

func TestSecondUnitIsRefusedOrTakesOver(t *testing.T) {
	unit(t, "")
	n := connected(t)
	run(t, "systemctl", "start", service)
	c := n.shifted(t)

	// Neither sees the other's process: they are of two users.
	successor(t, "second", "")
	j := mark(t)
	refused(t, "systemctl", "start", "second")
	j.await("belongs to process " + property(t, "MainPID") + " ")
	run(t, "systemctl", "stop", "second")
	n.works(t, c)

	successor(t, "next", "--takeover")
	run(t, "systemctl", "start", "next")
	j.await(`ftpalg\.service: Deactivated successfully`)
	wantProperty(t, "Result", "success")
	run(t, "ftpalg", "status", "--quiet", "--socket", "/run/next/ftpalg.sock")
	n.works(t, c)
	n.curl(t)
}
