package propagation

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// tenantOf returns the tenant of an object's namespace, or that the namespace is gone: there
// is none of its name, or a later one, whose tenant has nothing to do with the object. It
// returns an error while the cache cannot tell.
func (e *Engine) tenantOf(federated *v1beta2.FederatedObject) (tenant tenancy.Tenant, departed bool, err error) {
	if federated.Namespace == "" {
		return tenancy.Tenant{}, false, nil
	}
	namespace, err := e.Namespaces.Get(federated.Namespace)
	switch {
	case isNotFound(err) && federated.DeletionTimestamp != nil:
		return tenancy.Tenant{}, true, nil
	case err != nil:
		return tenancy.Tenant{}, false, fmt.Errorf("get namespace %q: %w", federated.Namespace, err)
	case belongs(federated, namespace):
		return tenancy.Of(namespace.Labels), false, nil
	case namespace.DeletionTimestamp != nil:
		return tenancy.Tenant{}, false, fmt.Errorf("namespace %q is being deleted, and the object belongs to another one of that name", federated.Namespace)
	}
	return tenancy.Tenant{}, true, nil
}

// belongs says whether an object was made in this namespace. One of which nobody wrote that
// down belongs to the namespace of the name.
func belongs(federated *v1beta2.FederatedObject, namespace *corev1.Namespace) bool {
	uid := types.UID(federated.Annotations[federationv1alpha1.NamespaceUIDAnnotation])
	return uid == "" || uid == namespace.UID
}

// addDeparted adds the targets of an object whose namespace is gone. One that is being deleted
// leaves the targets that were recorded; what else a cache shows there may be somebody else's.
// One that is not deleted is left everywhere as it is: nobody saw its namespace being deleted,
// as after a restore of the host.
func (v *view) addDeparted(e *Engine) {
	if v.federated.DeletionTimestamp != nil {
		v.addDeparting(e, nil)
		return
	}
	v.problem = fmt.Sprintf("metadata.annotations[%s]: the object belongs to an earlier namespace %q: delete it, or remove the annotation to hand it over to the namespace of now",
		federationv1alpha1.NamespaceUIDAnnotation, v.key.namespace)
}
