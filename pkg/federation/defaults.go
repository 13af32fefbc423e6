package federation

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// federatedGroup and federatedVersion are what KubeFed's chart writes into its type
// configurations. Both versions are served whatever the version here says.
const (
	federatedGroup   = "types.kubefed.io"
	federatedVersion = "v1beta1"
)

// DefaultTypes returns the type configurations that exist from the start, those of
// KubeFed's chart and with the status collected, for a system namespace. They are made
// once: one that somebody deletes stays deleted.
func DefaultTypes(namespace string) []*v1beta1.FederatedTypeConfig {
	types := []struct {
		group, version, kind, plural string
		scope                        v1beta1.ResourceScope
	}{
		{"", "v1", "Namespace", "namespaces", v1beta1.ClusterScoped},
		{"", "v1", "ConfigMap", "configmaps", v1beta1.NamespaceScoped},
		{"", "v1", "Secret", "secrets", v1beta1.NamespaceScoped},
		{"", "v1", "Service", "services", v1beta1.NamespaceScoped},
		{"", "v1", "ServiceAccount", "serviceaccounts", v1beta1.NamespaceScoped},
		{"apps", "v1", "Deployment", "deployments", v1beta1.NamespaceScoped},
		{"apps", "v1", "ReplicaSet", "replicasets", v1beta1.NamespaceScoped},
		{"batch", "v1", "Job", "jobs", v1beta1.NamespaceScoped},
		{"networking.k8s.io", "v1", "Ingress", "ingresses", v1beta1.NamespaceScoped},
		{"rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", v1beta1.ClusterScoped},
	}
	configs := make([]*v1beta1.FederatedTypeConfig, 0, len(types))
	for _, t := range types {
		federatedScope := t.scope
		if t.kind == "Namespace" {
			federatedScope = v1beta1.NamespaceScoped // it lies in the namespace that it federates
		}
		configs = append(configs, &v1beta1.FederatedTypeConfig{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: typeName(t.plural, t.group)},
			Spec: v1beta1.FederatedTypeConfigSpec{
				TargetType: v1beta1.APIResource{Group: t.group, Version: t.version, Kind: t.kind, PluralName: t.plural, Scope: t.scope},
				FederatedType: v1beta1.APIResource{
					Group: federatedGroup, Version: federatedVersion,
					Kind: "Federated" + t.kind, PluralName: "federated" + t.plural, Scope: federatedScope,
				},
				Propagation:      v1beta1.Enabled,
				StatusCollection: new(v1beta1.Enabled),
			},
		})
	}
	return configs
}

func typeName(plural, group string) string {
	return strings.TrimSuffix(plural+"."+group, ".")
}
