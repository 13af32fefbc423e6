package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// tunnelAPI is an API server of a federation, as far as an agent's manifest needs it.
type tunnelAPI struct {
	*api
	clusters map[string]*v1beta1.KubeFedCluster
	// address is the ConfigMap of the tunnel; nil if there is none.
	address *corev1.ConfigMap
	made    []corev1.Secret
}

func newTunnelAPI(t *testing.T) *tunnelAPI {
	t.Helper()
	a := &tunnelAPI{api: &api{}, clusters: map[string]*v1beta1.KubeFedCluster{
		"m1": {Spec: v1beta1.KubeFedClusterSpec{Tunnel: v1beta1.TunnelAlways}},
		"m2": {},
		"a.shop": {ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.TopologyLabel: "cell"}},
			Spec: v1beta1.KubeFedClusterSpec{Tunnel: v1beta1.TunnelAlways}},
	}}
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	a.address = &corev1.ConfigMap{Data: map[string]string{
		"addresses": "koinon.example:6445\n[2001:db8::1]:443", "ca.crt": string(pemOf(a.Certificate().Raw)) + string(pemOf(a.Certificate().Raw)),
	}}
	use(t, a.kubeconfig())
	return a
}

func (a *tunnelAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	const core, kubefed = "/api/v1/namespaces/kube-federation-system/", "/apis/core.kubefed.io/v1beta1/namespaces/kube-federation-system/kubefedclusters/"
	cluster := a.clusters[strings.TrimPrefix(r.URL.Path, kubefed)]
	switch {
	case r.Method == http.MethodPost && r.URL.Path == core+"secrets":
		var secret corev1.Secret
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &secret)
		a.made = append(a.made, secret)
		_, _ = w.Write(body)
	case r.URL.Path == core+"configmaps/koinon-tunnel" && a.address != nil:
		_ = json.NewEncoder(w).Encode(a.address)
	case cluster != nil:
		_ = json.NewEncoder(w).Encode(cluster)
	default:
		fail(w, answer{http.StatusNotFound, "not found"})
	}
}

func TestTheManifestOfAnAgent(t *testing.T) {
	server := newTunnelAPI(t)
	stdout, stderr, err := run(t, "agent", "m1", "--image", "registry.example/agent:v1", "--agent-namespace", "elsewhere")
	if err != nil || stderr != "" {
		t.Fatalf("got %v, and it said %s", err, stderr)
	}
	if len(server.made) != 1 || server.made[0].Type != agentaccess.TokenType || string(server.made[0].Data["cluster"]) != "m1" {
		t.Fatalf("made %v, want one token for m1", server.made)
	}
	var namespaces, kinds []string
	for document := range strings.SplitSeq(stdout, "\n---\n") {
		var object struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
		}
		decode(t, document, &object)
		kinds = append(kinds, object.Kind)
		if object.Kind == "Namespace" {
			object.Namespace = object.Name
		}
		namespaces = append(namespaces, object.Namespace)
		switch object.Kind {
		case "Secret":
			var secret corev1.Secret
			decode(t, document, &secret)
			if id, _, _ := strings.Cut(secret.StringData["token"], "."); server.made[0].Name != "agent-token-"+id {
				t.Errorf("the token's id is %q, and made was %s", id, server.made[0].Name)
			}
		case "StatefulSet":
			var set appsv1.StatefulSet
			decode(t, document, &set)
			checkAgent(t, set.Spec.Template.Spec.Containers[0])
		}
	}
	if got := strings.Join(kinds, " "); got != "Namespace ServiceAccount Secret StatefulSet" {
		t.Errorf("it has %s", got)
	}
	if got := slices.Compact(namespaces); len(got) != 1 || got[0] != "elsewhere" {
		t.Errorf("it is in %v", got)
	}
}

func checkAgent(t *testing.T, container corev1.Container) {
	t.Helper()
	if container.Image != "registry.example/agent:v1" {
		t.Errorf("the image is %q", container.Image)
	}
	args := strings.Join(container.Args, " ")
	if !strings.HasPrefix(args, "--cluster=m1 --server=koinon.example:6445 --server=[2001:db8::1]:443 --ca-pin=sha256:") || strings.Count(args, "--ca-pin=sha256:") != 2 {
		t.Errorf("its arguments are %s", args)
	}
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func TestAMemberThatIsNotReachedThroughItsAgentIsNoted(t *testing.T) {
	newTunnelAPI(t)
	_, stderr, err := run(t, "agent", "m2", "--image", "i:1", "--server", "other:1")
	if err != nil || !strings.Contains(stderr, `note: the KubeFedCluster "m2" does not say spec.tunnel: Always`) {
		t.Errorf("got %v, and it said %s", err, stderr)
	}
}

func TestWhatNoAgentIsMadeOf(t *testing.T) {
	for args, want := range map[string]string{
		"":                                       "the name of one KubeFedCluster is needed",
		"m1 m2 --image i:1":                      "the name of one KubeFedCluster is needed",
		"m1":                                     `--image is "": it must be the reference of a container image that has koinon-agent`,
		"M1 --image i:1":                         `"M1" is no name of a cluster`,
		"m3 --image i:1":                         `there is no KubeFedCluster "m3" in namespace "kube-federation-system"`,
		"a.shop --image i:1":                     `the KubeFedCluster "a.shop" stands for a cell`,
		"m1 --image i:1 --server koinon.example": `the address of the tunnel "koinon.example" must be HOST:PORT`,
		"m1 --image i:1 --token-lifetime 0s":     "--token-lifetime is 0s",
		"m1 --image i:1 --agent-namespace A":     `--agent-namespace is "A"`,
	} {
		server := newTunnelAPI(t)
		stdout, _, err := run(t, append([]string{"agent"}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
		if stdout != "" || len(server.made) != 0 {
			t.Errorf("%s: it printed %q, and made %v", args, stdout, server.made)
		}
	}
}

func TestAServerWithoutATunnelMakesNoToken(t *testing.T) {
	server := newTunnelAPI(t)
	server.address = nil
	_, _, err := run(t, "agent", "m1", "--image", "i:1")
	if err == nil || !strings.Contains(err.Error(), "the server has no tunnel") || len(server.made) != 0 {
		t.Errorf("got %v, and made %v", err, server.made)
	}
}
