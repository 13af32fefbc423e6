package seats

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// REST serves the objects of one kind of holder. It creates them in turn, so that what a
// strategy finds free stays free until the object is stored.
type REST struct {
	*objectstore.REST

	book *Book
}

var _ rest.StandardStorage = &REST{}

// NewREST returns storage that creates in the book's turn.
func NewREST(store *objectstore.REST, book *Book) *REST {
	return &REST{REST: store, book: book}
}

// Create stores a new object.
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (created runtime.Object, err error) {
	err = r.book.InTurn(ctx, func() (err error) {
		created, err = r.REST.Create(ctx, obj, validate, options)
		return err
	})
	return created, err
}

// Update stores a new state, or a new object: server-side apply creates this way.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, validateCreate rest.ValidateObjectFunc, validateUpdate rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (updated runtime.Object, created bool, err error) {
	if !forceAllowCreate {
		return r.REST.Update(ctx, name, objInfo, validateCreate, validateUpdate, false, options)
	}
	err = r.book.InTurn(ctx, func() (err error) {
		updated, created, err = r.REST.Update(ctx, name, objInfo, validateCreate, validateUpdate, true, options)
		return err
	})
	return updated, created, err
}
