package validation

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func TestOneOfTwoTypesOfOneKindIsServed(t *testing.T) {
	early := metav1.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	late := metav1.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	config := func(name, kind, plural string, created metav1.Time) *corev1beta1.FederatedTypeConfig {
		c := &corev1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: created}}
		c.Spec.FederatedType = corev1beta1.APIResource{Kind: kind, PluralName: plural}
		return c
	}
	for sentence, tc := range map[string]struct {
		configs   []*corev1beta1.FederatedTypeConfig
		accepted  []string
		conflicts map[string]string
	}{
		"different kinds are served, by name": {
			configs:  []*corev1beta1.FederatedTypeConfig{config("b", "FederatedB", "federatedbs", early), config("a", "FederatedA", "federatedas", late)},
			accepted: []string{"a", "b"}, conflicts: map[string]string{},
		},
		"the older has the kind": {
			configs:  []*corev1beta1.FederatedTypeConfig{config("a", "FederatedX", "federatedas", late), config("b", "FederatedX", "federatedbs", early)},
			accepted: []string{"b"}, conflicts: map[string]string{"a": "FederatedX is served by FederatedTypeConfig b already"},
		},
		"in the same second, the first by name": {
			configs:  []*corev1beta1.FederatedTypeConfig{config("b", "FederatedX", "federatedxs", early), config("a", "FederatedX", "federatedxs", early)},
			accepted: []string{"a"}, conflicts: map[string]string{"b": "FederatedX is served by FederatedTypeConfig a already"},
		},
		"a kind that every group has is not served": {
			configs:  []*corev1beta1.FederatedTypeConfig{config("a", "Status", "federatedxs", early), config("b", "FederatedX", "federatedxs", late)},
			accepted: []string{"b"}, conflicts: map[string]string{
				"a": "Status is not free: Status is a kind that every API group has; the usual name is Federated followed by the target kind"},
		},
		"a resource is taken too": {
			configs:  []*corev1beta1.FederatedTypeConfig{config("a", "FederatedX", "federatedxs", early), config("b", "FederatedY", "federatedxs", late)},
			accepted: []string{"a"}, conflicts: map[string]string{"b": "federatedxs is served by FederatedTypeConfig a already"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			accepted, conflicts := ServedTypes(tc.configs)
			var names []string
			for _, c := range accepted {
				names = append(names, c.Name)
			}
			why := map[string]string{}
			for c, reason := range conflicts {
				why[c.Name] = reason
			}
			if diff := cmp.Diff(tc.accepted, names); diff != "" {
				t.Errorf("accepted (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.conflicts, why); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
		})
	}
}
