package strategy

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

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
// copies of it and it has none. There is no grace period. The library asks this first of all,
// and again in the transaction that begins the deletion, and looks for finalizers afterwards.
func (strategy) CheckGracefulDelete(_ context.Context, obj runtime.Object, _ *metav1.DeleteOptions) bool {
	o := obj.(*typesv1beta2.FederatedObject)
	if finalizers, missing := guard.OnDeletion(o); missing {
		o.Finalizers = finalizers // a list of its own: the object may share others with a cache
	}
	return false
}
