package probe

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

// load gives the namespace rules by the program that real ones come from.
func load(t *testing.T, n *netnstest.NS, rules string, program ...string) {
	t.Helper()
	if _, err := exec.LookPath(program[0]); err != nil {
		if os.Getenv(netnstest.RequireRootEnv) == "1" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: ", err)
	}
	n.Do(func() {
		c := exec.Command(program[0], program[1:]...)
		c.Stdin = strings.NewReader(rules)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", program, err, out)
		}
	})
}

// firewalld's rules as its service ftp has them, in a zone.
const firewalld = `table inet firewalld {
	ct helper helper-ftp-tcp { type "ftp" protocol tcp; }
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		ct state { established, related } accept
		iifname "lo" accept
		jump filter_INPUT_ZONES
		reject with icmpx admin-prohibited
	}
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
		ct state { established, related } accept
		reject with icmpx admin-prohibited
	}
	chain filter_INPUT_ZONES { iifname vmap { "eth0" : goto filter_IN_public }; goto filter_IN_public; }
	chain filter_IN_public { jump filter_IN_public_allow; }
	chain filter_IN_public_allow {
		tcp dport 21 ct helper set "helper-ftp-tcp"
		tcp dport 21 accept
	}
}`

const helperObject = `ct helper h { type "ftp" protocol tcp; }` + "\n"

// chainOf is a chain of a table, with a policy.
func chainOf(table, declared, hook, priority, policy, rules string) string {
	return "table " + table + " {\n" + declared + "chain c {\n" +
		"type filter hook " + hook + " priority " + priority + "; policy " + policy + ";\n" + rules + "\n}\n}"
}

func rulesCases() []ruleCase {
	forward := func(policy, rules string) string {
		return chainOf("inet f", "", "forward", "filter", policy, rules)
	}
	raw := func(rules string) string { return chainOf("inet r", "", "prerouting", "raw", "accept", rules) }
	mangle := func(priority, rules string) string {
		return chainOf("inet h", helperObject, "prerouting", priority, "accept", rules)
	}
	return []ruleCase{
		{"firewalld's service ftp", firewalld, idFTPHelper, Found, "comes after"},
		{"firewalld accepts related", firewalld, idRelated, Found, ""},
		{"helper object that nothing attaches", "table inet h {\n" + helperObject + "}", idFTPHelper, Found,
			"no nftables rule"},
		{"helper before ours", mangle("-160", `tcp dport 21 ct helper set "h"`), idFTPHelper, Warning,
			"inet h c"},
		{"helper after ours", mangle("-140", `tcp dport 21 ct helper set "h"`), idFTPHelper, Found,
			"inet h c"},
		{"helper for another port", mangle("-160", `tcp dport 2121 ct helper set "h"`), idFTPHelper, Found,
			"no nftables rule"},
		{"helper for a set of ports", mangle("-160", `tcp dport { 20-25, 80 } ct helper set "h"`),
			idFTPHelper, Warning, "inet h c"},
		{"helper for all but a range", mangle("-160", `tcp dport != 20-25 ct helper set "h"`), idFTPHelper,
			Found, "no nftables rule"},

		{"notrack", raw("tcp dport 21 notrack"), idNotrack, Warning, "inet r c"},
		{"notrack of everything", raw("notrack"), idNotrack, Warning, "inet r c"},
		{"notrack of one network", raw("ip saddr 10.0.0.0/8 tcp dport 21 notrack"), idNotrack, Note,
			"rest of the rule"},
		{"notrack of another port", raw("tcp dport 53 notrack"), idNotrack, none, ""},
		{"notrack of another protocol", raw("udp dport 21 notrack"), idNotrack, none, ""},
		{"no notrack for what returned", raw("tcp dport 21 return\nnotrack"), idNotrack, none, ""},

		{"drop without related", forward("drop", "ct state established accept"), idRelated, Warning,
			"ct state related"},
		{"drop with neither", forward("drop", `iifname "lan" accept`), idRelated, Warning,
			"something else accept"},
		{"drop with both", forward("drop", "ct state established,related accept"), idRelated, Found, ""},
		{"drop with both in a map", forward("drop",
			"ct state vmap { established : accept, related : accept, invalid : drop }"), idRelated, Found,
			""},
		{"drop with both for an interface", forward("drop",
			`iifname "wan" ct state established,related accept`), idRelated, Found, ""},
		{"drop by a last rule", forward("accept", "ct state new accept\ndrop"), idRelated, Warning, ""},
		{"reject by a last rule", forward("accept", "reject"), idRelated, Warning, ""},
		{"accept", forward("accept", "tcp dport 23 drop"), idRelated, Found, ""},
		{"drop at input", chainOf("inet f", "", "input", "filter", "drop", "tcp dport 22 accept"), idRelated,
			Note, "this machine itself"},

		{"labels", chainOf("inet l", "", "forward", "0", "accept", "ct label set 3"), idLabels, Note,
			"inet l c"},
		{"zone", raw("ct zone set 7"), idZones, Warning, "inet r c, where ftpalg does not look"},
		{"zone of another port", raw("tcp dport 80 ct zone set 7"), idZones, none, ""},
	}
}

// conflicts is that part of the report.
func conflicts(n *netnstest.NS) Report {
	p := newProber(Options{})
	n.Do(p.conflicts)
	return Report{p.items}
}

// none is that there is no such item.
const none = Status(255)

type ruleCase struct {
	name, rules, id string
	status          Status
	detail          string
}

func wantItem(t *testing.T, r Report, c ruleCase) {
	t.Helper()
	for _, i := range r.Items {
		if i.ID != c.id {
			continue
		}
		if i.Status != c.status || !strings.Contains(i.Detail, c.detail) {
			t.Errorf("%+v, want %v: %s", i, c.status, c.detail)
		}
		return
	}
	if c.status != none {
		t.Errorf("no item %s", c.id)
	}
}

func TestRulesOfOthersAreJudged(t *testing.T) {
	for _, c := range rulesCases() {
		t.Run(c.name, func(t *testing.T) {
			n := netnstest.New(t)
			load(t, n, c.rules, "nft", "-f", "-")
			wantItem(t, conflicts(n), c)
		})
	}
}

func TestRulesOfIptablesAreJudged(t *testing.T) {
	raw := func(rule string) string {
		return "*raw\n:PREROUTING ACCEPT\n-A PREROUTING " + rule + "\nCOMMIT\n"
	}
	forward := func(rules ...string) string {
		return "*filter\n:FORWARD DROP\n:in - \n-A FORWARD -j in\n-A in " +
			strings.Join(rules, "\n-A in ") + "\nCOMMIT\n"
	}
	for _, c := range []ruleCase{
		{"helper", raw("-p tcp --dport 21 -j CT --helper ftp"), idFTPHelper, Warning, "ip raw PREROUTING"},
		{"helper for another port", raw("-p tcp --dport 2121 -j CT --helper ftp"), idFTPHelper, Found,
			"no nftables"},
		{"notrack", raw("-p tcp --dport 21 -j CT --notrack"), idNotrack, Warning, "ip raw PREROUTING"},
		{"notrack of another port", raw("-p tcp --dport 80 -j CT --notrack"), idNotrack, none, ""},
		{"zone", raw("-j CT --zone 5"), idZones, Warning, "ip raw PREROUTING"},
		{"drop without related", forward("-m conntrack --ctstate ESTABLISHED -j ACCEPT",
			"-p tcp --dport 21 -j ACCEPT"), idRelated, Warning, "ip filter FORWARD"},
		{"drop with both", forward("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"), idRelated,
			Found, ""},
		{"drop with both for an interface", forward(
			"-o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"), idRelated, Found, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := netnstest.New(t)
			load(t, n, c.rules, "iptables-nft-restore")
			wantItem(t, conflicts(n), c)
		})
	}
}

func TestTableOfOurOwnIsNoConflict(t *testing.T) {
	n := netnstest.New(t)
	load(t, n, chainOf("inet mine", helperObject, "prerouting", "-150", "accept",
		"tcp dport 21 ct label set 112\ntcp dport 21 ct helper set \"h\""), "nft", "-f", "-")
	r := run(n, Options{Table: "mine"})
	wantItem(t, r, ruleCase{id: idFTPHelper, status: Found, detail: "no nftables rule"})
	wantItem(t, r, ruleCase{id: idLabels, status: none})
}

func TestFlowtablesAreNoted(t *testing.T) {
	n := netnstest.New(t)
	const rules = "table ip o { flowtable ft { hook ingress priority 0; devices = { lo }; }; }"
	var out []byte
	n.Do(func() {
		c := exec.Command("nft", "-f", "-")
		c.Stdin = strings.NewReader(rules)
		out, _ = c.CombinedOutput() // what it says tells
	})
	if strings.Contains(string(out), "No such file or directory") {
		t.Skip("NOT TESTED: this kernel has no flowtables (CONFIG_NF_FLOW_TABLE)")
	}
	wantItem(t, run(n, Options{}), ruleCase{id: idFlowtables, status: Note, detail: "ip o"})
}
