package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
)

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Sources{File: file}.Load()
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), file, "f.yaml"))
	}
	return c, err
}

func TestNothingSaidMeansDefaults(t *testing.T) {
	for _, text := range []string{"", "# only a comment\n", "---\n", "metrics:\nstrict:\nports:\n"} {
		c, err := load(t, text)
		if err != nil || !reflect.DeepEqual(c, Default()) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
	c, err := Sources{}.Load()
	if err != nil || !reflect.DeepEqual(c, Default()) {
		t.Errorf("no file: %+v, %v", c, err)
	}
}

// TestExampleIsTheDefaults keeps the commented example true and whole.
func TestExampleIsTheDefaults(t *testing.T) {
	const example = "../../../../deploy/ftpalg.yaml"
	c, err := Sources{File: example}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("%s is\n%+v, the defaults are\n%+v", example, c, Default())
	}
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		name := k.name[strings.LastIndex(k.name, ".")+1:]
		if !strings.Contains(string(text), "\n"+name+":") && !strings.Contains(string(text), "  "+name+":") {
			t.Errorf("%s does not show %s", example, k.name)
		}
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	c, err := load(t, `
ports: [21, 2121]
queue: 7
table: fw_ftp
rules: external
helper: ftp-20021
metrics: {address: "[::1]:9000", path: /m}
log: {format: json, level: debug}
active: false
passive: false
external_address: [203.0.113.7, "2001:db8::7"]
internal_networks: [10.0.0.0/8, 192.0.2.1]
any_passive_address: true
fxp_networks:
  - fd00::/8
min_port: 1
max_port: 60000
deny_ports: [3306, 6000 - 6063]
trust_running: true
port_range: 40000 - 40100
pinhole_timeout: 2m
tls: deny
limits:
  {sessions: 1, open: 2, new_per_minute: 3,
   per_client: {sessions: 4, open: 5, new_per_minute: 0, ipv4_prefix: 24, ipv6_prefix: 56,
    commands_per_second: 50, failed_logins_per_minute: 6}}
strict:
  {allow: [retr, LIST], deny: site, read_only: true, max_line: 512, enabled: true, max_trailing: 8,
   wait_for_reply: true, need_crlf: true, direction: true, mask_banner: true, mask_syst: true,
   deny_users: ^ftp$, deny_files: ['\.exe$', "a{1,2}"], reset: true}
policies:
  - {servers: 192.0.2.9, tls: watch, limits: {per_client: {open: 1}}}
  - {clients: [10.0.0.0/8, fd00::/8], servers: [], active: true, strict: {enabled: false, deny: [SITE, DELE]}}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Ports: []uint16{21, 2121}, Queue: 7, Table: "fw_ftp", ExternalRules: true, Helper: "ftp-20021",
		Metrics: Metrics{"[::1]:9000", "/m"}, Log: Log{true, slog.LevelDebug},
		Policy: policy.Policy{
			External4: netip.MustParseAddr("203.0.113.7"), External6: netip.MustParseAddr("2001:db8::7"),
			Internal: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
				netip.MustParsePrefix("192.0.2.1/32")},
			AnyPassiveAddress: true, FXP: []netip.Prefix{netip.MustParsePrefix("fd00::/8")},
			MinPort: 1, MaxPort: 60000, DenyPorts: []policy.PortRange{{First: 3306, Last: 3306},
				{First: 6000, Last: 6063}}, TrustRunning: true, FirstPort: 40000, LastPort: 40100, Timeout: 2 * time.Minute, TLS: policy.TLSDeny,
			Limits: policy.Limits{Total: policy.Limit{Sessions: 1, Open: 2, NewPerMinute: 3},
				PerClient: policy.Limit{Sessions: 4, Open: 5, CommandsPerSecond: 50,
					FailedLoginsPerMinute: 6}, IPv4Bits: 24, IPv6Bits: 56},
			Strict: policy.Strict{Allow: []string{"RETR", "LIST"}, Deny: []string{"SITE"}, ReadOnly: true,
				MaxLine: 512,
				Enabled: true, MaxTrailing: 8, WaitForReply: true, NeedCRLF: true, Direction: true,
				MaskBanner: true, MaskSYST: true,
				DenyUsers: []*regexp.Regexp{regexp.MustCompile(`^ftp$`)},
				DenyFiles: []*regexp.Regexp{regexp.MustCompile(`\.exe$`), regexp.MustCompile(`a{1,2}`)},
				Reset:     true},
		},
	}
	one, two := want.Policy, want.Policy // what is not named is as for all
	one.TLS, one.Limits.PerClient.Open = policy.TLSWatch, 1
	two.Active, two.Strict.Enabled, two.Strict.Deny = true, false, []string{"SITE", "DELE"}
	want.Policies = []policy.Network{
		{Servers: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")}, Policy: one},
		{Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
			Policy: two},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v, want\n%+v", c, want)
	}
}

func TestServicesStandForTheirPorts(t *testing.T) {
	c, err := load(t, "deny_ports: [services, 8080]\n")
	want := append(slices.Clone(policy.Services), policy.PortRange{First: 8080, Last: 8080})
	if err != nil || !slices.Equal(c.Policy.DenyPorts, want) {
		t.Errorf("denied are %v, %v", c.Policy.DenyPorts, err)
	}
	if none, err := load(t, "deny_ports: []\n"); err != nil || len(none.Policy.DenyPorts) > 0 {
		t.Errorf("by default denied are %v, %v", none.Policy.DenyPorts, err)
	}
}

func TestErrorsNameFileLineKeyAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"quue: 1\n", "f.yaml:1: quue: no such key, did you mean queue?; allowed: ports, queue, table, " +
			"rules, helper, metrics, log, limits, active,"},
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
		{"metrics: off\n",
			"f.yaml:1: metrics: this is not a list of keys with values; allowed: address, path"},
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

// env is an environment.
type env map[string]string

func (e env) get(name string) (string, bool) { v, ok := e[name]; return v, ok }

func TestFlagIsStrongerThanVariableThanFileThanDefault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte("ports: [1]\nqueue: 1\ntable: t1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Sources{
		File:  file,
		Env:   env{"FTPALG_PORTS": "2, 3", "FTPALG_QUEUE": "2", "FTPALG_TLS": ""}.get,
		Flags: map[string]string{"ports": "4,5"},
	}.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Ports, want.Queue, want.Table = []uint16{4, 5}, 2, "t1"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestPoliciesInheritWhatIsStrongest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.yaml")
	text := "policies: [{clients: 10.0.0.0/8, active: false}]\ntls: pass\nmin_port: 2000\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Sources{File: file, Env: env{"FTPALG_TLS": "deny", "FTPALG_ACTIVE": "true"}.get}.Load()
	if err != nil || len(c.Policies) != 1 {
		t.Fatal(c.Policies, err)
	}
	if p := c.Policies[0].Policy; p.TLS != policy.TLSDeny || p.MinPort != 2000 || p.Active {
		t.Errorf("got %+v", p)
	}
}

func TestEveryKeyHasAVariable(t *testing.T) {
	c, err := Sources{Env: env{
		"FTPALG_EXTERNAL_ADDRESS": "203.0.113.7,2001:db8::7", "FTPALG_METRICS_ADDRESS": "off",
		"FTPALG_STRICT_READ_ONLY": "true", "FTPALG_LIMITS_SESSIONS": "9",
	}.get}.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Policy.External4, want.Policy.External6 = netip.MustParseAddr("203.0.113.7"),
		netip.MustParseAddr("2001:db8::7")
	want.Metrics.Address, want.Policy.Strict.ReadOnly, want.Policy.Limits.Total.Sessions = "", true, 9
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestFixedNamesWhatARunningProgramCannotChange(t *testing.T) {
	a, b := Default(), Default()
	b.Ports, b.Policy.TLS, b.Log.Level = []uint16{2121}, policy.TLSDeny, slog.LevelDebug
	if got := Fixed(a, b); got != nil {
		t.Errorf("got %v", got)
	}
	b.Queue, b.Metrics.Path = 5, "/m"
	if got := Fixed(a, b); !reflect.DeepEqual(got, []string{"queue", "metrics"}) {
		t.Errorf("got %v", got)
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
