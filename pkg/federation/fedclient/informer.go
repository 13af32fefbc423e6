package fedclient

import (
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
)

// NewInformer returns an informer on the objects of a resource in a namespace, or in all of them if that
// is empty. It is indexed by namespace, and drops managedFields, which are half of a small object and nobody reads.
func (f *Factory) NewInformer(plural, namespace string) *hostwatch.Informer {
	i := hostwatch.NewInformer(f.Resource(plural, namespace), &v1beta2.FederatedObject{})
	// Fails only once the informer runs.
	_ = i.SetTransform(stripManagedFields)
	return i
}

func stripManagedFields(object any) (any, error) {
	if federated, ok := object.(*v1beta2.FederatedObject); ok {
		federated.ManagedFields = nil
	}
	return object, nil
}
