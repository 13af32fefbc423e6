package propagation

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// namespaceGrace is how long after its creation an object may be ahead of the cache that is
// to show its namespace.
const namespaceGrace = 10 * time.Second

// tenantOf returns the tenant of an object's namespace, or that the namespace is gone: there
// is none of its name, or a later one, whose tenant has nothing to do with the object. It
// returns an error while the cache cannot tell; that keeps nothing from being cleaned up.
func (e *Engine) tenantOf(federated *v1beta2.FederatedObject) (tenant tenancy.Tenant, departed bool, err error) {
	if federated.Namespace == "" {
		return tenancy.Tenant{}, false, nil
	}
	namespace, err := e.Namespaces.Get(federated.Namespace)
	ahead := federated.DeletionTimestamp == nil && e.now().Sub(federated.CreationTimestamp.Time) < namespaceGrace
	switch {
	case err == nil && belongs(federated, namespace):
		return tenancy.Of(namespace.Labels), false, nil
	case err == nil && (namespace.DeletionTimestamp == nil || !ahead):
		return tenancy.Tenant{}, true, nil
	case err == nil:
		return tenancy.Tenant{}, false, fmt.Errorf("namespace %q is being deleted, and the object belongs to another one of that name", federated.Namespace)
	case federated.DeletionTimestamp == nil && (ahead || !isNotFound(err)):
		return tenancy.Tenant{}, false, fmt.Errorf("get namespace %q: %w", federated.Namespace, err)
	}
	return tenancy.Tenant{}, true, nil
}

// belongs says whether an object was made in this namespace. One of which nobody wrote that
// down belongs to the namespace of the name.
func belongs(federated *v1beta2.FederatedObject, namespace *corev1.Namespace) bool {
	return reach.Belongs(federated, namespace)
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
	if _, err := e.Namespaces.Get(v.key.namespace); isNotFound(err) {
		v.problem = fmt.Sprintf("metadata.namespace: there is no namespace %q any more; what is in members stays there until the object is deleted", v.key.namespace)
		return
	}
	v.problem = fmt.Sprintf("metadata.annotations[%s]: the object belongs to an earlier namespace %q: delete it, or remove the annotation to hand it over to the namespace of now",
		federationv1alpha1.NamespaceUIDAnnotation, v.key.namespace)
}
