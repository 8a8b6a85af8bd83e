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

// everyKey sets each key to another value than its default.
const everyKey = `
ports: [21, 2121]
queue: 7
table: fw_ftp
rules: external
helper: ftp-20021
events: off
http: {sessions: true, config_file: /etc/web.yml}
socket: {path: /run/x/y, group: adm}
privacy: {users: false, files: false}
metrics: {address: "[::1]:9000", path: /m}
log: {format: json, level: debug, transfers: /var/log/x}
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
adopt: false
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
  - {clients: [10.0.0.0/8, fd00::/8], servers: [], active: true,
     strict: {enabled: false, deny: [SITE, DELE]}}
`

func TestEveryKeyIsRead(t *testing.T) {
	c, err := load(t, everyKey)
	want := Config{
		Ports: []uint16{21, 2121}, Queue: 7, Table: "fw_ftp", ExternalRules: true, Helper: "ftp-20021",
		Metrics: Metrics{"[::1]:9000", "/m"}, Log: Log{true, slog.LevelDebug, "/var/log/x"},
		Socket: Socket{"/run/x/y", "adm"}, HTTP: HTTP{true, "/etc/web.yml"},
		Policy: policy.Policy{
			External4: netip.MustParseAddr("203.0.113.7"), External6: netip.MustParseAddr("2001:db8::7"),
			Internal: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
				netip.MustParsePrefix("192.0.2.1/32")},
			AnyPassiveAddress: true, FXP: []netip.Prefix{netip.MustParsePrefix("fd00::/8")},
			MinPort: 1, MaxPort: 60000,
			DenyPorts: []policy.PortRange{{First: 3306, Last: 3306}, {First: 6000, Last: 6063}},
			FirstPort: 40000, LastPort: 40100, Timeout: 2 * time.Minute,
			TrustRunning: true, TLS: policy.TLSDeny,
			Limits: policy.Limits{Total: policy.Limit{Sessions: 1, Open: 2, NewPerMinute: 3},
				PerClient: policy.Limit{Sessions: 4, Open: 5, CommandsPerSecond: 50,
					FailedLoginsPerMinute: 6}, IPv4Bits: 24, IPv6Bits: 56},
			Strict: policy.Strict{Allow: []string{"RETR", "LIST"}, Deny: []string{"SITE"}, ReadOnly: true,
				MaxLine: 512, Enabled: true, MaxTrailing: 8, WaitForReply: true, NeedCRLF: true,
				Direction: true, MaskBanner: true, MaskSYST: true,
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
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v, %v, want\n%+v", c, err, want)
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
