package systemd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long is waited for what must come, in an emulated processor.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	first, _ := os.ReadFile("/proc/1/comm")
	if _, err := os.Stat("/run-tests"); err != nil || string(first) != "systemd\n" {
		fmt.Fprintln(os.Stderr, "these tests change the machine that they run on: test/systemd/run makes one")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const (
	service       = "ftpalg.service"
	unitFile      = "/usr/lib/systemd/system/" + service
	configuration = "/etc/ftpalg.yaml"
	dropIns       = "/etc/systemd/system/" + service + ".d"
)

// The package, and the version that follows it.
var older, newer = deb("1.0.0"), deb("1.0.1")

func deb(version string) string {
	file, _ := filepath.Abs("ftpalg-" + version + ".deb") // fails without a working directory
	return file
}

// unit has the package installed and its service at rest, with that configuration and nothing but these
// lines added to the unit. At the end the service is stopped; nothing may have been forbidden to it.
func unit(t *testing.T, conf string, lines ...string) {
	t.Helper()
	const format = "${db:Status-Status} ${Version}"
	if out, _ := try("dpkg-query", "-W", "-f", format, "ftpalg"); out != "installed 1.0.0" {
		run(t, "dpkg", "-i", "--force-confold", older)
	}
	write(t, configuration, conf)
	if len(lines) > 0 {
		write(t, dropIns+"/test.conf", "[Service]\n"+strings.Join(lines, "\n")+"\n")
		run(t, "systemctl", "daemon-reload")
	}
	j := mark(t)
	t.Cleanup(func() {
		text := j.text()
		for _, word := range []string{"level=ERROR", "not permitted", "ermission denied", "SYS", "panic",
			"invalid length"} {
			if strings.Contains(text, word) {
				t.Errorf("the journal has %q", word)
			}
		}
		if t.Failed() {
			t.Logf("the journal:\n%s", text)
		}
		rest(t)
	})
}

// rest stops the service and takes back what tests change of it.
func rest(t *testing.T) {
	t.Helper()
	_, _ = try("systemctl", "stop", service)         // fails if it is not installed
	_, _ = try("systemctl", "reset-failed", service) // as well
	if _, err := os.Stat(dropIns); err == nil {
		must(t, os.RemoveAll(dropIns))
		run(t, "systemctl", "daemon-reload")
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(text), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
