package v1beta2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// Topology types. A further one is a further row in the naming table of package
// topology, and users make more of them with a label: see ADR 41.
const (
	// TopologyCluster places by KubeFedCluster name. It is the default.
	TopologyCluster = "cluster"
	// TopologyCell places by Cell name, in the object's own namespace.
	TopologyCell = "cell"
	// TopologyEdgeUnit places by EdgeUnit name, in the object's own namespace.
	TopologyEdgeUnit = "edgeunit"
)

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// FederatedObject is what every federated kind looks like, in the topology shape:
// a template, where it goes, and what differs there. The kind says what the template
// is: FederatedDeployment holds a Deployment.
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
	// TopologyType is the way the fleet is divided for this object: cluster (default),
	// cell or edgeunit; or one of these, a colon and the key of a label, such as cell:zone.
	// The targets are then the cells that carry the label, and names in placement,
	// placementMask and overrides are its values. Immutable.
	// +optional
	TopologyType string `json:"topologyType,omitempty"`
	// Template is the object to create in each target, without name and namespace.
	// +optional
	Template rawjson.Value `json:"template,omitempty"`
	// Placement selects the targets. Absent means none.
	// +optional
	Placement *Placement `json:"placement,omitempty"`
	// PlacementMask limits which of the placed targets may change now; the others are
	// left as they are. Absent means all of them; a mask that names nobody freezes.
	// +optional
	PlacementMask *Placement `json:"placementMask,omitempty"`
	// Overrides are changes to the template, by target, as JSON patches applied in
	// the given order.
	// +optional
	Overrides []Override `json:"overrides,omitzero"`
	// RetainReplicas keeps spec.replicas as the member has it, for example where a
	// HorizontalPodAutoscaler runs there.
	// +optional
	RetainReplicas *bool `json:"retainReplicas,omitempty"`
}

// Placement selects targets: by name if topologies is present, even empty; else by
// label. A selector that is present and empty selects every target of the type.
type Placement struct {
	// Topologies are targets by name. An empty list selects nobody.
	// +optional
	Topologies []TopologyReference `json:"topologies,omitzero"`
	// TopologySelector selects targets by their labels. Ignored if topologies is
	// present.
	// +optional
	TopologySelector *metav1.LabelSelector `json:"topologySelector,omitempty"`
}

// TopologyReference names one target.
type TopologyReference struct {
	// Name of a cluster, cell or edge unit, or a value of the label that topologyType names.
	Name string `json:"name"`
}

// Override is a list of changes for one target, or for those a selector picks.
type Override struct {
	// TopologyName is the target, or a value of the label that topologyType names. Exactly
	// one of topologyName and topologySelector is set.
	// +optional
	TopologyName string `json:"topologyName,omitempty"`
	// TopologySelector picks the targets by label. The cluster shape has no such thing:
	// clients of v1beta1 do not see these overrides, and they are kept.
	// +optional
	TopologySelector *metav1.LabelSelector `json:"topologySelector,omitempty"`
	// TopologyOverrides are the changes.
	// +optional
	TopologyOverrides []OverridePatch `json:"topologyOverrides,omitzero"`
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
	// Conditions of the whole object. Propagation is True once every target that may
	// change runs what the spec says, Healthy once the objects in all targets are well, too.
	// Both speak of observedGeneration.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []Condition `json:"conditions,omitempty"`
	// Workload has the numbers of all targets together, for kinds that have replicas.
	// +optional
	Workload *WorkloadStatus `json:"workload,omitempty"`
	// Targets has one entry per target that is placed, or that still holds the object,
	// sorted by name. It is written as a whole, so that who owns it is said once, and not
	// for each field of a thousand targets.
	// +optional
	// +listType=atomic
	Targets []TargetStatus `json:"targets,omitempty"`
}

// ConditionType names a condition of a federated object.
type ConditionType string

// ConditionPropagation is True once every target that may change runs what the spec
// says. KubeFed's controllers write it too.
const ConditionPropagation ConditionType = "Propagation"

// Reasons of the condition Propagation, as KubeFed has them.
const (
	// ReasonCheckClusters: the targets say why.
	ReasonCheckClusters = "CheckClusters"
	// ReasonComputePlacementFailed: which targets there are cannot be told.
	ReasonComputePlacementFailed = "ComputePlacementFailed"
	// ReasonNamespaceNotFederated: no FederatedNamespace says in which clusters the object's
	// namespace is, so that nothing new goes there.
	ReasonNamespaceNotFederated = "NamespaceNotFederated"
)

// ConditionHealthy is True once the object in every target runs what the spec says and is
// healthy, False if one is known not to be, and Unknown while that is not known of one. What the
// mask leaves as it is counts by its health alone.
const ConditionHealthy ConditionType = "Healthy"

// Reasons of the condition Healthy. It has none while it is True.
const (
	// ReasonTargetsDegraded: the object in a target is Degraded.
	ReasonTargetsDegraded = "TargetsDegraded"
	// ReasonTargetsProgressing: none is Degraded, and one is Progressing, or does not run what
	// the spec says yet.
	ReasonTargetsProgressing = "TargetsProgressing"
	// ReasonTargetsUnknown: how the object in a target is cannot be told now.
	ReasonTargetsUnknown = "TargetsUnknown"
)

// Condition is KubeFed's condition, with a message.
type Condition struct {
	// Type of the condition: Propagation or Healthy.
	Type ConditionType `json:"type"`
	// Status is True, False or Unknown.
	Status metav1.ConditionStatus `json:"status"`
	// Reason is a word for machines, empty if all is well.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message is a sentence for people.
	// +optional
	Message string `json:"message,omitempty"`
	// LastUpdateTime is when the condition was last written, RFC 3339 in UTC.
	// +optional
	LastUpdateTime string `json:"lastUpdateTime,omitempty"`
	// LastTransitionTime is when status last changed, RFC 3339 in UTC.
	// +optional
	LastTransitionTime string `json:"lastTransitionTime,omitempty"`
}

// TargetState is one word on one target. The empty state means that the target
// runs what the spec says. The words are KubeFed's PropagationStatus values, so that
// they read the same in both shapes, and Masked.
type TargetState string

// States that KubeFed does not know, beside the ones it does.
const (
	// TargetOK: the target runs what the spec says.
	TargetOK TargetState = ""
	// TargetPending: the target is being written to, or is about to be. It is recorded before
	// the first write, so that a deletion knows where to look.
	TargetPending TargetState = "Pending"
	// TargetMasked: the mask leaves this target as it is.
	TargetMasked TargetState = "Masked"
	// TargetNotFound: no such cluster, cell or edge unit, or not one of this tenant.
	TargetNotFound TargetState = "TargetNotFound"
	// TargetNamespaceForbidden: the namespace in the member is somebody else's, or the
	// member's own.
	TargetNamespaceForbidden TargetState = "NamespaceForbidden"
	// TargetNamespaceNotFederated: the FederatedNamespace of the object's namespace does not go
	// there, or there is none.
	TargetNamespaceNotFederated TargetState = "NamespaceNotFederated"
	// TargetContested: somebody in the member writes against the manifest, over and over.
	TargetContested TargetState = "Contested"
	// TargetConflict: another field manager in the member owns fields that a write would change, and
	// spec.conflicts of the type, or the annotation of the object, says Abort. Nothing was written.
	TargetConflict TargetState = "Conflict"
	// TargetEnded: the object ran to its end and is gone. Nothing is wrong with that.
	TargetEnded TargetState = "Ended"
	// TargetAbandoned: the target is no longer placed, and was given up on request while its member
	// could not be reached: what it may hold is released once it can, or written to if the target is
	// placed again by then.
	TargetAbandoned TargetState = "Abandoned"
	// TargetTypeNotServed: the member does not serve the target kind.
	TargetTypeNotServed TargetState = "TypeNotServed"

	TargetWaitingForRemoval    TargetState = "WaitingForRemoval"
	TargetClusterNotReady      TargetState = "ClusterNotReady"
	TargetCachedRetrievalError TargetState = "CachedRetrievalFailed"
	TargetComputeFailed        TargetState = "ComputeResourceFailed"
	TargetOverridesFailed      TargetState = "ApplyOverridesFailed"
	TargetCreationFailed       TargetState = "CreationFailed"
	TargetUpdateFailed         TargetState = "UpdateFailed"
	TargetDeletionFailed       TargetState = "DeletionFailed"
	TargetLabelRemovalFailed   TargetState = "LabelRemovalFailed"
	TargetRetrievalFailed      TargetState = "RetrievalFailed"
	TargetAlreadyExists        TargetState = "AlreadyExists"
	TargetManagedLabelFalse    TargetState = "ManagedLabelFalse"
)

// UpToDate reports whether nothing is left to do in the target: it runs what the spec says, or
// ran it to its end.
func (s TargetState) UpToDate() bool { return s == TargetOK || s == TargetEnded }

// Reasons of the Events of a federated object, beside the words of TargetState: an Event says that
// targets have come into a state. Clusters have those of their conditions.
const (
	// EventPropagationComplete: every target that may change runs what the spec says.
	EventPropagationComplete = "PropagationComplete"
	// EventRemovedFromTargets: targets have left, and the object is gone there.
	EventRemovedFromTargets = "RemovedFromTargets"
	// EventOrphanedInTargets: targets have left, and what they have of the object stays there.
	EventOrphanedInTargets = "OrphanedInTargets"
	// EventFollowing: the object was made from a native object of the host that is labelled, and follows it.
	EventFollowing = "Following"
	// EventFollowEnded: the object follows its native object no longer.
	EventFollowEnded = "FollowEnded"
	// EventNotFollowed: a native object is labelled, and no federated object follows it. It is an Event of
	// the native object.
	EventNotFollowed = "NotFollowed"
)

// Health is one word on the object in a target. The empty word says that there is no object, or
// that nothing was told of it yet.
type Health string

const (
	// HealthHealthy: the object is as its spec wants it. Objects of kinds without a status are
	// so once they are there.
	HealthHealthy Health = "Healthy"
	// HealthProgressing: the object is on its way there.
	HealthProgressing Health = "Progressing"
	// HealthDegraded: the object failed, and will not get there by itself.
	HealthDegraded Health = "Degraded"
	// HealthSuspended: the object's own spec has it wait. Nothing is wrong with that.
	HealthSuspended Health = "Suspended"
	// HealthUnknown: the member cannot be asked, or what it says of the object makes no sense.
	HealthUnknown Health = "Unknown"
)

// WorkloadStatus has numbers of replicas over all targets. Those of a target whose member cannot
// be asked now count as desired, and as nothing else: what is not known to be ready is not.
type WorkloadStatus struct {
	// DesiredReplicas is how many there are to be.
	DesiredReplicas int64 `json:"desiredReplicas"`
	// Replicas is how many there are.
	Replicas int64 `json:"replicas"`
	// UpdatedReplicas is how many of them are of the newest template.
	UpdatedReplicas int64 `json:"updatedReplicas"`
	// ReadyReplicas is how many of them are ready.
	ReadyReplicas int64 `json:"readyReplicas"`
	// AvailableReplicas is how many of them have been ready for long enough.
	AvailableReplicas int64 `json:"availableReplicas"`
}

// IsGivenUp reports whether nothing is to be done in a target, and nothing is waited for: it was given up, and is not
// placed any more. One that is placed again has a health, which is Unknown.
func (s TargetState) IsGivenUp(health Health) bool { return s == TargetAbandoned && health == "" }

// TargetStatus is what is known of one target.
type TargetStatus struct {
	// Name of the target, in the words of spec.topologyType: of cell:zone, that of a cell,
	// or zone=a for a zone that no cell is in.
	Name string `json:"name"`
	// State is empty if the target runs what the spec says, else one word on why not.
	// +optional
	State TargetState `json:"state,omitempty"`
	// Message is a sentence for people.
	// +optional
	Message string `json:"message,omitempty"`
	// Cluster is the member that the target is, or is in.
	// +optional
	Cluster string `json:"cluster,omitempty"`
	// Namespace in the member, for namespaced kinds.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Hash of the manifest that was applied last.
	// +optional
	Hash string `json:"hash,omitempty"`
	// Version of the object in the member after it was applied: "gen:" and its
	// generation, or "rv:" and its resourceVersion for kinds without generation.
	// +optional
	Version string `json:"version,omitempty"`
	// Generation of the federated object that the target runs.
	// +optional
	Generation int64 `json:"generation,omitempty"`
	// Ended is set once the object in the member was seen to have run to its end: a Job that
	// is complete or has failed, or what spec.runToCompletion of the FederatedTypeConfig says.
	// +optional
	Ended bool `json:"ended,omitempty"`
	// Health of the object there: Healthy, Progressing, Degraded, Suspended or Unknown; empty if
	// there is none, or nothing was told of it yet.
	// +optional
	Health Health `json:"health,omitempty"`
	// HealthMessage is a short sentence on an object that is not healthy.
	// +optional
	HealthMessage string `json:"healthMessage,omitempty"`
	// Replicas is how many there are to be, for kinds that have replicas.
	// +optional
	Replicas int64 `json:"replicas,omitempty"`
	// Ready is how many of them are ready.
	// +optional
	Ready int64 `json:"ready,omitempty"`
	// RemoteStatus is the status of the object in the member, where the type collects it and
	// the KubeFedConfig has the feature gate RawResourceStatusCollection.
	// +optional
	RemoteStatus rawjson.Value `json:"remoteStatus,omitempty"`
	// Former are places of the target that its cell has left, and that have the object still, or may. The
	// object leaves each of them once it is healthy where the cell is now.
	// +optional
	// +listType=atomic
	Former []FormerPlace `json:"former,omitempty"`
}

// FormerPlace is where an object was before its cell moved, and what is known of it there.
type FormerPlace struct {
	// Cluster is the member.
	// +optional
	Cluster string `json:"cluster,omitempty"`
	// Namespace in the member, for namespaced kinds.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// State is one word on why the object is there still.
	// +optional
	State TargetState `json:"state,omitempty"`
	// Message is a sentence for people.
	// +optional
	Message string `json:"message,omitempty"`
	// Hash of the manifest that was applied last.
	// +optional
	Hash string `json:"hash,omitempty"`
	// Version of the object in the member after it was applied.
	// +optional
	Version string `json:"version,omitempty"`
	// Generation of the federated object that is there.
	// +optional
	Generation int64 `json:"generation,omitempty"`
	// Ended is set once the object there was seen to have run to its end.
	// +optional
	Ended bool `json:"ended,omitempty"`
}
