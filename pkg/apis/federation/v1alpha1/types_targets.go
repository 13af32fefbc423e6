package v1alpha1

import (
	"net/url"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// TargetObject is what one target of a federated object has of it: what the federation knows of
// it, and the object there as the member says it is now. It is the subresource targets of every
// federated kind; nothing of it is stored.
type TargetObject struct {
	metav1.TypeMeta `json:",inline"`
	// The name is the target's, and the namespace that of the federated object.
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// State is the target's in the status of the federated object: empty if it runs what the spec
	// says, else one word on why not.
	// +optional
	State string `json:"state,omitempty"`
	// Message to the state, for people.
	// +optional
	Message string `json:"message,omitempty"`
	// Cluster is the member that the target is, or is in.
	// +optional
	Cluster string `json:"cluster,omitempty"`
	// MemberNamespace is the namespace of the object in the member, for namespaced kinds.
	// +optional
	MemberNamespace string `json:"memberNamespace,omitempty"`
	// Generation of the federated object that the target runs.
	// +optional
	Generation int64 `json:"generation,omitempty"`
	// Conditions of the target: Applied, Conflict, Forbidden, Masked, Removing and Unreachable, and
	// Healthy where that is known, sorted by type.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []TargetCondition `json:"conditions,omitempty"`
	// Object is the object in the member without its spec, data and status: apiVersion, kind and
	// metadata, without the managed fields and without annotations that hold copies of the object.
	// Absent if the member was not asked, did not answer, or has no object that comes from this
	// federated object: the conditions say which.
	// +optional
	Object rawjson.Value `json:"object,omitempty"`
	// Status of the object in the member, as that says.
	// +optional
	Status rawjson.Value `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// TargetObjectList has one item for each target in the status of a federated object, in that order.
type TargetObjectList struct {
	metav1.TypeMeta `json:",inline"`
	// The resource version is that of the federated object.
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []TargetObject `json:"items"`
}

// TargetCondition is one thing that is said of a target.
type TargetCondition struct {
	// Type is Applied, Conflict, Forbidden, Healthy, Masked, Removing or Unreachable.
	Type string `json:"type"`
	// Status is True, False or Unknown.
	Status metav1.ConditionStatus `json:"status"`
	// Reason is a word for machines.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message is a sentence for people.
	// +optional
	Message string `json:"message,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// TargetObjectOptions say what is asked of the subresource targets.
type TargetObjectOptions struct {
	metav1.TypeMeta `json:",inline"`

	// Path is the name of one target, with a leading slash. Without it all are meant.
	// +optional
	Path string `json:"path,omitempty"`
	// Watch asks for events: first all there is, then what changes in the members and in the
	// federated object.
	// +optional
	Watch bool `json:"watch,omitempty"`
	// TimeoutSeconds is how long a watch goes on.
	// +optional
	TimeoutSeconds *int64 `json:"timeoutSeconds,omitempty"`
}

// Target is the name of the one target that is asked for; empty if all are. It is false for a path
// that names something else.
func (o *TargetObjectOptions) Target() (name string, ok bool) {
	name = strings.Trim(o.Path, "/")
	return name, !strings.Contains(name, "/")
}

// targetOptionsOfQuery converts what an API server makes of the path behind the subresource. The
// parameters of a watch are read by who serves it.
func targetOptionsOfQuery(in, out any, _ conversion.Scope) error {
	out.(*TargetObjectOptions).Path = in.(*url.Values).Get("path")
	return nil
}
