package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// metered has the gateway tell its counters, within its own host.
const metered = "--metrics-address=127.0.0.1:9821"

// counter reads one of a gateway that is metered, as in refused("low_port").
func (g *gateway) counter(t testing.TB, name string) int {
	t.Helper()
	client := http.Client{Timeout: patience,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: g.host.DialContext}}
	_, address, _ := strings.Cut(metered, "=")
	r, err := client.Get("http://" + address + "/metrics")
	must(t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "ftpalg_"+name+" "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			must(t, err)
			return n
		}
	}
	t.Fatalf("no counter %s in\n%s", name, text)
	return 0
}

func refused(reason string) string { return fmt.Sprintf("refusals_total{reason=%q}", reason) }

// counts checks that a counter grows by this.
func (g *gateway) counts(t testing.TB, name string, by int, f func()) {
	t.Helper()
	was := g.counter(t, name)
	f()
	if got := g.counter(t, name) - was; got != by {
		t.Errorf("%s grew by %d, want %d", name, got, by)
	}
}
