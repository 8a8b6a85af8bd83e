package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

func TestRulesTellWhetherTheTableIsWholeAndHowOftenItWasRepaired(t *testing.T) {
	m := New([]*alg.Stats{{}}, func() (nfqueue.Stats, error) { return nfqueue.Stats{}, nil }, build.Info{})
	var s ruleset.WatchStats
	s.Whole.Store(true)
	s.Repaired[ruleset.Gone].Add(3)
	m.Rules(&s)
	r := httptest.NewRecorder()
	m.Handler("/metrics").ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"ftpalg_rules_ok 1\n", `ftpalg_rules_repaired_total{found="gone"} 3` + "\n",
		`ftpalg_rules_repaired_total{found="altered"} 0` + "\n", "ftpalg_rules_repairs_failed_total 0\n",
	} {
		if !strings.Contains(r.Body.String(), want) {
			t.Errorf("%q is not there", want)
		}
	}
}
