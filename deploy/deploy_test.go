// Package deploy holds what is needed to deploy the program; its tests keep that
// in step with the program.
package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// documents decodes all documents of a YAML file.
func documents(t *testing.T, file string) []map[string]any {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader([]byte(read(t, file))))
	var docs []map[string]any
	for {
		var doc map[string]any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		docs = append(docs, doc)
	}
}

// at follows keys into maps and, where there is a list, its first entry.
func at(t *testing.T, v any, keys ...string) any {
	t.Helper()
	for _, k := range keys {
		if list, ok := v.([]any); ok && len(list) > 0 {
			v = list[0]
		}
		m, ok := v.(map[string]any)
		if !ok || m[k] == nil {
			t.Fatalf("no %s in %v", k, v)
		}
		v = m[k]
	}
	return v
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	g, _ := yaml.Marshal(got)
	w, _ := yaml.Marshal(want)
	if !bytes.Equal(g, w) {
		t.Errorf("%s is %swant %s", what, g, w)
	}
}

func TestComposeGivesNetAdminAndNothingElse(t *testing.T) {
	s := at(t, documents(t, "compose.yaml")[0], "services", "ftpalg")
	equal(t, "cap_drop", at(t, s, "cap_drop"), []string{"ALL"})
	equal(t, "cap_add", at(t, s, "cap_add"), []string{"NET_ADMIN"})
	equal(t, "network_mode", at(t, s, "network_mode"), "host")
	equal(t, "read_only", at(t, s, "read_only"), true)
	if _, err := os.Stat("../" + at(t, s, "build", "dockerfile").(string)); err != nil {
		t.Error(err)
	}
}

func TestDaemonSetGivesNetAdminAndNothingElse(t *testing.T) {
	docs := documents(t, "kubernetes/ftpalg.yaml")
	pod := at(t, docs[len(docs)-1], "spec", "template", "spec")
	equal(t, "hostNetwork", at(t, pod, "hostNetwork"), true)
	security := at(t, pod, "containers", "securityContext")
	equal(t, "capabilities", at(t, security, "capabilities"),
		map[string][]string{"drop": {"ALL"}, "add": {"NET_ADMIN"}})
	equal(t, "readOnlyRootFilesystem", at(t, security, "readOnlyRootFilesystem"), true)
	equal(t, "selector", at(t, docs[len(docs)-1], "spec", "selector", "matchLabels"),
		at(t, docs[len(docs)-1], "spec", "template", "metadata", "labels"))
}

func TestUnitGivesNetAdminAndNothingElse(t *testing.T) {
	unit := read(t, "ftpalg.service")
	for _, want := range []string{
		"Type=notify", "CapabilityBoundingSet=CAP_NET_ADMIN", "AmbientCapabilities=CAP_NET_ADMIN",
		"NoNewPrivileges=yes",
		"ProtectSystem=strict", "MemoryDenyWriteExecute=yes", "StartLimitIntervalSec=0",
		"ExecReload=/usr/bin/ftpalg check --config-only --config /etc/ftpalg.yaml\n" +
			"ExecReload=/usr/bin/kill -HUP $MAINPID",
	} {
		if !strings.Contains(unit, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}

func TestEachWayToRunHasAPlaceForTheSocket(t *testing.T) {
	unit := read(t, "ftpalg.service")
	for _, want := range []string{
		"RuntimeDirectory=ftpalg", "Environment=FTPALG_SOCKET_PATH=/run/ftpalg/ftpalg.sock",
		"RestrictAddressFamilies=AF_NETLINK AF_INET AF_INET6 AF_UNIX", "LogsDirectory=ftpalg",
	} {
		if !strings.Contains(unit, "\n"+want+"\n") {
			t.Errorf("the unit has no %s", want)
		}
	}
	compose := at(t, documents(t, "compose.yaml")[0], "services", "ftpalg")
	equal(t, "tmpfs of compose", at(t, compose, "tmpfs"), []any{"/run"})
	server := at(t, documents(t, "compose.yaml")[0], "services", "ftp")
	equal(t, "what the example's server publishes", at(t, server, "ports"), []any{"21:21"})
	read(t, at(t, server, "build").(string)+"/Containerfile")
	if !strings.Contains(read(t, "kubernetes/ftpalg.yaml"), "{name: run, mountPath: /run}") {
		t.Error("the DaemonSet has no volume at /run")
	}
}

// TestAlertsNameMetricsAndReasonsThatExist compares with the metrics' own golden file.
func TestAlertsNameMetricsAndReasonsThatExist(t *testing.T) {
	const rulesFile = "prometheus/ftpalg.rules.yaml"
	documents(t, rulesFile)
	rules, metrics := read(t, rulesFile)+read(t, "grafana/ftpalg.json"),
		read(t, "../cmd/ftpalg/internal/metrics/testdata/metrics.golden")
	for _, name := range regexp.MustCompile(`ftpalg_[a-z_]+`).FindAllString(rules, -1) {
		if !strings.Contains(metrics, "\n"+name+" ") && !strings.Contains(metrics, "\n"+name+"{") {
			t.Errorf("no metric %s", name)
		}
	}
	for _, m := range regexp.MustCompile(`reason=~"([a-z_|]+)"`).FindAllStringSubmatch(rules, -1) {
		for _, reason := range strings.Split(m[1], "|") {
			if !known(reason) {
				t.Errorf("no reason %s", reason)
			}
		}
	}
	for _, m := range regexp.MustCompile(`outcome=~?"([a-z_|]+)"`).FindAllStringSubmatch(rules, -1) {
		for _, outcome := range strings.Split(m[1], "|") {
			if !slices.Contains(fate.Outcomes[:], outcome) {
				t.Errorf("no outcome %s", outcome)
			}
		}
	}
}

func known(reason string) bool {
	_, ok := policy.Named(reason)
	return ok
}
