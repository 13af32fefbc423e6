package apiserver

import (
	"context"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
	"github.com/koinon-io/koinon/pkg/registry/propagationrecord"
)

// recordedObjects are the federated objects, once there are requests: the registries that compute
// records of them are made before.
type recordedObjects struct{ server func() *serving.Server }

var _ propagationrecord.Source = recordedObjects{}

// Kinds implements propagationrecord.Source.
func (r recordedObjects) Kinds() []federated.Kind { return r.server().Kinds() }

// Object implements propagationrecord.Source.
func (r recordedObjects) Object(ctx context.Context, kind federated.Kind, namespace, name string) (*typesv1beta2.FederatedObject, error) {
	return r.server().Object(ctx, kind, namespace, name)
}

// Objects implements propagationrecord.Source.
func (r recordedObjects) Objects(ctx context.Context, kind federated.Kind, namespace string, visit func(*typesv1beta2.FederatedObject) error) error {
	return r.server().Objects(ctx, kind, namespace, visit)
}
