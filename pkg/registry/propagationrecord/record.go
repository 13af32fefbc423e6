// Package propagationrecord is what PropagatedVersion and ClusterPropagatedVersion have
// in common: records of stock KubeFed controllers that consist of a status alone, one
// kind with a namespace and one without. Where our engine propagates nobody stores them: they are
// computed for whoever reads them (ADR 35).
package propagationrecord

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/names"
	"github.com/koinon-io/koinon/pkg/registry/computed"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// Kind is one of the two kinds. T is a pointer to its Go type.
type Kind[T objectstore.Object] struct {
	// Plural and Singular name of the resource.
	Plural, Singular string
	// Scope of the kind.
	Scope objectstore.Scope
	// New and NewList return empty objects.
	New     func() T
	NewList func() runtime.Object
	// SetMetadata sets that of an object.
	SetMetadata func(T, metav1.ObjectMeta)
	// Status returns the record in an object.
	Status func(T) *v1alpha1.PropagatedVersionStatus
}

// NewREST returns the storage of the kind and of its status.
func NewREST[T objectstore.Object](kind Kind[T], scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, view computed.View) (*computed.REST[T], *objectstore.StatusREST, error) {
	gv := v1alpha1.SchemeGroupVersion
	stored, status, err := objectstore.New(objectstore.Config{
		Group:          gv.Group,
		Plural:         kind.Plural,
		Singular:       kind.Singular,
		New:            func() runtime.Object { return kind.New() },
		NewList:        kind.NewList,
		Names:          names.Record,
		Strategy:       strategy[T]{objectstore.NewBase(scheme, kind.Scope, gv, "status"), kind.Status},
		StatusStrategy: statusStrategy[T]{objectstore.NewBase(scheme, kind.Scope, gv, "metadata")},
		Table: objectstore.Table(
			objectstore.Column[T]{Name: "Clusters", Type: "integer", Description: "How many clusters run the object.",
				Value: func(object T) any { return int64(len(kind.Status(object).ClusterVersions)) }},
			objectstore.Age[T](),
		),
	}, optsGetter)
	if err != nil {
		return nil, nil, err
	}
	return computed.New(stored, computed.Kind[T]{
		New: kind.New, Scope: kind.Scope,
		Covers:   func(of federated.Kind) bool { return of.Namespaced == (kind.Scope == objectstore.Namespaced) },
		NameOf:   nameOf,
		ObjectOf: objectOf,
		Has:      propagated,
		Of:       recorder[T]{kind, newHashes()}.of,
	}, view), status, nil
}

// recorder computes records.
type recorder[T objectstore.Object] struct {
	Kind[T]
	hashes hashes
}

// of computes the record of an object that has one.
func (k recorder[T]) of(kind federated.Kind, o *typesv1beta2.FederatedObject) (record T, err error) {
	status, err := k.hashes.statusOf(kind, o)
	if err != nil {
		return record, apierrors.NewInternalError(err)
	}
	name, _ := nameOf(kind, o.Name) // or nobody would ask
	record = k.New()
	k.SetMetadata(record, metadataOf(name, o))
	*k.Status(record) = status
	return record, nil
}

// strategy is for writes of the object: they leave the status, and so everything, as it
// is.
type strategy[T objectstore.Object] struct {
	objectstore.Base
	status func(T) *v1alpha1.PropagatedVersionStatus
}

func (s strategy[T]) PrepareForCreate(_ context.Context, obj runtime.Object) {
	record := obj.(T)
	*s.status(record) = v1alpha1.PropagatedVersionStatus{}
	record.SetGeneration(1)
}

func (s strategy[T]) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	*s.status(obj.(T)) = *s.status(old.(T))
}

// statusStrategy is for writes of the status: they leave the metadata as it is.
type statusStrategy[T objectstore.Object] struct {
	objectstore.Base
}

func (statusStrategy[T]) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	metav1.ResetObjectMetaForStatus(obj.(T), old.(T))
}
