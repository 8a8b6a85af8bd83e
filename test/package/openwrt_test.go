package pack

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// started runs start_service of the packaged init script with the packaged configuration, changed by change.
// It returns what procd is told, and the configuration made for the program, which the script has it check.
func started(t *testing.T, change func(string) string) (told, made string) {
	t.Helper()
	ipk := readIpk(t, released(t, *architecture+".ipk"))
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	bin := write("ftpalg", string(ipk.files[program].body), 0o700)
	uci := write("config", change(string(ipk.files["/etc/config/ftpalg"].body)), 0o600)
	script := strings.NewReplacer(program, bin, "/var/etc", dir).Replace(
		string(ipk.files["/etc/init.d/ftpalg"].body))
	c := exec.Command("sh", "-e", "-c", `. ./testdata/openwrt.sh; . "$0"; start_service`,
		write("init", script, 0o600))
	c.Env = append(os.Environ(), "UCI="+uci)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "ftpalg.yaml"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(out), dir, "DIR"), string(b)
}

func TestRouterStartsNothingBeforeItIsEnabled(t *testing.T) {
	if told, made := started(t, func(s string) string { return s }); told != "" || made != "" {
		t.Errorf("procd was told %q, with %q", told, made)
	}
}

func TestRouterMakesTheConfigurationFromItsOwn(t *testing.T) {
	told, made := started(t, func(s string) string {
		s = strings.ReplaceAll(s, "#\toption config_file", "# option config_file")
		s = strings.ReplaceAll(s, "\n#\t", "\n\t")
		return strings.Replace(s, "enabled '0'", "enabled '1'", 1)
	})
	const want = `ports:
  - "21"
external_address:
  - "203.0.113.7"
internal_networks:
  - "192.168.1.0/24"
min_port: "1024"
tls: "pass"
active: true
passive: true
metrics: {address: "off"}
log: {level: "info"}
`
	if made != want {
		t.Errorf("made:\n%s\nwant:\n%s", made, want)
	}
	if !strings.Contains(told, "procd: command DIR/ftpalg run --config DIR/ftpalg.yaml\n") ||
		!strings.Contains(told, "procd: reload_signal HUP\n") {
		t.Errorf("procd was told\n%s", told)
	}
}
