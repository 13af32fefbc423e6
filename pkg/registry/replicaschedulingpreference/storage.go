package replicaschedulingpreference

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

type column = objectstore.Column[*v1alpha1.ReplicaSchedulingPreference]

// NewREST returns the storage of ReplicaSchedulingPreferences.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter) (*objectstore.REST, error) {
	object, _, err := objectstore.New(objectstore.Config{
		Group:      v1alpha1.GroupName,
		Plural:     "replicaschedulingpreferences",
		Singular:   "replicaschedulingpreference",
		ShortNames: []string{"rsp"},
		New:        func() runtime.Object { return &v1alpha1.ReplicaSchedulingPreference{} },
		NewList:    func() runtime.Object { return &v1alpha1.ReplicaSchedulingPreferenceList{} },
		Strategy:   newStrategy(scheme),
		Table: objectstore.Table(
			column{Name: "Target-Kind", Description: "The federated kind whose replicas are divided.",
				Value: func(p *v1alpha1.ReplicaSchedulingPreference) any { return p.Spec.TargetKind }},
			column{Name: "Replicas", Type: "integer", Description: "Replicas over all clusters.",
				Value: func(p *v1alpha1.ReplicaSchedulingPreference) any { return int64(p.Spec.TotalReplicas) }},
			column{Name: "Scheduled", Description: "Whether all replicas have a target.",
				Value: func(p *v1alpha1.ReplicaSchedulingPreference) any { return string(scheduled(p).Status) }},
			column{Name: "Reason", Description: "Why, in a word.",
				Value: func(p *v1alpha1.ReplicaSchedulingPreference) any { return scheduled(p).Reason }},
			column{Name: "Message", Wide: true, Description: "What became of the preference.",
				Value: func(p *v1alpha1.ReplicaSchedulingPreference) any { return scheduled(p).Message }},
			objectstore.Age[*v1alpha1.ReplicaSchedulingPreference](),
		),
	}, optsGetter)
	return object, err
}

// scheduled returns the condition, an empty one if there is none.
func scheduled(p *v1alpha1.ReplicaSchedulingPreference) metav1.Condition {
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionScheduled); c != nil {
		return *c
	}
	return metav1.Condition{}
}
