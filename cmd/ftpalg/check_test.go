package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
)

// dropForwarded is a firewall that lets no data connection pass.
func dropForwarded(t *testing.T) {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	drop := nftables.ChainPolicyDrop
	c.AddChain(&nftables.Chain{Name: "forward", Type: nftables.ChainTypeFilter, Policy: &drop,
		Table:   c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "filter"}),
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter})
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}

// checkJSON runs the check and wants its exit status to be that of what it tells.
func checkJSON(t *testing.T, c *exec.Cmd, want api.Level) found {
	t.Helper()
	out, err := c.Output()
	var f found
	if jsonErr := json.Unmarshal(out, &f); jsonErr != nil {
		t.Fatalf("%v, %v: %s", jsonErr, err, out)
	}
	if code := c.ProcessState.ExitCode(); code != int(want) || f.Health != want || f.Version != api.Version {
		t.Errorf("exit status %d, health %v, version %d: want %v", code, f.Health, f.Version, want)
	}
	return f
}

func (f found) check(id string) judged {
	for _, c := range f.Checks {
		if c.ID == id {
			return c
		}
	}
	return judged{}
}

func TestCheckTellsByItsExitCode(t *testing.T) {
	newNetns(t)
	f := checkJSON(t, commandLine("check", "--json"), api.OK)
	if c := f.check("related_accept"); c.Status != "found" || c.Name == "" {
		t.Errorf("%+v", c)
	}
	for _, c := range f.Checks {
		if !slices.Contains(ids(pages()), c.ID) {
			t.Errorf("%s is not explained", c.ID)
		}
	}
	dropForwarded(t)
	f = checkJSON(t, commandLine("check", "--json"), api.Warning)
	if c := f.check("related_accept"); c.Status != "warning" ||
		c.Remedy != "nft insert rule inet filter forward ct state established,related accept" {
		t.Errorf("%+v", c)
	}

	c := commandLine("check", "--json") // as in a container without the capability
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.Args = append([]string{"setpriv", "--bounding-set", "-net_admin", program}, c.Args[1:]...)
	c.Path, c.Err = exec.LookPath("setpriv")
	f = checkJSON(t, c, api.Failing)
	if c := f.check("nftables"); c.Status != "missing" || !c.Required ||
		!strings.HasPrefix(c.Remedy, "add the capability: root has no CAP_NET_ADMIN here") {
		t.Errorf("%+v", c)
	}
}

func TestEveryCheckOfTheStatusIsExplained(t *testing.T) {
	newNetns(t)
	socket := filepath.Join(t.TempDir(), "s")
	p := startProcess(t, "run", "--socket-path", socket)
	p.expect("msg=ready")
	defer p.stop()
	out, err := commandLine("status", "--json", "--socket", socket).Output()
	var s api.Status
	if jsonErr := json.Unmarshal(out, &s); jsonErr != nil || len(s.Checks) == 0 {
		t.Fatalf("%v, %v: %s", jsonErr, err, out)
	}
	for _, c := range s.Checks {
		if !slices.Contains(ids(pages()), c.ID) {
			t.Errorf("%s is not explained", c.ID)
		}
	}
}
