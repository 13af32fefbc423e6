package apiserver

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
	"github.com/koinon-io/koinon/pkg/registry/namespacebound"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/static"
)

// recordedObjects are the federated objects, once there are requests: the registries that compute
// records of them, and ask what is in cells, are made before.
type recordedObjects struct {
	server func() *serving.Server
	binder *namespacebound.Binder
}

var _ static.Federated = recordedObjects{}

// Kinds implements computed.Source.
func (r recordedObjects) Kinds() []federated.Kind { return r.server().Kinds() }

// Object implements computed.Source.
func (r recordedObjects) Object(ctx context.Context, kind federated.Kind, namespace, name string) (*typesv1beta2.FederatedObject, error) {
	return r.server().Object(ctx, kind, namespace, name)
}

// List implements computed.Source.
func (r recordedObjects) List(ctx context.Context, kind federated.Kind, options *metainternalversion.ListOptions) (*typesv1beta2.FederatedObjectList, error) {
	return r.server().List(ctx, kind, options)
}

// Objects implements cell.Federated.
func (r recordedObjects) Objects(ctx context.Context, kind federated.Kind, namespace string, visit func(*typesv1beta2.FederatedObject) error) error {
	return r.server().Objects(ctx, kind, namespace, visit)
}

// Encoding implements computed.Source.
func (r recordedObjects) Encoding(kind federated.Kind) (objectstore.Encoding, bool) {
	return r.server().Encoding(kind)
}

// Sees implements computed.Source.
func (r recordedObjects) Sees(ctx context.Context, resource schema.GroupResource, object metav1.Object) (bool, error) {
	return r.binder.Sees(ctx, resource, object)
}
