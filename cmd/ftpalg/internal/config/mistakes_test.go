package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestErrorsNameFileLineKeyAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"quue: 1\n", "f.yaml:1: quue: no such key, did you mean queue?; " +
			"allowed: ports, queue, workers, table, rules, helper, events, zones, metrics, http, " +
			"socket, privacy, log, limits,"},
		{"\nxyzzy: 1\n", "f.yaml:2: xyzzy: no such key; allowed: ports, "},
		{"metrics:\n  adress: x\n", "f.yaml:2: metrics.adress: no such key, did you mean address?; " +
			"allowed: address, path"},
		{"queue: 65536\n", "f.yaml:1: queue: 65536 is out of range; allowed: 0 to 65535"},
		{"queue: many\n", `f.yaml:1: queue: "many" is not a number; allowed: 0 to 65535`},
		{"queue: [1]\n", "f.yaml:1: queue: this is not a single value; allowed: 0 to 65535"},
		{"queue: {a: 1}\n", "f.yaml:1: queue: this is not a single value"},
		{"queue: 1\nqueue: 2\n", "f.yaml:2: queue: it is in line 1 already; allowed: each key once"},
		{"ports: []\n", "f.yaml:1: ports: no port; allowed: one or more ports from 1 to 65535"},
		{"ports: [21, 0]\n", "f.yaml:1: ports: 0 is out of range"},
		{"ports: [21, [22]]\n", "f.yaml:1: ports: an entry of the list is not a single value"},
		{"ports: [21, 21]\n", `f.yaml:1: ports: "21" is there twice`},
		{"zones: [5, 0]\n", "f.yaml:1: zones: 0 is out of range; allowed: numbers of conntrack zones, " +
			"from 1 to 65535, or any; zone 0 always counts"},
		{"zones: [5, any]\n", `f.yaml:1: zones: "any" is not a number; allowed: numbers`},
		{"zones: [5, 5]\n", `f.yaml:1: zones: "5" is there twice`},
		{"zones: all\n", `f.yaml:1: zones: "all" is not a number; allowed: numbers`},
		{"table: in et\n", `f.yaml:1: table: "in et" is not a name; allowed: 1 to 31 letters`},
		{"rules: mine\n", `f.yaml:1: rules: "mine" is not one of them; allowed: managed, external`},
		{"helper: a_very_long_helper\n", "f.yaml:1: helper: "},
		{"active: yes\n", `f.yaml:1: active: "yes" is not one of them; allowed: true, false`},
		{"tls: on\n", `f.yaml:1: tls: "on" is not one of them; allowed: pass, watch, deny`},
		{"external_address: 203.0.113\n",
			`f.yaml:1: external_address: "203.0.113" is not an IP address; ` +
				"allowed: an IPv4 address, an IPv6 address"},
		{"external_address: 127.0.0.1\n", "f.yaml:1: external_address: 127.0.0.1 is not an address that " +
			"others can connect to"},
		{"external_address: [192.0.2.1, 192.0.2.2]\n",
			"f.yaml:1: external_address: 192.0.2.2 is a second address of its kind"},
		{"internal_networks: 10.0.13.5/24\n",
			"f.yaml:1: internal_networks: 10.0.13.5/24 has bits set behind its prefix: the network is " +
				"10.0.13.0/24"},
		{"fxp_networks: lan\n", `f.yaml:1: fxp_networks: "lan" is not a network; allowed: networks as in`},
		{"metrics: {address: 9821}\n",
			`f.yaml:1: metrics.address: "9821" is not an address with a port; ` +
				"allowed: an address with a port"},
		{"metrics: {address: 127.0.0.300:1}\n", `f.yaml:1: metrics.address: "127.0.0.300" is not an address`},
		{"metrics: {address: \":0\"}\n", "f.yaml:1: metrics.address: port 0 is out of range"},
		{"metrics: {path: metrics}\n", `f.yaml:1: metrics.path: "metrics" is not a path`},
		{"metrics: off\n", "f.yaml:1: metrics: this is not a list of keys with values; allowed: address"},
		{"socket: {path: run/x}\n", `f.yaml:1: socket.path: "run/x" is not the path of a socket; allowed:`},
		{"socket: {group: \"a b\"}\n", `f.yaml:1: socket.group: "a b" is not a name`},
		{"log:\n  level: loud\n",
			`f.yaml:2: log.level: "loud" is not one of them; allowed: debug, info, warn, error`},
		{"port_range: 50000-40000\n", "f.yaml:1: port_range: 50000 is above 40000; allowed: FIRST-LAST"},
		{"port_range: 80-90\n", "f.yaml:1: port_range: 80 is out of range"},
		{"deny_ports: [80, x]\n", `f.yaml:1: deny_ports: "x" is not a number; allowed: ports and ranges`},
		{"deny_ports: [70-60]\n", "f.yaml:1: deny_ports: 70 is above 60"},
		{"deny_ports: [0]\n", "f.yaml:1: deny_ports: 0 is out of range"},
		{"deny_ports: [services, services]\n", `f.yaml:1: deny_ports: "services" is there twice`},
		{"max_port: 0\n", "f.yaml:1: max_port: 0 is out of range; allowed: 1 to 65535"},
		{"port_range: 50000\n", `f.yaml:1: port_range: "50000" is not a range`},
		{"pinhole_timeout: 60\n",
			`f.yaml:1: pinhole_timeout: "60" is not a duration in whole seconds; allowed: 1s to 1h0m0s`},
		{"pinhole_timeout: 2h\n", "f.yaml:1: pinhole_timeout: 2h0m0s is out of range"},
		{"limits: {sessions: -1}\n", "f.yaml:1: limits.sessions: -1 is out of range; allowed: 0 to " +
			"1000000000 (0: no limit)"},
		{"strict: {deny: [SITE CHMOD]}\n", `f.yaml:1: strict.deny: "SITE CHMOD" is not a command`},
		{"strict: {deny_files: [\"(a\"]}\n",
			`f.yaml:1: strict.deny_files: "(a" is not a regular expression; ` +
				"allowed: regular expressions (RE2)"},
		{"strict: {deny_users: [a, a]}\n", `f.yaml:1: strict.deny_users: "a" is there twice`},
		{"strict: {deny_users: ''}\n", "f.yaml:1: strict.deny_users: an empty pattern fits everything"},
		{"strict: {max_trailing: -1}\n", "f.yaml:1: strict.max_trailing: -1 is out of range"},
		{"strict: {enabled: asa}\n",
			`f.yaml:1: strict.enabled: "asa" is not one of them; allowed: true, false`},
		{"policies: {clients: 10.0.0.0/8}\n",
			"f.yaml:1: policies: this is not a list; " +
				"allowed: a list of entries with clients, servers or both"},
		{"policies:\n- 10.0.0.0/8\n", "f.yaml:2: policies[0]: this is not a list of keys with values; " +
			"allowed: clients, servers, active, "},
		{"policies:\n- active: false\n", "f.yaml:2: policies[0]: it names neither clients nor servers; " +
			"allowed: networks for one of them"},
		{"policies:\n- clients: 10.0.0.1/8\n",
			"f.yaml:2: policies[0].clients: 10.0.0.1/8 has bits set behind its prefix"},
		{"policies:\n- {clients: \"::1\"}\n- clients: ::1\n  strict: {denny: SITE}\n",
			"f.yaml:4: policies[1].strict.denny: no such key, did you mean deny?"},
		{"policies:\n- clients: ::1\n  queue: 5\n", "f.yaml:3: policies[0].queue: no such key"},
		{"policies:\n- clients: ::1\n  limits: {sessions: 5}\n",
			"f.yaml:3: policies[0].limits.sessions: no such key; allowed: per_client"},
		{"policies:\n- clients: ::1\n  policies: []\n", "f.yaml:3: policies[0].policies: no such key"},
		{"- 21\n", "f.yaml:1: this is not a list of keys with values; allowed: ports"},
		{"queue: 1\n---\nqueue: 2\n", "f.yaml:2: a second document begins here; allowed: one document"},
		{"queue: 1\nbad: :: [\n", "f.yaml:2: not YAML: "},
		{"queue: \"1\n", "not YAML: "},
	} {
		_, err := load(t, c.text)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) &&
			!(strings.HasPrefix(c.want, "not") && strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestAllErrorsAreReportedAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte("queue: x\ntls: y\nports: [0, 99999]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Sources{File: file, Env: env{"FTPALG_LOG_LEVEL": "loud"}.get,
		Flags: map[string]string{"rules": "none"}}.Load()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		":1: queue: ", ":2: tls: ", ":3: ports: 0 ", ":3: ports: 99999 ",
		`FTPALG_LOG_LEVEL: "loud" is not one of them; allowed: debug, info, warn, error`,
		`--rules: "none" is not one of them; allowed: managed, external`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}

func TestMissingFileIsAnError(t *testing.T) {
	if _, err := (Sources{File: "/nonexistent/f.yaml"}).Load(); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// FuzzParse feeds any bytes: every error names the file, and what is accepted can be used.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../../../../deploy/ftpalg.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	for _, s := range []string{"a: &x [1]\nports: *x\n", "ports: &p [*p]\n", "metrics: &m\n  <<: *m\n",
		"? [a]\n: b\n", "queue: !!int 5\n", "strict: {allow: [a,b]}", "\xff", "queue: 1\n---\n",
		"policies: &p [*p]\n", "policies: [{clients: 10.0.0.0/8, active: false}]\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Default()
		r := &reader{file: "f.yaml", keys: keys, c: &c}
		if err := errors.Join(r.parse(text), r.readPolicies()); err != nil {
			for _, what := range problems(err) {
				if !strings.HasPrefix(what, "f.yaml:") {
					t.Errorf("%q does not name the file", what)
				}
			}
			return
		}
		p := c.Policy
		if len(c.Ports) == 0 || c.Table == "" || c.Helper == "" || p.MinPort == 0 || p.FirstPort < 1024 ||
			p.FirstPort > p.LastPort ||
			p.Timeout < time.Second || p.External4.Is6() || p.External6.Is4() ||
			p.Limits.Total.Sessions < 0 || !strings.HasPrefix(c.Metrics.Path, "/") {
			t.Errorf("accepted %+v", c)
		}
	})
}
