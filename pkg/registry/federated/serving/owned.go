package serving

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/registry/federated/ownership"
	"github.com/koinon-io/koinon/pkg/registry/federated/strategy"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// ownedObject is the storage of a kind's objects for the requests of one version: it keeps
// track of who owns which fields.
type ownedObject struct {
	*strategy.REST
	keeper *ownership.Keeper
}

// Update writes an object. Only a server-side apply may create one.
func (r ownedObject) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, applies bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	ctx, info = r.keeper.Update(ctx, "", info, applies, options)
	return r.REST.Update(ctx, name, info, createValidation, updateValidation, applies, options)
}

// ownedStatus is that of their status.
type ownedStatus struct {
	*objectstore.StatusREST
	keeper *ownership.Keeper
}

// Update writes the status of an object.
func (r ownedStatus) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, applies bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	ctx, info = r.keeper.Update(ctx, "status", info, applies, options)
	return r.StatusREST.Update(ctx, name, info, createValidation, updateValidation, applies, options)
}
