package rights

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func typeConfig(name, group, kind, plural string) v1beta1.FederatedTypeConfig {
	return v1beta1.FederatedTypeConfig{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1beta1.FederatedTypeConfigSpec{TargetType: v1beta1.APIResource{Group: group, Kind: kind, PluralName: plural}},
	}
}

func TestRules(t *testing.T) {
	writes := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	reads := []string{"get", "list", "watch"}
	always := []rbacv1.PolicyRule{
		{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: []string{"get"}},
		{NonResourceURLs: []string{"/healthz", "/readyz", "/version", "/api*", "/openapi*"}, Verbs: []string{"get"}},
	}
	disabled := typeConfig("secrets", "", "Secret", "secrets")
	disabled.Spec.Propagation = v1beta1.Disabled
	cases := map[string]struct {
		types []v1beta1.FederatedTypeConfig
		proxy bool
		want  []rbacv1.PolicyRule
	}{
		"without types namespaces are made and marked, and never deleted": {
			want: append([]rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "list", "watch", "create", "patch"}},
			}, always...),
		},
		"kinds of one group are one rule, and in no order but that of their names": {
			types: []v1beta1.FederatedTypeConfig{
				typeConfig("services", "", "Service", "services"), typeConfig("deployments.apps", "apps", "Deployment", "deployments"),
				typeConfig("namespaces", "", "Namespace", "namespaces"), typeConfig("configmaps", "", "ConfigMap", "configmaps"),
			},
			want: append([]rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"configmaps", "namespaces", "services"}, Verbs: writes},
				{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: writes},
			}, always...),
		},
		"a type that is disabled is not asked for, and one that gives rights is only read": {
			types: []v1beta1.FederatedTypeConfig{disabled, typeConfig("clusterroles.rbac.authorization.k8s.io", "rbac.authorization.k8s.io", "ClusterRole", "clusterroles")},
			want: append([]rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "list", "watch", "create", "patch"}},
				{APIGroups: []string{"rbac.authorization.k8s.io"}, Resources: []string{"clusterroles"}, Verbs: reads},
			}, always...),
		},
		"a plural that the spec leaves out is the name's; the proxy adds impersonation": {
			types: []v1beta1.FederatedTypeConfig{typeConfig("widgets.example.org", "", "Widget", "")}, proxy: true,
			want: append(append([]rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "list", "watch", "create", "patch"}},
				{APIGroups: []string{"example.org"}, Resources: []string{"widgets"}, Verbs: writes},
			}, always...), Impersonation()...),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Rules(tc.types, tc.proxy)); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNeedsAreWhatRulesAllowOneByOne(t *testing.T) {
	var got []string
	for _, need := range Needs([]rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "delete"}},
		{NonResourceURLs: []string{"/api*"}, Verbs: []string{"get"}},
	}) {
		got = append(got, need.Verb()+" "+need.What())
	}
	if diff := cmp.Diff([]string{"get deployments.apps", "delete deployments.apps", "get /api"}, got); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
}
