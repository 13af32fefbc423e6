package fedclient

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
)

// NewInformer returns an informer on all objects of a resource, which is indexed by namespace. It
// drops managedFields, which are half of a small object and nobody reads.
func (f *Factory) NewInformer(plural string) *hostwatch.Informer {
	i := hostwatch.NewInformer(f.Resource(plural, metav1.NamespaceAll), &v1beta2.FederatedObject{})
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
