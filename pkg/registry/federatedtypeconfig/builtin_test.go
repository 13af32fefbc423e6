package federatedtypeconfig

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func TestATargetThatKubernetesHasOtherwiseIsWarnedAbout(t *testing.T) {
	const cluster, namespaced = v1beta1.ClusterScoped, v1beta1.NamespaceScoped
	for name, test := range map[string]struct {
		target v1beta1.APIResource
		want   []string
	}{
		"a namespaced kind":           {target: v1beta1.APIResource{Group: "apps", Version: "v1", Kind: "StatefulSet", PluralName: "statefulsets", Scope: namespaced}},
		"a kind of the core":          {target: v1beta1.APIResource{Version: "v1", Kind: "Endpoints", PluralName: "endpoints", Scope: namespaced}},
		"a cluster-scoped kind":       {target: v1beta1.APIResource{Version: "v1", Kind: "Namespace", PluralName: "namespaces", Scope: cluster}},
		"a custom resource":           {target: v1beta1.APIResource{Group: "example.com", Version: "v1", Kind: "StatefulSet", PluralName: "sets", Scope: cluster}},
		"a version that is not known": {target: v1beta1.APIResource{Group: "apps", Version: "v9", Kind: "Deployment", PluralName: "deployments", Scope: cluster}},
		"a kind of another scope": {
			target: v1beta1.APIResource{Group: "apps", Version: "v1", Kind: "StatefulSet", PluralName: "statefulsets", Scope: cluster},
			want:   []string{`spec.targetType.scope: "Cluster" is not that of the StatefulSet of apps/v1, which is "Namespaced"`}},
		"a kind that is misspelt": {
			target: v1beta1.APIResource{Group: "apps", Version: "v1", Kind: "Statefulset", PluralName: "statefulsets", Scope: namespaced},
			want:   []string{`spec.targetType.kind: "Statefulset" is not that of the StatefulSet of apps/v1, which is "StatefulSet"`}},
		"a plural name that is misspelt": {
			target: v1beta1.APIResource{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy", PluralName: "networkpolicys", Scope: namespaced},
			want:   []string{`spec.targetType.pluralName: "networkpolicys" is not that of the NetworkPolicy of networking.k8s.io/v1, which is "networkpolicies"`}},
	} {
		t.Run(name, func(t *testing.T) {
			config := &v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "system", UID: "u"}, Spec: v1beta1.FederatedTypeConfigSpec{TargetType: test.target}}
			got := newStrategy(runtime.NewScheme(), "system").WarningsOnCreate(t.Context(), config)
			served := NewServed("system")
			served.Set([]*v1beta1.FederatedTypeConfig{config}, nil, nil)
			condition := served.condition(config)
			if len(got) != len(test.want) || condition.Status != metav1.ConditionTrue {
				t.Fatalf("got %q and %s, want %q", got, condition.Status, test.want)
			}
			for i, want := range test.want {
				if !strings.HasPrefix(got[i], want) || !strings.Contains(condition.Message, want) {
					t.Errorf("got %q and %q, want %q", got[i], condition.Message, want)
				}
			}
			if len(test.want) == 0 && condition.Message != "Served in v1beta1 and v1beta2." {
				t.Errorf("got %q", condition.Message)
			}
		})
	}
}

func TestEveryKindOfKubernetesIsFoundOnce(t *testing.T) {
	if n := len(builtins()); n < 60 {
		t.Errorf("got %d kinds", n)
	}
	seen := map[string]bool{}
	for _, b := range builtins() {
		if key := b.gvk.GroupVersion().String() + " " + b.plural; seen[key] {
			t.Errorf("%s comes twice", key)
		} else {
			seen[key] = true
		}
	}
}
