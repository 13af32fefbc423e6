package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// Well-known labels, on namespaces, KubeFedClusters and Cells.
const (
	// TenantLabel names the tenant. A namespace with it reaches only targets with the
	// same value.
	TenantLabel = "federation.koinon.io/tenant"
	// WorkspaceGroupLabel names the workspace group, within a tenant.
	WorkspaceGroupLabel = "federation.koinon.io/workspace-group"
	// TopologyLabel is on the KubeFedCluster that a cell appears as: "cell".
	TopologyLabel = "federation.koinon.io/topology"
	// TopologyNamespaceLabel is on the KubeFedCluster that a cell appears as: the cell's
	// namespace.
	TopologyNamespaceLabel = "federation.koinon.io/topology-namespace"
	// TopologyNameLabel is on the KubeFedCluster that a cell appears as: the cell's name.
	TopologyNameLabel = "federation.koinon.io/topology-name"
	// MemberLabel is on the KubeFedCluster that a cell appears as: the member's name.
	MemberLabel = "federation.koinon.io/member"
	// NamespaceUIDAnnotation is on every object of ours in a namespace of users: the UID of the
	// namespace that it was made in. The server writes it and keeps it. An object whose
	// namespace is gone does not become that of a later namespace of the same name: only
	// who may list its kind in all namespaces sees it. He may delete it, or hand it over by
	// removing the annotation.
	NamespaceUIDAnnotation = "federation.koinon.io/namespace-uid"
	// MemberNamespaceAnnotation is on the KubeFedCluster that a cell appears as: the
	// cell's namespace in the member.
	MemberNamespaceAnnotation = "federation.koinon.io/member-namespace"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Cell is a deployment unit: one namespace of one member. There may be several per
// member. Its namespace is the tenant's workspace group, and federated objects of that
// namespace place by its name.
type Cell struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says where the cell is.
	Spec CellSpec `json:"spec"`
	// Status is written by controllers.
	// +optional
	Status CellStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// CellList is a list of Cells.
type CellList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Cell `json:"items"`
}

// CellSpec says where a cell is.
type CellSpec struct {
	// ClusterName is the KubeFedCluster of the member. Immutable.
	ClusterName string `json:"clusterName"`
	// MemberNamespace is the namespace in the member. No other cell of that member may
	// have it. Default: <namespace>-<name>. Immutable.
	// +optional
	MemberNamespace string `json:"memberNamespace,omitempty"`
}

// CellStatus is written by controllers.
type CellStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// KubeFedCluster is the name of the KubeFedCluster that the cell appears as.
	// +optional
	KubeFedCluster string `json:"kubeFedCluster,omitempty"`
}

// Conditions and reasons of a Cell.
const (
	// CellReady is True while the cell's member is known and ready.
	CellReady = "Ready"
	// ReasonMemberReady: the member is ready.
	ReasonMemberReady = "MemberReady"
	// ReasonMemberNotFound: there is no KubeFedCluster of that name.
	ReasonMemberNotFound = "MemberNotFound"
	// ReasonMemberNotReady: the member is there, and not ready.
	ReasonMemberNotReady = "MemberNotReady"
	// ReasonForeignMember: the member belongs to another tenant.
	ReasonForeignMember = "ForeignMember"
)

// +genclient
// +genclient:nonNamespaced
// +genclient:onlyVerbs=get,list,watch
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Cluster is a read-only view of a KubeFedCluster that is a member, without
// credentials.
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says what the cluster is.
	Spec ClusterSpec `json:"spec"`
	// Status is the health of the cluster.
	// +optional
	Status corev1beta1.KubeFedClusterStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterList is a list of Clusters.
type ClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Cluster `json:"items"`
}

// ClusterSpec says what a cluster is.
type ClusterSpec struct {
	// APIEndpoint of the member's API server.
	APIEndpoint string `json:"apiEndpoint"`
}
