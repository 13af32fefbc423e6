package objectstore

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage"
)

// The library looks for finalizers when a deletion begins, and if there are none removes the
// object in a transaction of its own, whatever has been written in between. A controller that has
// just put its finalizer on the object, and now relies on it, would be passed over.

// errFinalized occurs where an object that is to be removed has got a finalizer.
var errFinalized = errors.New("the object has got a finalizer since its deletion began: delete it again")

type deletionKey struct{}

// withDeletion returns the context of a request that deletes. An update that takes the last
// finalizer away removes the object, too: the one that is stored still has it.
func withDeletion(ctx context.Context) context.Context {
	return context.WithValue(ctx, deletionKey{}, true)
}

// maxDeletions is how often a deletion begins again because of errFinalized. That it has to twice
// is rare: the finalizer would have to be taken away and put back meanwhile.
const maxDeletions = 5

// newFinalized returns a storage in which a request that deletes removes no object with
// finalizers.
func newFinalized(inner storage.Interface, resource schema.GroupResource) storage.Interface {
	return finalized{inner, resource}
}

type finalized struct {
	storage.Interface
	resource schema.GroupResource
}

// Delete implements storage.Interface.
func (s finalized) Delete(ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions,
	validate storage.ValidateObjectFunc, cached runtime.Object, options storage.DeleteOptions,
) error {
	if ctx.Value(deletionKey{}) == nil {
		return s.Interface.Delete(ctx, key, out, preconditions, validate, cached, options)
	}
	check := func(ctx context.Context, object runtime.Object) error {
		accessor, err := meta.Accessor(object)
		if err != nil {
			return err
		}
		if len(accessor.GetFinalizers()) > 0 {
			return &finalizedError{apierrors.NewConflict(s.resource, accessor.GetName(), errFinalized)}
		}
		return validate(ctx, object)
	}
	return s.Interface.Delete(ctx, key, out, preconditions, check, cached, options)
}

// finalizedError is a conflict, for those who do not begin again.
type finalizedError struct{ *apierrors.StatusError }

// Is makes it errFinalized.
func (finalizedError) Is(target error) bool { return target == errFinalized }
