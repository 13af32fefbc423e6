// Package federatedservicestatus is the REST storage of FederatedServiceStatuses. Stock KubeFed
// controllers store them; where our engine propagates they are computed (ADR 46).
package federatedservicestatus

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// strategy is for all writes: the content is at the top level, there is no status
// subresource.
type strategy struct {
	objectstore.Base
}

func newStrategy(scheme *runtime.Scheme) strategy {
	return strategy{objectstore.NewBase(scheme, objectstore.Namespaced, v1alpha1.SchemeGroupVersion)}
}

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	obj.(*v1alpha1.FederatedServiceStatus).Generation = 1
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	status := obj.(*v1alpha1.FederatedServiceStatus)
	if !apiequality.Semantic.DeepEqual(status.ClusterStatus, old.(*v1alpha1.FederatedServiceStatus).ClusterStatus) {
		status.Generation++
	}
}
