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
	// LeaveCopiesAnnotation on a namespace, KubeFedCluster, Cell or EdgeUnit lets a change of its tenant
	// labels leave copies in members that nobody may touch afterwards. The value is what the labels say
	// then: "tenant=a, workspace-group=x", or one of the two, or "none". So it holds for one change.
	LeaveCopiesAnnotation = "federation.koinon.io/leave-copies"
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
	// AccountLabel is on what the controllers keep in the host for the account of a cell, together
	// with TopologyNamespaceLabel and TopologyNameLabel: "cell".
	AccountLabel = "federation.koinon.io/account"
	// RotateAnnotation on the Secret of a cell's account, with any value, has the controllers make
	// another one now. This one is good for some time more. On the Secret of a member whose token ends it
	// has them renew the token now, and goes with it. Where nobody renews what the Secret has, the KubeFedCluster says so.
	RotateAnnotation = "federation.koinon.io/rotate"
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
	// ClusterName is the KubeFedCluster of the member. If it changes the cell moves: federated objects are
	// made in the new member, and leave the old one once all of them are healthy in the new one.
	ClusterName string `json:"clusterName"`
	// MemberNamespace is the namespace in the member. Nobody else may have it: no cell or
	// edge unit of that member, and no namespace of the host of that name. See
	// MemberNamespace. Default: <namespace>-<name>, unless that is ambiguous. If it changes the cell moves,
	// as with ClusterName.
	// +optional
	MemberNamespace string `json:"memberNamespace,omitempty"`
	// DeletionPolicy is what a deletion of the cell does while federated objects are in it: Refuse (default)
	// has it refused, and with Drain they are removed from the member first. Where the namespace of the cell is
	// being deleted, so are they.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// DeletionPolicy is what a deletion of a cell does while federated objects are in it.
type DeletionPolicy string

const (
	// DeletionRefused: it is refused.
	DeletionRefused DeletionPolicy = "Refuse"
	// DeletionDrains: the objects are removed from the member first.
	DeletionDrains DeletionPolicy = "Drain"
)

// CellStatus is written by controllers.
type CellStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, AccountReady, MemberSeenTwice, Moving.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// KubeFedCluster is the name of the KubeFedCluster that the cell appears as.
	// +optional
	KubeFedCluster string `json:"kubeFedCluster,omitempty"`
	// Objects counts the federated objects of the cell. It is absent where another engine than ours
	// propagates, and may be some seconds late.
	// +optional
	Objects *CellObjects `json:"objects,omitempty"`
}

// CellObjects counts the federated objects of a cell.
type CellObjects struct {
	// Total is how many are in the cell, or are to be.
	Total int32 `json:"total"`
	// OutOfDate is of how many of them the cell does not run what the spec says, or they have not
	// left a place yet that the cell left.
	OutOfDate int32 `json:"outOfDate"`
	// Moving is how many of them are in a place, too, that the cell left.
	// +optional
	Moving int32 `json:"moving,omitempty"`
	// Held is of how many something is in the member, or may be: what a deletion of the cell waits for.
	// +optional
	Held int32 `json:"held,omitempty"`
	// Health is that of the worst of them: Healthy, Progressing, Unknown or Degraded; empty if
	// nothing is known of any.
	// +optional
	Health string `json:"health,omitempty"`
}

// Conditions and reasons of a Cell.
const (
	// CellReady is True while the cell's member is known and ready.
	CellReady = "Ready"
	// CellAccountReady says whether the account by which the KubeFedCluster of the cell is used has
	// a token here and its rights in the member. It is absent while nobody needs them.
	CellAccountReady = "AccountReady"
	// ReasonAccountReady: it has both.
	ReasonAccountReady = "AccountReady"
	// ReasonNoCredential: there is no token for it, since the host refuses something.
	ReasonNoCredential = "NoCredential"
	// ReasonRightsRefused: the member does not let the federation give it its rights.
	ReasonRightsRefused = "RightsRefused"
	// ReasonMemberNotReached: the member was not reached to give it its rights. It is tried again.
	ReasonMemberNotReached = "MemberNotReached"
	// CellMemberSeenTwice is True while both the KubeFedCluster of the cell and that of its
	// member are there and another engine than ours propagates; it is absent otherwise. A stock
	// KubeFed controller takes the two for two clusters.
	CellMemberSeenTwice = "MemberSeenTwice"
	// ReasonOtherEngine: the controllers of the host run without propagation.
	ReasonOtherEngine = "OtherEngine"
	// CellMoving is True while federated objects are in a place that the cell has left, and says what they wait
	// for; it is absent otherwise, and while the cell is being deleted.
	CellMoving = "Moving"
	// ReasonObjectsMoving: objects are not up to date and healthy yet where the cell is now, or not gone yet where it was.
	ReasonObjectsMoving = "ObjectsMoving"
	// ReasonObjectsUnknown: it is not known, and has not been for a minute, which objects are in the cell.
	ReasonObjectsUnknown = "ObjectsUnknown"
	// ReasonDraining: the cell is being deleted, and objects have not left it yet, or its account is there, or a finalizer of others.
	ReasonDraining = "Draining"
	// ReasonMemberReady: the member is ready.
	ReasonMemberReady = "MemberReady"
	// ReasonMemberNotFound: there is no KubeFedCluster of that name.
	ReasonMemberNotFound = "MemberNotFound"
	// ReasonMemberNotReady: the member is there, and not ready.
	ReasonMemberNotReady = "MemberNotReady"
	// ReasonForeignMember: the member, or the cell by its own labels, belongs to another
	// tenant.
	ReasonForeignMember = "ForeignMember"
	// ReasonNamespaceTaken: somebody else owns the namespace of the member. Nothing is
	// written there for the cell.
	ReasonNamespaceTaken = "NamespaceTaken"
	// ReasonSystemNamespace: the namespace belongs to the member itself, and its
	// KubeFedCluster does not allow it.
	ReasonSystemNamespace = "SystemNamespace"
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

// FleetAll is the fleet of all members.
const FleetAll = "all"

// +genclient
// +genclient:nonNamespaced
// +genclient:onlyVerbs=get,list
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Fleet is a set of members that are asked together, through its subresource proxy. There is one,
// "all". It is computed, and not stored; nothing tells when it changes.
type Fleet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Status counts its members.
	// +optional
	Status FleetStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// FleetList is a list of Fleets.
type FleetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Fleet `json:"items"`
}

// FleetStatus counts the members of a fleet.
type FleetStatus struct {
	// Members of the fleet.
	Members int32 `json:"members"`
	// Ready members: those that answer.
	Ready int32 `json:"ready"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ProxyOptions is what admission sees of a request that is carried on to a member. It is not
// stored.
type ProxyOptions struct {
	metav1.TypeMeta `json:",inline"`

	// Path in the member, with a leading slash and without the query.
	// +optional
	Path string `json:"path,omitempty"`
}

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// MemberNamespace is a page of the book that says who owns which namespace of which
// member. Its name is the name of the namespaces, and spec.owners says whose they are, in
// which members. Nothing is written to a namespace of a member, adopted or deleted in it,
// for anybody but its owner.
//
// Pages are written by the API server, when cells and edge units are created, and by the
// controllers. A namespace that is in no page is nobody's, and is whose claim comes first. A
// claim ends when its owner is gone and nothing of it is left in the member.
type MemberNamespace struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says who the owners are.
	Spec MemberNamespaceSpec `json:"spec"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// MemberNamespaceList is a list of MemberNamespaces.
type MemberNamespaceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []MemberNamespace `json:"items"`
}

// MemberNamespaceSpec says who owns the namespaces of one name.
type MemberNamespaceSpec struct {
	// Owners of the namespaces of this name. A member is listed once in all: its namespace
	// has one owner.
	// +optional
	// +listType=atomic
	Owners []MemberNamespaceOwner `json:"owners,omitempty"`
}

// MemberNamespaceOwner is one owner, and where it is the owner. Owners have no UID: an
// owner that is deleted and made again is the same.
type MemberNamespaceOwner struct {
	// Kind is Namespace, Cell or EdgeUnit.
	Kind OwnerKind `json:"kind"`
	// Namespace of the host: the owner itself, or the one that the cell or edge unit is in.
	Namespace string `json:"namespace"`
	// Name of the cell or edge unit; absent for a namespace.
	// +optional
	Name string `json:"name,omitempty"`
	// Members in which the namespace is the owner's, sorted.
	// +listType=set
	Members []string `json:"members"`
	// ClaimTime is when the owner last claimed one of them.
	// +optional
	ClaimTime metav1.Time `json:"claimTime,omitempty"`
}

// OwnerKind is what may own a namespace of a member.
type OwnerKind string

const (
	// OwnerNamespace: a namespace of the host owns the namespace of its name, for objects
	// that are placed in whole clusters.
	OwnerNamespace OwnerKind = "Namespace"
	// OwnerCell: a Cell owns its memberNamespace.
	OwnerCell OwnerKind = "Cell"
	// OwnerEdgeUnit: an EdgeUnit owns its memberNamespace.
	OwnerEdgeUnit OwnerKind = "EdgeUnit"
)

// Annotations of a namespace in a member: they say whose it is. What carries those of
// another federation or another owner is left alone.
const (
	// FederationAnnotation names the federation. On the KubeFedConfig it is what this
	// federation is called; it is set there once, and must stay the same for ever.
	FederationAnnotation = "federation.koinon.io/federation"
	// OwnerAnnotation names the owner: namespace/<namespace>, cell/<namespace>/<name> or
	// edgeunit/<namespace>/<name>.
	OwnerAnnotation = "federation.koinon.io/owner"
)
