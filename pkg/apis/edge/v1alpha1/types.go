package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// UnitLabel is on nodes, and is the node selector of pods that are placed by edge unit.
const UnitLabel = "edge.koinon.io/unit"

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// EdgeUnit is a named group of nodes of one member, with a namespace there. Federated
// objects of its namespace place by its name.
type EdgeUnit struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which nodes.
	Spec EdgeUnitSpec `json:"spec"`
	// Status is written by controllers.
	// +optional
	Status EdgeUnitStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// EdgeUnitList is a list of EdgeUnits.
type EdgeUnitList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []EdgeUnit `json:"items"`
}

// EdgeUnitSpec says which nodes an edge unit is.
type EdgeUnitSpec struct {
	// ClusterName is the KubeFedCluster of the member. Immutable.
	ClusterName string `json:"clusterName"`
	// MemberNamespace is the namespace in the member. Nobody else may have it: no cell or
	// edge unit of that member, and no namespace of the host of that name. Default:
	// <namespace>-<name>, unless that is ambiguous. Immutable.
	// +optional
	MemberNamespace string `json:"memberNamespace,omitempty"`
	// NodeSelector picks the nodes by label: pods of templates that are placed in the unit
	// run on these nodes only. Default: edge.koinon.io/unit=<name>.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
}

// EdgeUnitStatus is written by controllers.
type EdgeUnitStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, MemberSeenTwice.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// KubeFedCluster is the name of the KubeFedCluster that the unit appears as.
	// +optional
	KubeFedCluster string `json:"kubeFedCluster,omitempty"`
}
