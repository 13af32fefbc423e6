package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Well-known labels, annotations and finalizers.
const (
	// ManagedLabel marks objects in members: "true" is ours, "false" is hands off.
	ManagedLabel = "kubefed.io/managed"
	// TypeConfigFinalizer is what KubeFed's controllers put on a FederatedTypeConfig while they run for it.
	TypeConfigFinalizer = "core.kubefed.io/federated-type-config"
	// SyncFinalizer holds a federated object until its members are cleaned up.
	SyncFinalizer = "kubefed.io/sync-controller"
	// OrphanAnnotation "true" on a federated object leaves members' objects in place
	// when it is deleted.
	OrphanAnnotation = "kubefed.io/orphan"
	// OrphanPolicyAnnotation on a federated object, Adopted, leaves in members what was adopted
	// there, when the object is deleted or a target is no longer placed; what was made there is
	// deleted.
	OrphanPolicyAnnotation = "federation.koinon.io/orphan"
	// OrphanAdopted is the value of OrphanPolicyAnnotation.
	OrphanAdopted = "Adopted"
	// AdoptAnnotation on a federated object, true or false, takes the place of
	// spec.syncController.adoptResources of the KubeFedConfig for that object.
	AdoptAnnotation = "federation.koinon.io/adopt"
	// AdoptedAnnotation "true" on an object in a member says that it was there, unmanaged, before we
	// first wrote it.
	AdoptedAnnotation = "federation.koinon.io/adopted"
	// AbandonAnnotation on a federated object names targets, separated by commas, or * for all: where
	// their member cannot be reached, what it may still hold is not waited for when the object is
	// deleted or the target is no longer placed. See docs/propagation.md.
	AbandonAnnotation = "federation.koinon.io/abandon"
	// ForeignFieldsAnnotation on a federated object, Keep or Remove, takes the place of
	// spec.foreignFields of the FederatedTypeConfig for that object.
	ForeignFieldsAnnotation = "federation.koinon.io/foreign-fields"
	// ConflictsAnnotation on a federated object, Overwrite or Abort, takes the place of
	// spec.conflicts of the FederatedTypeConfig for that object.
	ConflictsAnnotation = "federation.koinon.io/conflicts"
	// FederateLabel on a native object of the host, true or keep, has a federated object of the same name
	// follow it. keep says that the federated object stays when the native one is deleted.
	FederateLabel = "federation.koinon.io/federate"
	// PlacementAnnotation on such an object, in JSON or YAML, is where the federated object is placed when it
	// is made: topologyType, and topologies or topologySelector. Without it, nowhere.
	PlacementAnnotation = "federation.koinon.io/placement"
	// FollowsAnnotation on a federated object names, in JSON, the native object that it follows. Controllers
	// and "kubectl koinon federate --follow" write it.
	FollowsAnnotation = "federation.koinon.io/follows"
	// FollowAnnotation on a FederatedTypeConfig, Enabled or Disabled, says whether objects of the host are
	// followed. Without it they are, unless the type gives rights.
	FollowAnnotation = "federation.koinon.io/follow"
	// DeleteOptionsAnnotation holds JSON DeleteOptions for deletions in members.
	DeleteOptionsAnnotation = "kubefed.io/deleteoption"
	// DefaultNamespace holds clusters, type configurations and credentials.
	DefaultNamespace = "kube-federation-system"
	// KubeFedConfigName is the name of the KubeFedConfig that is used.
	KubeFedConfigName = "kubefed"
	// TokenKey is the key of a bearer token in a cluster's Secret.
	TokenKey = "token"
	// KubeconfigKey is the key of a kubeconfig in a cluster's Secret.
	KubeconfigKey = "kubeconfig"
	// CAKey is the key of the authorities, in PEM, that the receiver of a token has to show.
	CAKey = "ca.crt"
	// CredentialsForAnnotation on a Secret names the KubeFedClusters, separated by commas,
	// that may use it. A Secret without it is nobody's credential.
	CredentialsForAnnotation = "federation.koinon.io/credentials-for"
	// APIEndpointAnnotation on a Secret is the apiEndpoint that its token may be sent to.
	APIEndpointAnnotation = "federation.koinon.io/api-endpoint"
	// DisabledTLSValidationsAnnotation on a Secret lists, separated by commas, the checks of
	// the server's certificate that a KubeFedCluster may turn off for its token.
	DisabledTLSValidationsAnnotation = "federation.koinon.io/disabled-tls-validations"
	// AgentsRevokedAnnotation on a KubeFedCluster is a time (RFC 3339): certificates of its
	// agents that were issued until then are refused.
	AgentsRevokedAnnotation = "federation.koinon.io/agents-revoked"
	// NodeAgentsRevokedAnnotation on a KubeFedCluster is a list, separated by commas, of
	// NODE=TIME (RFC 3339): certificates of that node's agents that were issued until then are
	// refused.
	NodeAgentsRevokedAnnotation = "federation.koinon.io/node-agents-revoked"
	// ClusterUIDAnnotation on a KubeFedCluster is the UID of the member's namespace kube-system, by
	// which a cluster is known under whatever name and address. Whoever joins it writes it.
	ClusterUIDAnnotation = "federation.koinon.io/cluster-uid"
	// JoinedByAnnotation is on what a join made in a member. It names the federation.
	JoinedByAnnotation = "federation.koinon.io/joined-by"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// KubeFedCluster is a member: a Kubernetes cluster that receives objects, or one cell
// of it.
type KubeFedCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says how to reach the cluster.
	Spec KubeFedClusterSpec `json:"spec"`
	// Status is the health of the cluster. Written by controllers.
	// +optional
	Status KubeFedClusterStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// KubeFedClusterList is a list of KubeFedClusters.
type KubeFedClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []KubeFedCluster `json:"items"`
}

// KubeFedClusterSpec says how to reach a cluster.
type KubeFedClusterSpec struct {
	// APIEndpoint of the member's API server: a host, host:port or https URL. The Secret of a
	// bearer token has to name the same.
	APIEndpoint string `json:"apiEndpoint"`
	// CABundle is the PEM of the authorities that the API server's certificate is checked
	// against. Absent: the system's.
	// +optional
	CABundle []byte `json:"caBundle,omitempty"`
	// SecretRef is a Secret in the same namespace with a bearer token under "token", or a
	// whole kubeconfig under "kubeconfig". The Secret has to name this KubeFedCluster in its
	// annotation federation.koinon.io/credentials-for.
	SecretRef LocalSecretReference `json:"secretRef"`
	// DisabledTLSValidations turns off checks of the server's certificate: "*" alone for
	// all, or SubjectName, ValidityPeriod.
	// +optional
	// +listType=set
	DisabledTLSValidations []TLSValidation `json:"disabledTLSValidations,omitempty"`
	// ProxyURL is a proxy on the way to the API server: http, https or socks5. With the tunnel
	// Always it is for other clients of this object, such as KubeFed, and not used here.
	// +optional
	ProxyURL string `json:"proxyURL,omitempty"`
	// Tunnel says whether the API server is reached through the koinon-agents that run in the
	// member and are known by the name of this KubeFedCluster. Always: in no other way. The host of
	// apiEndpoint is then what the API server's certificate has to name, and is not
	// connected to. Never: it is connected to directly, or through proxyURL. Absent: directly, and
	// through an agent while nobody can be connected to at apiEndpoint, if one is there, the API
	// server's certificate is checked in full, and there is no proxyURL. The certificate has
	// to name the same host either way.
	// +optional
	Tunnel TunnelUse `json:"tunnel,omitempty"`
	// JoinNamespace is the namespace of the member that holds the account with which we
	// write there. It need not be set if the credential is a service account's token, which
	// says so itself: see status.joinNamespace.
	// +optional
	JoinNamespace string `json:"joinNamespace,omitempty"`
	// AllowedSystemNamespaces are namespaces of the member itself that objects may be placed
	// in all the same: default, kube-*, and the one that holds the join account. Whoever
	// writes federated objects in a namespace of that name can then take the member over.
	// +optional
	// +listType=set
	AllowedSystemNamespaces []string `json:"allowedSystemNamespaces,omitempty"`
}

// TunnelUse says when a member is reached through its agent.
type TunnelUse string

const (
	// TunnelAlways: every connection goes through an agent.
	TunnelAlways TunnelUse = "Always"
	// TunnelNever: none does.
	TunnelNever TunnelUse = "Never"
)

// LocalSecretReference names a Secret in the same namespace.
type LocalSecretReference struct {
	// Name of the Secret.
	Name string `json:"name"`
}

// TLSValidation is one check of a server's certificate.
type TLSValidation string

const (
	TLSAll            TLSValidation = "*"
	TLSSubjectName    TLSValidation = "SubjectName"
	TLSValidityPeriod TLSValidation = "ValidityPeriod"
)

// KubeFedClusterStatus is the health of a cluster.
type KubeFedClusterStatus struct {
	// Conditions: Ready, Offline, ConfigMalformed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []ClusterCondition `json:"conditions,omitempty"`
	// KubernetesVersion that the API server reports.
	// +optional
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// Zones of the nodes. Kept for KubeFed; not filled in.
	// +optional
	// +listType=atomic
	Zones []string `json:"zones,omitempty"`
	// Region of the nodes. Kept for KubeFed; not filled in.
	// +optional
	Region *string `json:"region,omitempty"`
	// JoinNamespace is the namespace that holds the join account, as its token says. Absent
	// if the credential is no token of a service account.
	// +optional
	JoinNamespace string `json:"joinNamespace,omitempty"`
}

// ClusterConditionType is one of Ready, Offline, ConfigMalformed, CredentialsExpiring.
type ClusterConditionType string

const (
	ClusterReady           ClusterConditionType = "Ready"
	ClusterOffline         ClusterConditionType = "Offline"
	ClusterConfigMalformed ClusterConditionType = "ConfigMalformed"
	// ClusterCredentialsExpiring is not KubeFed's. It is there, as the last and True, only while somebody has to see to
	// what a cluster is reached with, and says nothing of whether the cluster is ready.
	ClusterCredentialsExpiring ClusterConditionType = "CredentialsExpiring"
)

// Reasons of a cluster's conditions, as KubeFed has them, and of CredentialsExpiring.
const (
	// ReasonClusterReady: its health check answers ok.
	ReasonClusterReady = "ClusterReady"
	// ReasonClusterNotReady: it answers, and says that it is not well.
	ReasonClusterNotReady = "ClusterNotReady"
	// ReasonClusterReachable: it answers.
	ReasonClusterReachable = "ClusterReachable"
	// ReasonClusterNotReachable: nothing answers.
	ReasonClusterNotReachable = "ClusterNotReachable"
	// ReasonClusterConfigMalformed: the KubeFedCluster and its Secret make no connection, or
	// the member refuses them.
	ReasonClusterConfigMalformed = "ClusterConfigMalformed"
	// ReasonCredentialsEnd: a certificate, an authority or a token that nobody renews ends soon, or has ended.
	ReasonCredentialsEnd = "CredentialsEnd"
	// ReasonTokenNotRenewed: a token that the controllers renew was to be renewed, and was not.
	ReasonTokenNotRenewed = "TokenNotRenewed"
)

// ClusterCondition is one aspect of a cluster's health.
type ClusterCondition struct {
	// Type is Ready, Offline, ConfigMalformed or CredentialsExpiring.
	Type ClusterConditionType `json:"type"`
	// Status is True, False or Unknown.
	Status corev1.ConditionStatus `json:"status"`
	// LastProbeTime is when the condition was last checked.
	LastProbeTime metav1.Time `json:"lastProbeTime"`
	// LastTransitionTime is when status last changed.
	// +optional
	LastTransitionTime *metav1.Time `json:"lastTransitionTime,omitempty"`
	// Reason is a word for machines.
	// +optional
	Reason *string `json:"reason,omitempty"`
	// Message is a sentence for people.
	// +optional
	Message *string `json:"message,omitempty"`
}

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// FederatedTypeConfig makes a federated kind served: Federated<Kind> for any target
// kind. Its name is <target plural>, followed by .<target group> unless that is empty.
type FederatedTypeConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which kind is federated.
	Spec FederatedTypeConfigSpec `json:"spec"`
	// Status is written by controllers.
	// +optional
	Status FederatedTypeConfigStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// FederatedTypeConfigList is a list of FederatedTypeConfigs.
type FederatedTypeConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []FederatedTypeConfig `json:"items"`
}

// FederatedTypeConfigSpec says which kind is federated, and how.
type FederatedTypeConfigSpec struct {
	// TargetType is the kind of the objects in members. Its plural name and group default
	// to what the object's name says. Immutable but for its version.
	TargetType APIResource `json:"targetType"`
	// FederatedType is the kind that is served here. Left out as a whole it is
	// Federated<kind>, with the plural name federated<plural>, in types.kubefed.io. Its group
	// has no default of its own. Immutable but for its version.
	// +optional
	FederatedType APIResource `json:"federatedType"`
	// StatusType is KubeFed's separate status kind. For Services, with statusCollection, it has the
	// whole status of objects in members collected, from which FederatedServiceStatuses are computed,
	// with or without the feature gate RawResourceStatusCollection. Of other types it is kept, and not used.
	// +optional
	StatusType *APIResource `json:"statusType,omitempty"`
	// Propagation is Enabled (default) or Disabled. A disabled type is served and its
	// objects are kept, but nothing is made or changed in members. What is deleted here is
	// deleted there.
	// +optional
	Propagation Mode `json:"propagation"`
	// StatusCollection is Enabled or Disabled (default): whether the whole status of objects
	// in members is in the federated object, if the KubeFedConfig has the feature gate
	// RawResourceStatusCollection too. How healthy they are is there in any case.
	// +optional
	StatusCollection *Mode `json:"statusCollection,omitempty"`
	// PropagatingAnnotations are patterns of template annotations that are part of the
	// spec: set, changed and removed in members. A pattern is a key, in which * stands
	// for any characters.
	// +optional
	// +listType=set
	PropagatingAnnotations []string `json:"propagatingAnnotations,omitempty"`
	// ForeignFields is what becomes of fields of spec, data and the like that somebody else
	// has set in a member and the manifest does not: Remove (default) takes them out, as
	// KubeFed does; Keep leaves what another field manager owns. An object may say otherwise
	// by the annotation federation.koinon.io/foreign-fields.
	// +optional
	ForeignFields ForeignFields `json:"foreignFields,omitempty"`
	// Conflicts is what becomes of a write to a member that would change a field of the manifest
	// that another field manager owns there: Overwrite (default) takes the field over, as KubeFed
	// does, and the target says from whom; Abort writes nothing, and the target has the state
	// Conflict. An object may say otherwise by the annotation federation.koinon.io/conflicts.
	// +optional
	Conflicts ConflictPolicy `json:"conflicts,omitempty"`
	// RetainFields are fields that the member decides, beside those that are known of built-in
	// types: they are sent when an object is created, and are left as they are there
	// afterwards. At most 100, each path once.
	// +optional
	// +listType=map
	// +listMapKey=path
	RetainFields []RetainedField `json:"retainFields,omitempty"`
	// RunToCompletion says when an object of the type has ended: it is then not made again
	// after somebody, such as its TTL, removed it. Jobs and Pods need none.
	// +optional
	RunToCompletion *RunToCompletion `json:"runToCompletion,omitempty"`
	// Health says when an object of the type is healthy. Built-in types need none, nor do those
	// that have the conditions Ready, or Reconciling and Stalled.
	// +optional
	Health *HealthRule `json:"health,omitempty"`
}

// RetainedField is a field, or several of one shape, that the member decides.
type RetainedField struct {
	// Path is a JSON pointer, such as /spec/caBundle; * stands for any item or key. It is below /spec,
	// or another field than /apiVersion, /kind, /metadata and /status.
	Path string `json:"path"`
	// When is an expression in CEL that is true of objects whose field is the member's, with the
	// object in the member as member, and what is sent to it as template: member.spec.mode == 'Auto'.
	// Left out it always is. It is asked with each write; where it cannot be computed, since a
	// field is not there or it takes too long, the field stays as the member has it, and the target
	// says why. At most 4096 bytes.
	// +optional
	When string `json:"when,omitempty"`
}

// HealthRule says how an object in a member is. Its expressions are in CEL, and are given the
// object as self, as those of RunToCompletion. What cannot be computed, since a field is not there
// or it takes too long, is not true. An object that is being deleted, or whose
// status.observedGeneration is not its generation, is Progressing whatever the rule says. Each
// expression has at most 4096 bytes; healthy or degraded must be given.
type HealthRule struct {
	// Healthy is true of an object that is as its spec wants it: self.status.phase == 'Bound'.
	// One of which neither this nor degraded is true is Progressing. Without it the rules that
	// hold for all types decide.
	// +optional
	Healthy string `json:"healthy,omitempty"`
	// Degraded is true of an object that failed: self.status.phase == 'Failed'. It is asked
	// before healthy.
	// +optional
	Degraded string `json:"degraded,omitempty"`
	// Message is the sentence on an object that is not healthy: self.status.message. It should
	// hold no times or numbers that change all the time, as each change of it is news.
	// +optional
	Message string `json:"message,omitempty"`
}

// ForeignFields is Remove or Keep.
type ForeignFields string

const (
	RemoveForeignFields ForeignFields = "Remove"
	KeepForeignFields   ForeignFields = "Keep"
)

// ConflictPolicy is Overwrite or Abort.
type ConflictPolicy string

const (
	OverwriteConflicts ConflictPolicy = "Overwrite"
	AbortOnConflicts   ConflictPolicy = "Abort"
)

// RunToCompletion is the rule for a type whose objects end.
type RunToCompletion struct {
	// Ended is an expression in CEL that is true of an object that has ended. The object is
	// self, as in validation rules: self.status.phase == 'Succeeded'. Where it cannot be
	// computed, since a field is not there or it takes too long, the object has not ended.
	// At most 4096 bytes.
	Ended string `json:"ended"`
	// Rerun is what a changed manifest does to an object that has ended and is gone: OnChange
	// (default) makes it again, Never does not.
	// +optional
	Rerun Rerun `json:"rerun,omitempty"`
}

// Rerun is OnChange or Never.
type Rerun string

const (
	RerunOnChange Rerun = "OnChange"
	RerunNever    Rerun = "Never"
)

// Mode is Enabled or Disabled.
type Mode string

const (
	Enabled  Mode = "Enabled"
	Disabled Mode = "Disabled"
)

// ResourceScope is Cluster or Namespaced.
type ResourceScope string

const (
	ClusterScoped   ResourceScope = "Cluster"
	NamespaceScoped ResourceScope = "Namespaced"
)

// APIResource names a kind.
type APIResource struct {
	// Group, empty for the core group.
	// +optional
	Group string `json:"group,omitempty"`
	// Version, such as v1.
	Version string `json:"version"`
	// Kind, such as Deployment.
	Kind string `json:"kind"`
	// PluralName, such as deployments.
	// +optional
	PluralName string `json:"pluralName"`
	// Scope is Cluster or Namespaced.
	Scope ResourceScope `json:"scope"`
}

// FederatedTypeConfigStatus is written by controllers.
type FederatedTypeConfigStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	ObservedGeneration int64 `json:"observedGeneration"`
	// PropagationController is Running or NotRunning.
	PropagationController ControllerStatus `json:"propagationController"`
	// StatusController is Running or NotRunning.
	// +optional
	StatusController *ControllerStatus `json:"statusController,omitempty"`
	// Conditions: Served, which is computed when the object is read.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ControllerStatus is Running or NotRunning.
type ControllerStatus string

const (
	ControllerRunning    ControllerStatus = "Running"
	ControllerNotRunning ControllerStatus = "NotRunning"
)

// Conditions and reasons of a FederatedTypeConfig.
const (
	// TypeServed is True while the federated kind is served.
	TypeServed = "Served"
	// ReasonServed: both versions are served.
	ReasonServed = "Served"
	// ReasonNameConflict: another FederatedTypeConfig serves the same plural or kind.
	ReasonNameConflict = "NameConflict"
	// ReasonForeignNamespace: only those of the system namespace are used.
	ReasonForeignNamespace = "ForeignNamespace"
	// ReasonLoading: the server has not come to it yet.
	ReasonLoading = "Loading"
)

// +genclient
// +genclient:noStatus
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// KubeFedConfig configures the control plane. There is one, named kubefed. What is left
// out is filled in when it is written.
type KubeFedConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the configuration.
	// +optional
	Spec KubeFedConfigSpec `json:"spec"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// KubeFedConfigList is a list of KubeFedConfigs.
type KubeFedConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []KubeFedConfig `json:"items"`
}

// KubeFedConfigSpec is the configuration of the control plane.
type KubeFedConfigSpec struct {
	// Scope is Cluster (default) or Namespaced. Immutable.
	// +optional
	Scope ResourceScope `json:"scope"`
	// ControllerDuration holds the delays of controllers.
	// +optional
	ControllerDuration *DurationConfig `json:"controllerDuration,omitempty"`
	// LeaderElect configures leader election.
	// +optional
	LeaderElect *LeaderElectConfig `json:"leaderElect,omitempty"`
	// FeatureGates turns features on and off.
	// +optional
	// +listType=map
	// +listMapKey=name
	FeatureGates []FeatureGatesConfig `json:"featureGates,omitempty"`
	// ClusterHealthCheck configures how the health of members is checked.
	// +optional
	ClusterHealthCheck *ClusterHealthCheckConfig `json:"clusterHealthCheck,omitempty"`
	// SyncController configures propagation.
	// +optional
	SyncController *SyncControllerConfig `json:"syncController,omitempty"`
	// StatusController configures status collection.
	// +optional
	StatusController *StatusControllerConfig `json:"statusController,omitempty"`
}

// DurationConfig holds the delays of controllers.
type DurationConfig struct {
	// AvailableDelay before a member that became ready is written to. Default 20s.
	// +optional
	AvailableDelay *metav1.Duration `json:"availableDelay,omitempty"`
	// UnavailableDelay before a member that became unready is given up. Default 60s.
	// +optional
	UnavailableDelay *metav1.Duration `json:"unavailableDelay,omitempty"`
	// CacheSyncTimeout is how long a member's cache may take to fill. Default 5m.
	// +optional
	CacheSyncTimeout *metav1.Duration `json:"cacheSyncTimeout,omitempty"`
}

// LeaderElectConfig configures leader election. leaseDuration must be greater than
// renewDeadline, and that greater than 1.2 times retryPeriod.
type LeaderElectConfig struct {
	// LeaseDuration defaults to 15s.
	// +optional
	LeaseDuration *metav1.Duration `json:"leaseDuration,omitempty"`
	// RenewDeadline defaults to 10s.
	// +optional
	RenewDeadline *metav1.Duration `json:"renewDeadline,omitempty"`
	// RetryPeriod defaults to 5s.
	// +optional
	RetryPeriod *metav1.Duration `json:"retryPeriod,omitempty"`
	// ResourceLock is configmaps (default) or endpoints.
	// +optional
	ResourceLock *ResourceLockType `json:"resourceLock,omitempty"`
}

// ResourceLockType is configmaps or endpoints.
type ResourceLockType string

const (
	ConfigMapsResourceLock ResourceLockType = "configmaps"
	EndpointsResourceLock  ResourceLockType = "endpoints"
)

// FeatureGatesConfig turns one feature on or off.
type FeatureGatesConfig struct {
	// Name is PushReconciler, SchedulerPreferences or RawResourceStatusCollection.
	Name string `json:"name"`
	// Configuration is Enabled or Disabled.
	Configuration Mode `json:"configuration"`
}

// Feature gates of KubeFed.
const (
	GatePushReconciler              = "PushReconciler"
	GateSchedulerPreferences        = "SchedulerPreferences"
	GateRawResourceStatusCollection = "RawResourceStatusCollection"
)

// ClusterHealthCheckConfig configures how the health of members is checked.
type ClusterHealthCheckConfig struct {
	// Period between two checks. Default 10s.
	// +optional
	Period *metav1.Duration `json:"period,omitempty"`
	// FailureThreshold is how many checks must fail before a member is unready. Default 3.
	// +optional
	FailureThreshold *int64 `json:"failureThreshold,omitempty"`
	// SuccessThreshold is how many checks must succeed before a member is ready. Default 1.
	// +optional
	SuccessThreshold *int64 `json:"successThreshold,omitempty"`
	// Timeout of one check. Default 3s.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// SyncControllerConfig configures propagation.
type SyncControllerConfig struct {
	// MaxConcurrentReconciles is how many objects are worked on at a time, of all types together: at
	// least 16, whatever it says, and at most 256. KubeFed has so many for each type. Default 1.
	// +optional
	MaxConcurrentReconciles *int64 `json:"maxConcurrentReconciles,omitempty"`
	// AdoptResources is Enabled (default) or Disabled: whether an object that a member
	// has already is taken over. A federated object may say otherwise for itself, by the
	// annotation federation.koinon.io/adopt.
	// +optional
	AdoptResources *Mode `json:"adoptResources,omitempty"`
}

// StatusControllerConfig configures status collection.
type StatusControllerConfig struct {
	// MaxConcurrentReconciles per type. Default 1.
	// +optional
	MaxConcurrentReconciles *int64 `json:"maxConcurrentReconciles,omitempty"`
}
