package replicaschedulingpreference

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

type column = objectstore.Column[*v1alpha1.ReplicaSchedulingPreference]

// NewREST returns the storage of ReplicaSchedulingPreferences. otherEngine says whether another
// engine than ours propagates; it may be nil, which says no.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, otherEngine func(context.Context) bool) (*objectstore.REST, error) {
	object, _, err := objectstore.New(objectstore.Config{
		Group:      v1alpha1.GroupName,
		Plural:     "replicaschedulingpreferences",
		Singular:   "replicaschedulingpreference",
		ShortNames: []string{"rsp"},
		New:        func() runtime.Object { return &v1alpha1.ReplicaSchedulingPreference{} },
		NewList:    func() runtime.Object { return &v1alpha1.ReplicaSchedulingPreferenceList{} },
		Strategy:   newStrategy(scheme, otherEngine),
		Table: objectstore.Table(
			column{Name: "Target-Kind", Description: "The federated kind whose replicas are divided.",
				Value: func(p *v1alpha1.ReplicaSchedulingPreference) any { return p.Spec.TargetKind }},
			column{Name: "Replicas", Type: "integer", Description: "Replicas over all clusters.",
				Value: func(p *v1alpha1.ReplicaSchedulingPreference) any { return int64(p.Spec.TotalReplicas) }},
			objectstore.Age[*v1alpha1.ReplicaSchedulingPreference](),
		),
	}, optsGetter)
	return object, err
}
