package systemd

import (
	"testing"
	"time"
)

// TestProgramThatHangsIsReplaced stops the process, as what hangs does nothing either.
func TestProgramThatHangsIsReplaced(t *testing.T) {
	unit(t, "")
	n := connected(t)
	run(t, "systemctl", "start", service)
	c := n.shifted(t)
	j, before, begin := mark(t), property(t, "MainPID"), time.Now()
	run(t, "systemctl", "kill", "--kill-who=main", "--signal=STOP", service)
	j.await(`ftpalg\.service: Watchdog timeout`)
	noticed := time.Since(begin)
	j.await("msg=ready")
	t.Logf("noticed after %s, at work again after %s", noticed, time.Since(begin))
	if noticed > 40*time.Second { // WatchdogSec, and what the emulation takes
		t.Error("that is longer than WatchdogSec")
	}
	wantProperty(t, "NRestarts", "1")
	if now := property(t, "MainPID"); now == before || now == "0" {
		t.Errorf("its process is %s, was %s", now, before)
	}
	if r, err := c.Cmd("NOOP"); err != nil || !r.OK() {
		t.Errorf("NOOP: %s, %v", r, err)
	}
	n.works(t, c)
}

func TestWrongConfigurationDoesNotStart(t *testing.T) {
	const wrong, message = "prots: [21]\n", "ftpalg.yaml:1: prots: no such key, did you mean ports?"
	unit(t, wrong)
	j := mark(t)
	refused(t, "systemctl", "start", service)
	j.await(message)
	if tableThere() {
		t.Error("the rules are there")
	}
	// It is tried again, and so comes up by itself.
	write(t, configuration, "")
	j.await("msg=ready")
}

func TestWrongConfigurationLeavesTheRunningOneAlone(t *testing.T) {
	const wrong, message = "prots: [21]\n", "ftpalg.yaml:1: prots: no such key, did you mean ports?"
	unit(t, "")
	n := connected(t)
	run(t, "systemctl", "start", service)
	c := n.shifted(t)
	j, before := mark(t), property(t, "MainPID")
	write(t, configuration, wrong)
	refused(t, "systemctl", "reload", service)
	j.await(message)
	wantProperty(t, "ActiveState", "active")
	wantProperty(t, "MainPID", before)
	n.works(t, c)
}

func TestFlushedRulesetIsRepaired(t *testing.T) {
	unit(t, "")
	n := connected(t)
	run(t, "systemctl", "start", service)
	c, before := n.shifted(t), property(t, "MainPID")
	for _, flush := range [][]string{
		{"nft", "flush", "ruleset"},
		{"systemctl", "restart", "nftables"},
		{"systemctl", "stop", "nftables"},
		{"systemctl", "start", "nftables"},
	} {
		j := mark(t)
		run(t, flush[0], flush[1:]...)
		t.Log(flush, j.await("were damaged and are repaired"))
		if !tableThere() {
			t.Errorf("%v: the rules are not there", flush)
		}
	}
	n.works(t, c)
	n.curl(t)
	wantProperty(t, "MainPID", before)
	wantProperty(t, "PartOf", "")
}
