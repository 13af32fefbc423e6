package federated

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// GroupName of all federated kinds.
const GroupName = "types.kubefed.io"

// The versions that every federated kind is served in. V1beta2 is preferred and stored.
var (
	V1beta1 = schema.GroupVersion{Group: GroupName, Version: "v1beta1"}
	V1beta2 = schema.GroupVersion{Group: GroupName, Version: "v1beta2"}
)

// Kind is one federated kind. Two Kinds that compare equal are served alike.
type Kind struct {
	// Kind is FederatedDeployment, Resource federateddeployments.
	Kind, Resource string
	// ShortName is empty if the target's short name is not known.
	ShortName string
	// Namespaced is the scope of the federated kind. FederatedNamespace is namespaced
	// although its target is not.
	Namespaced bool
	// Target is the kind of the templates, TargetNamespaced its scope in members.
	Target           schema.GroupVersionKind
	TargetNamespaced bool
	// TargetResource is the plural name of the target kind, such as deployments.
	TargetResource string
}

// KindOf returns the kind that a FederatedTypeConfig asks for.
func KindOf(config *corev1beta1.FederatedTypeConfig) Kind {
	target, federated := config.Spec.TargetType, config.Spec.FederatedType
	return Kind{
		Kind:             federated.Kind,
		Resource:         federated.PluralName,
		ShortName:        shortName(target),
		Namespaced:       federated.Scope == corev1beta1.NamespaceScoped,
		Target:           schema.GroupVersionKind{Group: target.Group, Version: target.Version, Kind: target.Kind},
		TargetNamespaced: target.Scope == corev1beta1.NamespaceScoped,
		TargetResource:   target.PluralName,
	}
}

// ListKind is FederatedDeploymentList.
func (k Kind) ListKind() string { return k.Kind + "List" }

// Singular is federateddeployment.
func (k Kind) Singular() string { return strings.ToLower(k.Kind) }

// GroupResource is federateddeployments.types.kubefed.io.
func (k Kind) GroupResource() schema.GroupResource {
	return schema.GroupResource{Group: GroupName, Resource: k.Resource}
}

// TargetAPIVersion is the apiVersion of the templates, such as apps/v1.
func (k Kind) TargetAPIVersion() string { return k.Target.GroupVersion().String() }

// shortNames of the built-in kinds, by <plural>.<group>. Ours is "f" and that, as in
// KubeFed's chart.
var shortNames = map[string]string{
	"configmaps":                           "cm",
	"cronjobs.batch":                       "cj",
	"daemonsets.apps":                      "ds",
	"deployments.apps":                     "deploy",
	"horizontalpodautoscalers.autoscaling": "hpa",
	"ingresses.networking.k8s.io":          "ing",
	"limitranges":                          "limits",
	"namespaces":                           "ns",
	"networkpolicies.networking.k8s.io":    "netpol",
	"persistentvolumeclaims":               "pvc",
	"persistentvolumes":                    "pv",
	"poddisruptionbudgets.policy":          "pdb",
	"pods":                                 "po",
	"priorityclasses.scheduling.k8s.io":    "pc",
	"replicasets.apps":                     "rs",
	"replicationcontrollers":               "rc",
	"resourcequotas":                       "quota",
	"serviceaccounts":                      "sa",
	"services":                             "svc",
	"statefulsets.apps":                    "sts",
	"storageclasses.storage.k8s.io":        "sc",
}

func shortName(target corev1beta1.APIResource) string {
	key := target.PluralName
	if target.Group != "" {
		key += "." + target.Group
	}
	if s, ok := shortNames[key]; ok {
		return "f" + s
	}
	return ""
}
