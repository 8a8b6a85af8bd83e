package probe

import (
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

func TestZonesOfControlConnectionsAreJudged(t *testing.T) {
	const all, one, some = "ct zone set 7", "tcp dport 21 ct zone set 7", `iifname "a" ct original zone set 7`
	const mapped = `ct zone set iifname map { "a" : 5, "b" : 6 }`
	for _, c := range []struct {
		name, rules string
		options     Options
		tells       bool
		status      Status
		detail, fix string
	}{
		{"not configured", all, Options{}, false, Warning, "ftpalg does not look", "zones: [7]"},
		{"not configured, told", all, Options{}, true, Warning, "ftpalg does not look", "zones: any"},
		{"another one", all, Options{Zones: []uint16{9}}, false, Warning, "does not look", "zones: [7, 9]"},
		{"another one, told", all, Options{Zones: []uint16{9}}, true, Found, "the kernel tells", ""},
		{"named", all, Options{Zones: []uint16{7}}, false, Found, "cannot be told apart", ""},
		{"any", all, Options{AnyZone: true}, true, Found, "inet r c, where ftpalg follows them", ""},
		{"any, not told", all, Options{AnyZone: true}, false, Warning, "does not look", "zones: [7]"},
		{"any, not told, no rule", "accept", Options{AnyZone: true}, false, Warning, "does not tell",
			"zones: [5, 6]"},
		{"control connections alone", one, Options{AnyZone: true}, true, Warning, "data connections are not",
			"all TCP"},
		{"an interface", some, Options{}, true, Note, "if the rest of the rule is met", "zones: any"},
		{"interfaces", mapped, Options{Zones: []uint16{5}}, false, Found, "named", ""},
		{"none", "accept", Options{}, false, none, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := netnstest.New(t)
			load(t, n, chainOf("inet r", "", "prerouting", "raw", "accept", c.rules), "nft", "-f", "-")
			p := newProber(c.options)
			p.tells = c.tells
			n.Do(p.conflicts)
			wantItem(t, Report{p.items}, ruleCase{id: idZones, status: c.status, detail: c.detail})
			for _, i := range p.items {
				if i.ID == idZones && (!strings.Contains(i.Fix, c.fix) || c.fix == "" && i.Fix != "") {
					t.Errorf("to do: %q, want %q", i.Fix, c.fix)
				}
			}
		})
	}
}
