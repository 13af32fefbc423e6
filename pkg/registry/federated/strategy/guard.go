package strategy

import (
	"context"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/guard"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

var _ rest.RESTGracefulDeleteStrategy = strategy{}

// keepGuard puts the sync controller's finalizer back if the writer took it away, and tells him.
func keepGuard(ctx context.Context, o, was *typesv1beta2.FederatedObject) {
	finalizers, restored := guard.OnUpdate(o.Finalizers, was)
	if !restored {
		return
	}
	o.Finalizers = finalizers
	warning.AddWarning(ctx, "", guard.Kept)
}

// CheckGracefulDelete puts the finalizer on an object whose deletion begins, if members hold
// copies of it and it has none, and the annotation for leaving those there, if that is how it is
// deleted. There is no grace period. The library asks this first of all, and again in the
// transaction that begins the deletion, and looks for finalizers afterwards. What it puts on the
// object is the object's own: the rest may be shared with a cache.
func (strategy) CheckGracefulDelete(_ context.Context, obj runtime.Object, options *metav1.DeleteOptions) bool {
	o := obj.(*typesv1beta2.FederatedObject)
	if finalizers, missing := guard.OnDeletion(o); missing {
		o.Finalizers = finalizers
	}
	if !orphans(o) && orphansDependents(o, options) {
		o.Annotations = maps.Clone(o.Annotations)
		metav1.SetMetaDataAnnotation(&o.ObjectMeta, corev1beta1.OrphanAnnotation, "true")
	}
	return false
}

// orphansDependents reports whether a deletion leaves what depends on the object, as the library
// reads it: as whoever deletes it says, or else as the object has it. What members hold depends on
// the object. The finalizer alone does not say so for long: the garbage collector takes it away.
func orphansDependents(o *typesv1beta2.FederatedObject, options *metav1.DeleteOptions) bool {
	switch {
	case options != nil && options.OrphanDependents != nil: //nolint:staticcheck // clients may still send it
		return *options.OrphanDependents //nolint:staticcheck // the same
	case options != nil && options.PropagationPolicy != nil:
		return *options.PropagationPolicy == metav1.DeletePropagationOrphan
	}
	return slices.Contains(o.Finalizers, metav1.FinalizerOrphanDependents)
}
