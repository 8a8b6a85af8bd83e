package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
)

func TestProcessCanDoNoMoreThanItMust(t *testing.T) {
	r := routed(t, (*lab.Lab).Firewall)
	// The kernel prints the bytes of an address as a number of this processor, and the port as a number.
	at := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32([]byte{127, 0, 0, 1}), 9821)
	for _, c := range []struct{ metrics, listens string }{{"", ""}, {"127.0.0.1:9821", at}} {
		t.Run("metrics at "+c.metrics, func(t *testing.T) {
			g := startGateway(t, r.Gateway, "--metrics-address", c.metrics)
			for _, thread := range g.threads() {
				wantRestricted(t, thread)
			}
			if got := strings.Join(listening(t, g.cmd.Process.Pid), " "); got != c.listens {
				t.Errorf("it listens on %q, want %q", got, c.listens)
			}
			g.stop()
		})
	}
}

// wantRestricted checks the status of a thread.
func wantRestricted(t *testing.T, status string) {
	t.Helper()
	text, err := os.ReadFile(status)
	must(t, err)
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	admin := fmt.Sprintf("%016x", 1<<unix.CAP_NET_ADMIN)
	none := fmt.Sprintf("%016x", 0)
	for key, want := range map[string]string{
		"CapEff": admin, "CapPrm": admin, "CapBnd": admin, "CapInh": none, "CapAmb": none, "NoNewPrivs": "1",
	} {
		if fields[key] != want {
			t.Errorf("%s: %s is %q, want %q", status, key, fields[key], want)
		}
	}
}

// listening lists what a process' network has of sockets to which others can send, as /proc does.
func listening(t *testing.T, process int) (local []string) {
	t.Helper()
	const listen, anyState = "0A", ""
	for file, state := range map[string]string{
		"tcp": listen, "tcp6": listen, "udp": anyState, "udp6": anyState, "raw": anyState, "raw6": anyState,
	} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", process, file))
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); f[0] != "sl" && (state == anyState || f[3] == state) {
				local = append(local, f[1])
			}
		}
	}
	return local
}
