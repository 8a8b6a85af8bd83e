package metrics

import (
	"errors"
	"flag"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

var update = flag.Bool("update", false, "write the golden file anew")

func metricsOf(s *alg.Stats) *Metrics {
	queue := func() (nfqueue.Stats, error) {
		return nfqueue.Stats{Waiting: 3, QueueDropped: 4, UserDropped: 5}, nil
	}
	m := New([]*alg.Stats{s}, queue, build.Info{Version: "v1", Revision: "abc", GoVersion: "go1"})
	m.Unseen(func() (uint64, error) { return 6, nil })
	m.Rules(&ruleset.WatchStats{})
	m.Kernel(Limits{told(1, nil), told(2, nil), told(3, nil), told(4, nil)})
	m.Transfers(func() uint64 { return 3 }, func() uint64 { return 4 })
	return m
}

func told(n int, err error) func() (int, error) { return func() (int, error) { return n, err } }

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler("/metrics").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestNamesFollowTheConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(metricsOf(&alg.Stats{}).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "ftpalg_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// TestNamesStay compares names, types, labels and texts: dashboards and alerts rest on them.
func TestNamesStay(t *testing.T) {
	const golden = "testdata/metrics.golden"
	var got strings.Builder
	for _, l := range strings.SplitAfter(scrape(t, metricsOf(&alg.Stats{})), "\n") {
		if strings.Contains(l, "ftpalg_") {
			got.WriteString(l)
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the metrics differ from %s; if that is meant run the test with -update. Got:\n%s", golden,
			&got)
	}
}

func TestCountersAreReadAtTheScrape(t *testing.T) {
	var s alg.Stats
	m := metricsOf(&s)
	s.Packets[alg.Rewrite].Add(7)
	s.Refused[policy.ForeignAddress].Add(2)
	s.Refused[policy.Unparsed].Add(1)
	s.Opened[dialogue.EPSV].Add(6)
	s.Replies[2].Add(9)
	s.Sessions.Store(5)
	m.Overruns.Add(8)
	m.Latency[0].Observe(20*time.Microsecond, false)
	text := scrape(t, m)
	for _, want := range []string{
		`ftpalg_packets_total{verdict="rewrite"} 7`,
		`ftpalg_refusals_total{reason="foreign_address"} 2`,
		`ftpalg_refusals_total{reason="unparsed"} 1`,
		`ftpalg_expectations_total{mode="epsv"} 6`,
		`ftpalg_replies_total{class="2xx"} 9`,
		`ftpalg_control_sessions 5`,
		`ftpalg_transfers_logged_total 3`, `ftpalg_transfers_unlogged_total 4`,
		`ftpalg_queue_overruns_total 8`,
		`ftpalg_packet_seconds_bucket{since="reading",le="2.5e-05"} 1`,
		`ftpalg_packet_seconds_count{since="arrival"} 0`,
		`ftpalg_queue_user_dropped_total 5`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	for _, want := range []string{`(?m)^go_goroutines \d`, `(?m)^process_open_fds \d`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("nothing like %s", want)
		}
	}
}

func TestQueueThatTheKernelDoesNotTellOfIsLeftOut(t *testing.T) {
	for _, err := range []error{fs.ErrNotExist, errors.New("permission denied")} {
		silent := func() (nfqueue.Stats, error) { return nfqueue.Stats{}, err }
		m := New([]*alg.Stats{{}}, silent, build.Info{})
		if text := scrape(t, m); strings.Contains(text, "ftpalg_queue_dropped_total") ||
			!strings.Contains(text, "ftpalg_packets_total") {
			t.Errorf("%v: %s", err, text)
		}
	}
}

func TestTablesThatTheKernelDoesNotTellOfAreLeftOut(t *testing.T) {
	m := New([]*alg.Stats{{}}, func() (nfqueue.Stats, error) { return nfqueue.Stats{}, nil }, build.Info{})
	m.Kernel(Limits{told(0, nil), told(1, fs.ErrNotExist), told(1, fs.ErrPermission), told(9, nil)})
	text := scrape(t, m)
	if strings.Contains(text, "ftpalg_conntrack_entries_limit") ||
		strings.Contains(text, "ftpalg_kernel_expectations ") ||
		!strings.Contains(text, "\nftpalg_conntrack_entries 0\n") ||
		!strings.Contains(text, "\nftpalg_kernel_expectations_limit 9\n") {
		t.Error(text)
	}
}

func TestObservingAllocatesNothing(t *testing.T) {
	m := metricsOf(&alg.Stats{})
	if n := testing.AllocsPerRun(100, func() { m.Latency[0].Observe(10*time.Microsecond, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
