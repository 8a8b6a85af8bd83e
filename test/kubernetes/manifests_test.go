package kubernetes

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	stream "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const base = "../../deploy/kubernetes"

// kinds makes an object of each kind that the manifests have.
var kinds = map[string]func() meta.Object{
	"v1 Namespace":                        func() meta.Object { return &core.Namespace{} },
	"v1 ConfigMap":                        func() meta.Object { return &core.ConfigMap{} },
	"v1 Service":                          func() meta.Object { return &core.Service{} },
	"apps/v1 DaemonSet":                   func() meta.Object { return &apps.DaemonSet{} },
	"networking.k8s.io/v1 NetworkPolicy":  func() meta.Object { return &networking.NetworkPolicy{} },
	"monitoring.coreos.com/v1 PodMonitor": func() meta.Object { return &monitoring.PodMonitor{} },
}

// kustomization is what is used of a kustomization.
type kustomization struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Namespace  string   `json:"namespace,omitempty"`
	Resources  []string `json:"resources,omitempty"`
	Components []string `json:"components,omitempty"`
}

// objects decodes the documents of a file; an unknown field or kind fails.
func objects(t *testing.T, file string) (all []meta.Object) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(base, file))
	if err != nil {
		t.Fatal(err)
	}
	for r := stream.NewYAMLReader(bufio.NewReader(bytes.NewReader(b))); ; {
		doc, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var kind meta.TypeMeta
		if err := yaml.Unmarshal(doc, &kind); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		made := kinds[kind.APIVersion+" "+kind.Kind]
		if made == nil {
			t.Fatalf("%s: the kind %s of %q is not known", file, kind.Kind, kind.APIVersion)
		}
		object := made()
		if err := yaml.UnmarshalStrict(doc, object); err != nil {
			t.Errorf("%s: %s: %v", file, kind.Kind, err)
		}
		all = append(all, object)
	}
}

func one[T meta.Object](t *testing.T, file string) (found T) {
	t.Helper()
	n := 0
	for _, o := range objects(t, file) {
		if is, ok := o.(T); ok {
			found = is
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%s has %d objects of the kind %T", file, n, found)
	}
	return found
}

func TestEachFileIsDecodedAndNamedByAKustomization(t *testing.T) {
	for dir, want := range map[string][]string{
		".": {"ftpalg.yaml"}, "monitoring": {"podmonitor.yaml"}, "example": {"client.yaml", "server.yaml"},
	} {
		b, err := os.ReadFile(filepath.Join(base, dir, "kustomization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var k kustomization
		if err := yaml.UnmarshalStrict(b, &k); err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		if !slices.Equal(k.Resources, want) {
			t.Errorf("%s names %q, want %q", dir, k.Resources, want)
		}
		for _, file := range k.Resources {
			if len(objects(t, filepath.Join(dir, file))) == 0 {
				t.Errorf("%s is empty", file)
			}
		}
	}
}

func TestGatewayIsProbedAndWatched(t *testing.T) {
	set := one[*apps.DaemonSet](t, "ftpalg.yaml")
	pod := set.Spec.Template
	c := pod.Spec.Containers[0]
	if p := c.LivenessProbe; p == nil || p.HTTPGet == nil || p.HTTPGet.Path != "/healthz" {
		t.Errorf("the liveness probe is %v", p)
	}
	if p := c.ReadinessProbe; p == nil || p.HTTPGet == nil || p.HTTPGet.Path != "/readyz" {
		t.Errorf("the readiness probe is %v", p)
	}
	if !pod.Spec.HostNetwork {
		t.Error("it has not the network of the node")
	}
	m := one[*monitoring.PodMonitor](t, "monitoring/podmonitor.yaml")
	for k, v := range m.Spec.Selector.MatchLabels {
		if pod.Labels[k] != v {
			t.Errorf("the PodMonitor wants %s=%s, the pods have %q", k, v, pod.Labels[k])
		}
	}
	if m.Namespace != set.Namespace || len(m.Spec.Selector.MatchLabels) == 0 {
		t.Errorf("the PodMonitor looks for %v in %s", m.Spec.Selector.MatchLabels, m.Namespace)
	}
	if p := m.Spec.PodMetricsEndpoints[0].Port; p == nil || *p != c.Ports[0].Name {
		t.Errorf("the PodMonitor asks the port %v, the container has %s", p, c.Ports[0].Name)
	}
}

func TestExampleOpensPort21Only(t *testing.T) {
	service := one[*core.Service](t, "example/server.yaml")
	if len(service.Spec.Ports) != 1 || service.Spec.Ports[0].Port != 21 {
		t.Errorf("the service has the ports %v", service.Spec.Ports)
	}
	if service.Spec.ExternalTrafficPolicy != core.ServiceExternalTrafficPolicyLocal {
		t.Error("another node may masquerade the client")
	}
	in := one[*networking.NetworkPolicy](t, "example/server.yaml").Spec.Ingress
	out := one[*networking.NetworkPolicy](t, "example/client.yaml").Spec.Egress
	if len(in) != 1 || len(in[0].Ports) != 1 || in[0].Ports[0].Port.IntValue() != 21 {
		t.Errorf("the server lets in %v", in)
	}
	if len(out) != 1 || len(out[0].Ports) != 1 || out[0].Ports[0].Port.IntValue() != 21 {
		t.Errorf("the client is let out to %v", out)
	}
}
