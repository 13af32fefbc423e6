package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// TopologyAnnotation carries, in the cluster shape, what only the topology shape can
// say. Its value is the JSON of a TopologyStash. It is written and read by conversion
// alone, and never appears in v1beta2.
const TopologyAnnotation = "federation.koinon.io/topology"

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// FederatedObject is what every federated kind looks like, in the cluster shape:
// KubeFed's wire format.
type FederatedObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says what should run where.
	Spec FederatedObjectSpec `json:"spec,omitempty"`
	// Status is what the control plane has seen. Written by controllers.
	// +optional
	Status *FederatedObjectStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// FederatedObjectList is a list of federated objects of one kind.
type FederatedObjectList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []FederatedObject `json:"items"`
}

// FederatedObjectSpec says what should run where.
type FederatedObjectSpec struct {
	// Template is the object to create in each cluster, without name and namespace.
	// +optional
	Template rawjson.Value `json:"template,omitempty"`
	// Placement selects the clusters. Absent means none.
	// +optional
	Placement *Placement `json:"placement,omitempty"`
	// Overrides are changes to the template, by cluster.
	// +optional
	Overrides []Override `json:"overrides,omitzero"`
	// RetainReplicas keeps spec.replicas as the member has it.
	// +optional
	RetainReplicas *bool `json:"retainReplicas,omitempty"`
}

// Placement selects clusters: by name if clusters is present, even empty; else by
// label. A selector that is present and empty selects every cluster.
type Placement struct {
	// Clusters are targets by name. An empty list selects nobody.
	// +optional
	Clusters []ClusterReference `json:"clusters,omitzero"`
	// ClusterSelector selects clusters by their labels. Ignored if clusters is present.
	// +optional
	ClusterSelector *metav1.LabelSelector `json:"clusterSelector,omitempty"`
}

// ClusterReference names one KubeFedCluster.
type ClusterReference struct {
	// Name of a KubeFedCluster.
	Name string `json:"name"`
}

// Override is a list of changes for one cluster.
type Override struct {
	// ClusterName is the KubeFedCluster.
	ClusterName string `json:"clusterName"`
	// ClusterOverrides are the changes, applied in order.
	// +optional
	ClusterOverrides []OverridePatch `json:"clusterOverrides,omitzero"`
}

// OverridePatch is one operation of a JSON patch (RFC 6902).
type OverridePatch struct {
	// Op is add, remove or replace (default).
	// +optional
	Op string `json:"op,omitempty"`
	// Path is a JSON pointer into the template, such as /spec/replicas. The paths /kind,
	// /metadata/name, /metadata/namespace, /metadata/generateName, /metadata/finalizers and
	// /metadata/ownerReferences are not allowed.
	Path string `json:"path"`
	// Value is the new value, any JSON. Not used by remove.
	// +optional
	Value rawjson.Value `json:"value,omitempty"`
}

// FederatedObjectStatus is what the control plane has seen of one federated object.
type FederatedObjectStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions of the whole object.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []Condition `json:"conditions,omitempty"`
	// Clusters has one entry per cluster that is placed, or still holds the object.
	// +optional
	// +listType=atomic
	Clusters []ClusterStatus `json:"clusters,omitempty"`
	// Topology is what the topology shape knows beyond that. A status written without
	// it does not erase it.
	// +optional
	Topology *TopologyStatus `json:"topology,omitempty"`
}

// Condition is KubeFed's condition of a federated object.
type Condition struct {
	// Type of the condition: Propagation or Healthy.
	Type v1beta2.ConditionType `json:"type"`
	// Status is True, False or Unknown.
	Status metav1.ConditionStatus `json:"status"`
	// Reason is a word for machines, empty if all is well.
	// +optional
	Reason string `json:"reason,omitempty"`
	// LastUpdateTime is when the condition was last written, RFC 3339 in UTC.
	// +optional
	LastUpdateTime string `json:"lastUpdateTime,omitempty"`
	// LastTransitionTime is when status last changed, RFC 3339 in UTC.
	// +optional
	LastTransitionTime string `json:"lastTransitionTime,omitempty"`
}

// ClusterStatus is what is known of one cluster.
type ClusterStatus struct {
	// Name of the KubeFedCluster.
	Name string `json:"name"`
	// Status is empty if the cluster runs what the spec says, else one word on why not.
	// +optional
	Status v1beta2.TargetState `json:"status,omitempty"`
	// RemoteStatus is the status of the object in the member, where the type collects it and
	// the KubeFedConfig has the feature gate RawResourceStatusCollection.
	// +optional
	RemoteStatus rawjson.Value `json:"remoteStatus,omitempty"`
}

// TopologyStatus is the part of a status that KubeFed's wire format has no place for.
type TopologyStatus struct {
	// Messages are the sentences of the conditions, by condition type.
	// +optional
	Messages map[string]string `json:"messages,omitempty"`
	// Workload is as in the topology shape.
	// +optional
	Workload *v1beta2.WorkloadStatus `json:"workload,omitempty"`
	// Targets are the entries of the topology shape, without what clusters says.
	// +optional
	// +listType=atomic
	Targets []v1beta2.TargetStatus `json:"targets,omitempty"`
}

// TopologyStash is what TopologyAnnotation holds: the part of a spec that KubeFed's
// wire format has no place for.
type TopologyStash struct {
	// TopologyType of the object, if it is not cluster.
	TopologyType string `json:"topologyType,omitempty"`
	// PlacementMask as in v1beta2.
	PlacementMask *v1beta2.Placement `json:"placementMask,omitempty"`
	// SelectorOverrides are the overrides that have a selector, each with its index in
	// the whole list of overrides.
	SelectorOverrides []IndexedOverride `json:"selectorOverrides,omitempty"`
}

// IndexedOverride is an override and its place in the list.
type IndexedOverride struct {
	// Index in spec.overrides of v1beta2.
	Index int `json:"index"`
	// Override as in v1beta2.
	Override v1beta2.Override `json:"override"`
}
