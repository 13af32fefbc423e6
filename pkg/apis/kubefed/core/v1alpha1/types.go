package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// PropagatedVersion records which version of a namespaced target each member runs.
// KubeFed's controllers write it; its name is the lower-cased target kind, a dash and
// the target's name.
type PropagatedVersion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Status is the record.
	// +optional
	Status PropagatedVersionStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// PropagatedVersionList is a list of PropagatedVersions.
type PropagatedVersionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []PropagatedVersion `json:"items"`
}

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterPropagatedVersion is PropagatedVersion for cluster-scoped targets.
type ClusterPropagatedVersion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Status is the record.
	// +optional
	Status PropagatedVersionStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterPropagatedVersionList is a list of ClusterPropagatedVersions.
type ClusterPropagatedVersionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterPropagatedVersion `json:"items"`
}

// PropagatedVersionStatus records what each member runs.
type PropagatedVersionStatus struct {
	// TemplateVersion is the hexadecimal MD5 of the template, empty if there is none.
	TemplateVersion string `json:"templateVersion"`
	// OverrideVersion is the hexadecimal MD5 of the overrides.
	OverrideVersion string `json:"overridesVersion"`
	// ClusterVersions, sorted by cluster name.
	// +optional
	// +listType=atomic
	ClusterVersions []ClusterObjectVersion `json:"clusterVersions,omitempty"`
}

// ClusterObjectVersion is the version of an object in one member.
type ClusterObjectVersion struct {
	// ClusterName is the KubeFedCluster.
	ClusterName string `json:"clusterName"`
	// Version is "gen:" and the generation, or "rv:" and the resourceVersion for kinds
	// without generation.
	Version string `json:"version"`
}

// +genclient
// +genclient:noStatus
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// FederatedServiceStatus is KubeFed's separate status of a FederatedService.
type FederatedServiceStatus struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// ClusterStatus has one entry per cluster.
	// +optional
	// +listType=atomic
	ClusterStatus []FederatedServiceClusterStatus `json:"clusterStatus,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// FederatedServiceStatusList is a list of FederatedServiceStatuses.
type FederatedServiceStatusList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []FederatedServiceStatus `json:"items"`
}

// FederatedServiceClusterStatus is the status of the Service in one cluster.
type FederatedServiceClusterStatus struct {
	// ClusterName is the KubeFedCluster.
	ClusterName string `json:"clusterName"`
	// Status of the Service there, every field of it, as the member reports it.
	Status rawjson.Value `json:"status"`
}
