package prometheus

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rule is one of Prometheus.
type rule struct{ Record, Alert, Expr string }

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	must(t, yaml.Unmarshal(b, into))
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var f struct{ Groups []struct{ Rules []rule } }
	readYAML(t, rulesFile, &f)
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// panel is one of the dashboard; a row is one too.
type panel struct {
	ID      int
	Type    string
	Title   string
	Targets []struct{ Expr string }
}

func dashboard(t *testing.T) (all []panel) {
	t.Helper()
	b, err := os.ReadFile("../../deploy/grafana/ftpalg.json")
	must(t, err)
	var d struct{ Panels []panel }
	must(t, json.Unmarshal(b, &d))
	return d.Panels
}

func TestDashboardHasItsRows(t *testing.T) {
	var rows []string
	seen := map[int]bool{}
	for _, p := range dashboard(t) {
		switch {
		case seen[p.ID] || p.Title == "":
			t.Errorf("%+v: its id is another's, or it has no title", p)
		case p.Type == "row":
			rows = append(rows, p.Title)
		case len(p.Targets) == 0:
			t.Errorf("%s asks nothing", p.Title)
		}
		seen[p.ID] = true
	}
	want := []string{"Health", "Sessions", "Doors and their fate", "Refusals", "Latency", "Kernel limits"}
	if !slices.Equal(rows, want) {
		t.Errorf("%q, want %q", rows, want)
	}
}

func TestPromtoolAcceptsTheRulesAndTheirTests(t *testing.T) {
	promtool := tool(t, "promtool")
	for _, args := range [][]string{{"check", "rules", rulesFile}, {"test", "rules", testsFile}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestEachAlertIsTestedFiringAndNotFiring(t *testing.T) {
	var f struct {
		Tests []struct {
			Cases []struct {
				Name   string `yaml:"alertname"`
				Alerts []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readYAML(t, testsFile, &f)
	fires, rests := map[string]bool{}, map[string]bool{}
	for _, one := range f.Tests {
		for _, c := range one.Cases {
			fires[c.Name] = fires[c.Name] || len(c.Alerts) > 0
			rests[c.Name] = rests[c.Name] || len(c.Alerts) == 0
		}
	}
	for _, r := range rules(t) {
		if r.Alert != "" && (!fires[r.Alert] || !rests[r.Alert]) {
			t.Errorf("%s: tested firing %v, not firing %v", r.Alert, fires[r.Alert], rests[r.Alert])
		}
	}
}

// compared is what an alert compares with a number.
var compared = regexp.MustCompile(`^(.+) (?:==|>|<) [0-9.]+$`)

// queries are those of the rules and the dashboard, by where they stand.
func queries(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, r := range rules(t) {
		if r.Alert == "" {
			all["record "+r.Record] = r.Record
			continue
		}
		m := compared.FindStringSubmatch(r.Expr)
		if m == nil {
			t.Fatalf("%s: %q compares nothing with a number", r.Alert, r.Expr)
		}
		all["alert "+r.Alert] = m[1]
	}
	variables := strings.NewReplacer("$instance", ".*", "$__rate_interval", "1m")
	for _, p := range dashboard(t) {
		for _, q := range p.Targets {
			all["panel "+p.Title+": "+q.Expr] = variables.Replace(q.Expr)
		}
	}
	return all
}

func TestEveryQueryHasSeriesOfARealGateway(t *testing.T) {
	s := newScene(t)
	s.until("the gateway is scraped twice",
		func() bool { return s.series(`count_over_time(up[1m]) > 1`) == 1 })
	for where, query := range queries(t) {
		s.until(where+" has series", func() bool { return s.series(query) > 0 })
	}
	if n := s.series("ftpalg_no_such_metric"); n != 0 {
		t.Errorf("a metric that is none has %d series: the test proves nothing", n)
	}
	if n := s.series(`ftpalg_refusals_total{reason="foreign_address"} == 1`); n != 1 {
		t.Errorf("the refusal is not counted")
	}
	if n := s.series(`sum(ftpalg_expectations_total) == 3`); n != 1 {
		t.Errorf("not three ports were opened")
	}

	page, _ := s.get(metricsAt, "/metrics")
	c := exec.Command(tool(t, "promtool"), "check", "metrics")
	c.Stdin = strings.NewReader(page)
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}

	s.wantAlerts()
	must(t, s.program.Process.Kill())
	s.until("the alert that it is down is pending", func() bool { return s.pending("FtpalgDown") })
}

// wantAlerts wants every rule to be evaluated, and no alert of a gateway that is well. On a slow machine one
// that it is slow may be pending.
func (s *scene) wantAlerts() {
	s.t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	s.api("rules", &data)
	n := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			if n++; r.Health != "ok" || r.State == "firing" {
				s.t.Errorf("%+v", r)
			}
		}
	}
	if want := len(rules(s.t)); n != want {
		s.t.Errorf("%d rules, want %d", n, want)
	}
}

func (s *scene) pending(alert string) bool {
	var data struct {
		Alerts []struct{ Labels map[string]string }
	}
	s.api("alerts", &data)
	for _, a := range data.Alerts {
		if a.Labels["alertname"] == alert {
			return true
		}
	}
	return false
}
