package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +genclient:noStatus
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ReplicaSchedulingPreference divides replicas among clusters for the
// FederatedDeployment or FederatedReplicaSet of the same name and namespace.
type ReplicaSchedulingPreference struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says how to divide.
	Spec ReplicaSchedulingPreferenceSpec `json:"spec"`
	// Status is empty.
	// +optional
	Status ReplicaSchedulingPreferenceStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ReplicaSchedulingPreferenceList is a list of ReplicaSchedulingPreferences.
type ReplicaSchedulingPreferenceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ReplicaSchedulingPreference `json:"items"`
}

// ReplicaSchedulingPreferenceSpec says how to divide replicas.
type ReplicaSchedulingPreferenceSpec struct {
	// TargetKind is FederatedDeployment or FederatedReplicaSet.
	TargetKind string `json:"targetKind"`
	// TotalReplicas over all clusters.
	TotalReplicas int32 `json:"totalReplicas"`
	// Rebalance moves replicas that run already, if that fits the preferences better.
	// +optional
	Rebalance bool `json:"rebalance,omitempty"`
	// IntersectWithClusterSelector limits the clusters to those that the placement's
	// selector picks.
	// +optional
	IntersectWithClusterSelector bool `json:"intersectWithClusterSelector,omitempty"`
	// Clusters maps cluster names, or "*" for all, to preferences. Absent: every cluster
	// with weight 1.
	// +optional
	Clusters map[string]ClusterPreferences `json:"clusters,omitempty"`
}

// ClusterPreferences of one cluster.
type ClusterPreferences struct {
	// MinReplicas that the cluster gets, if there are enough.
	// +optional
	MinReplicas int64 `json:"minReplicas,omitempty"`
	// MaxReplicas that the cluster gets. Absent: no limit.
	// +optional
	MaxReplicas *int64 `json:"maxReplicas,omitempty"`
	// Weight of the cluster among the others. 0 (default): none beyond minReplicas.
	// +optional
	Weight int64 `json:"weight,omitempty"`
}

// ReplicaSchedulingPreferenceStatus is empty.
type ReplicaSchedulingPreferenceStatus struct{}
