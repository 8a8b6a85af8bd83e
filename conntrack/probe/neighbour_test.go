package probe

import (
	"io"
	"os/exec"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

// pretend runs a program in the namespace under another name until the end of the test.
func pretend(t *testing.T, n *netnstest.NS, name string, args ...string) {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	c := &exec.Cmd{Path: sh, Args: append([]string{name, "-c", "echo; read x; exit", "sh"}, args...)}
	stdin, err1 := c.StdinPipe()
	stdout, err2 := c.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	n.Do(func() {
		if err := c.Start(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = c.Wait() // the shell says that it could read nothing
	})
	if _, err := io.ReadFull(stdout, make([]byte, 1)); err != nil { // it runs under its name
		t.Fatal(err)
	}
}

func TestDockerProxyOnThePortIsNoted(t *testing.T) {
	n := netnstest.New(t)
	pretend(t, n, "/usr/bin/docker-proxy", "-proto", "tcp", "-host-ip", "0.0.0.0", "-host-port", "21",
		"-container-ip", "172.17.0.2", "-container-port", "21")
	wantItem(t, run(n, Options{}), ruleCase{id: idDockerProxy, status: Note, detail: "port 21"})
	wantItem(t, run(n, Options{Ports: []uint16{2121}}), ruleCase{id: idDockerProxy, status: none})
	elsewhere := netnstest.New(t)
	wantItem(t, run(elsewhere, Options{}), ruleCase{id: idDockerProxy, status: none})
}

func TestMasqueradeOnOneOfAPairIsNoted(t *testing.T) {
	r := netnstest.NewRouter(t)
	pretend(t, r.Gateway, "/usr/sbin/conntrackd", "-C", "/etc/conntrackd/conntrackd.conf")
	wantItem(t, run(r.Gateway, Options{}), ruleCase{id: idPair, status: Note, detail: "inet nat postrouting"})
	pretend(t, r.Server, "conntrackd")
	wantItem(t, run(r.Server, Options{}), ruleCase{id: idPair, status: Found, detail: "no rule masquerades"})
}

func TestConnectionsPickedUpOnOneOfAPairAreNoted(t *testing.T) {
	n := netnstest.New(t)
	pretend(t, n, "/usr/sbin/conntrackd", "-C", "/etc/conntrackd/conntrackd.conf")
	wantItem(t, run(n, Options{}), ruleCase{id: idPickUp, status: Note, detail: "from the middle"})
	n.Sysctl("netfilter/nf_conntrack_tcp_loose", "0")
	wantItem(t, run(n, Options{}), ruleCase{id: idPickUp, status: none})
}

func TestCiliumIsWarnedOf(t *testing.T) {
	n := netnstest.New(t)
	wantItem(t, run(n, Options{}), ruleCase{id: idCilium, status: none})
	n.Do(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "cilium_host"
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "cilium_net"}
		if err := netlink.LinkAdd(veth); err != nil {
			t.Error(err)
		}
	})
	wantItem(t, run(n, Options{}), ruleCase{id: idCilium, status: Warning, detail: "cilium_"})
}

func TestSettingsOfConnectionTrackingAreTold(t *testing.T) {
	n := netnstest.New(t)
	for _, on := range []bool{true, false} {
		value, status := "0", Note
		if on {
			value, status = "1", Found
		}
		n.Sysctl("netfilter/nf_conntrack_events", value)
		n.Sysctl("netfilter/nf_conntrack_acct", value)
		r := run(n, Options{})
		wantItem(t, r, ruleCase{id: idEvents, status: status})
		wantItem(t, r, ruleCase{id: idBytes, status: status})
	}
}

func TestSizesOfTheTablesAreTold(t *testing.T) {
	n := netnstest.New(t)
	r := run(n, Options{Open: 1})
	wantItem(t, r, ruleCase{id: idTable, status: Found, detail: " entries"})
	wantItem(t, r, ruleCase{id: idExpectTable, status: Found, detail: "room for "})
	wantItem(t, run(n, Options{Open: 1 << 30}), ruleCase{id: idExpectTable, status: Note,
		detail: "limits.open"})
	p := &prober{}
	p.sizes(95, 100, -1)
	wantItem(t, Report{p.items}, ruleCase{id: idTable, status: Warning, detail: "95 of 100"})
}

func TestEveryItemHasItsRowInTheTable(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if c.ID == "" || c.Name == "" || c.Meaning == "" || seen[c.ID] {
			t.Errorf("%+v", c)
		}
		seen[c.ID] = true
	}
	for _, i := range run(netnstest.New(t), Options{}).Items {
		if !seen[i.ID] {
			t.Errorf("no row: %+v", i)
		}
	}
}
