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
	// Status says what became of it. Written by controllers; KubeFed's leave it empty.
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
	// Rebalance moves replicas that run already, if that fits the preferences better, and away from
	// where pods find no node for a minute.
	// +optional
	Rebalance bool `json:"rebalance,omitempty"`
	// IntersectWithClusterSelector limits the clusters to those that the federated object's own
	// placement picks: its selector or, if it has none, the list that it had before.
	// +optional
	IntersectWithClusterSelector bool `json:"intersectWithClusterSelector,omitempty"`
	// Clusters maps cluster names, or "*" for all, to preferences. Absent: every cluster
	// with weight 1. The names are those of cells or edge units of this namespace, if the federated object has
	// that topologyType. With one that users define, such as cell:zone, the preference has no effect.
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

// ReplicaSchedulingPreferenceStatus says what became of a preference.
type ReplicaSchedulingPreferenceStatus struct {
	// Conditions: Scheduled is True once all replicas have a target.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ConditionScheduled is True once all replicas have a target, False if some have none or the
// preference has no effect, and Unknown while that cannot be told.
const ConditionScheduled = "Scheduled"

// Reasons of the condition Scheduled.
const (
	// ReasonPlaced: all replicas have a target.
	ReasonPlaced = "Placed"
	// ReasonNoCapacity: members have no room for some of them.
	ReasonNoCapacity = "NoCapacity"
	// ReasonLimited: maxReplicas, weights, or the want of targets keep some of them out.
	ReasonLimited = "Limited"
	// ReasonWaiting: what is needed to decide is not known yet. Nothing is changed.
	ReasonWaiting = "Waiting"
	// ReasonNoObject: there is no federated object of that kind and name.
	ReasonNoObject = "NoObject"
	// ReasonRetainReplicas: the federated object leaves replicas to its members, so there is nothing
	// to divide.
	ReasonRetainReplicas = "RetainReplicas"
	// ReasonGrouped: the federated object is of a topology type that a user has defined, such as
	// cell:zone, and names groups, which replicas are not divided among.
	ReasonGrouped = "Grouped"
	// ReasonDisabled: the KubeFedConfig has the feature gate SchedulerPreferences disabled.
	ReasonDisabled = "Disabled"
	// ReasonInvalid: the federated object cannot be placed as it is, or refuses the result.
	ReasonInvalid = "Invalid"
)

// ReplicaSchedulingAnnotation of a federated object is what was written into it for a
// ReplicaSchedulingPreference, so that it can be taken back. It goes with it.
const ReplicaSchedulingAnnotation = "federation.koinon.io/replica-scheduling"
