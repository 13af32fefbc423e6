package health

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
)

// withoutStatus are Kubernetes' own kinds without a status, by group; whatever else somebody serves
// in one of these groups may have one.
var withoutStatus = map[string]sets.Set[string]{
	"": sets.New("ConfigMap", "Endpoints", "Event", "LimitRange", "PodTemplate", "Secret", "ServiceAccount"),
	"admissionregistration.k8s.io": sets.New("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration",
		"ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"),
	"apps":                      sets.New("ControllerRevision"),
	"coordination.k8s.io":       sets.New("Lease", "LeaseCandidate"),
	"discovery.k8s.io":          sets.New("EndpointSlice"),
	"events.k8s.io":             sets.New("Event"),
	"networking.k8s.io":         sets.New("IPAddress", "IngressClass", "NetworkPolicy"),
	"node.k8s.io":               sets.New("RuntimeClass"),
	"rbac.authorization.k8s.io": sets.New("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
	"resource.k8s.io":           sets.New("DeviceClass", "ResourceClaimTemplate", "ResourceSlice"),
	"scheduling.k8s.io":         sets.New("PriorityClass"),
	"storage.k8s.io":            sets.New("CSIDriver", "CSINode", "CSIStorageCapacity", "StorageClass", "VolumeAttributesClass"),
}

// HasStatus reports whether objects of a kind may have a status. Those that have none are healthy once
// they are there, and are not looked into: nothing but their metadata has to be sent.
func HasStatus(kind schema.GroupKind) bool { return !withoutStatus[kind.Group].Has(kind.Kind) }
