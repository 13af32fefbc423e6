package seats

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// takeBackTimeout bounds the deletion of an object that lost its seat to another server.
const takeBackTimeout = 10 * time.Second

// REST serves the objects of one kind of holder. It creates them in turn, so that a seat
// that is free stays free until the object is stored.
type REST struct {
	*objectstore.REST

	book   *Book
	kind   schema.GroupKind
	holder func(runtime.Object) Holder
}

var _ rest.StandardStorage = &REST{}

// NewREST returns storage of a kind that takes seats in the book, and makes the book know
// the holders in it. holder makes one of an object.
func NewREST(store *objectstore.REST, book *Book, kind schema.GroupKind, holder func(runtime.Object) Holder) *REST {
	book.Add(ListFrom(store, holder))
	return &REST{REST: store, book: book, kind: kind, holder: holder}
}

// Create stores a new object.
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (created runtime.Object, err error) {
	err = r.book.InTurn(ctx, func() (err error) {
		created, err = r.REST.Create(ctx, obj, r.seated(validate), options)
		if err != nil || len(options.DryRun) > 0 {
			return err
		}
		return r.confirm(ctx, created)
	})
	return created, err
}

// Update stores a new state, or a new object: server-side apply creates this way.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, validateCreate rest.ValidateObjectFunc, validateUpdate rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (updated runtime.Object, created bool, err error) {
	if !forceAllowCreate {
		return r.REST.Update(ctx, name, objInfo, validateCreate, validateUpdate, false, options)
	}
	err = r.book.InTurn(ctx, func() (err error) {
		updated, created, err = r.REST.Update(ctx, name, objInfo, r.seated(validateCreate), validateUpdate, true, options)
		if err != nil || !created || len(options.DryRun) > 0 {
			return err
		}
		return r.confirm(ctx, updated)
	})
	return updated, created, err
}

// seated looks for the seat of an object that is valid in itself, before admission. This
// is not the strategy's work: its errors cannot say "try again".
func (r *REST) seated(next rest.ValidateObjectFunc) rest.ValidateObjectFunc {
	return func(ctx context.Context, obj runtime.Object) error {
		holder := r.holder(obj)
		errs, err := r.book.Validate(ctx, holder)
		switch {
		case err != nil:
			return status(err)
		case len(errs) > 0:
			return apierrors.NewInvalid(r.kind, holder.Name, errs)
		case next == nil:
			return nil
		}
		return next(ctx, obj)
	}
}

// confirm looks again once an object is stored, since another server on the same store
// may have given the same seat away meanwhile. Of two such servers the later one sees the
// other's object for certain, and takes its own back. Both may do so: that is safe, and
// the clients try again.
func (r *REST) confirm(ctx context.Context, created runtime.Object) error {
	holder := r.holder(created)
	errs, err := r.book.free(ctx, holder)
	if err != nil {
		klog.FromContext(ctx).Error(err, "Could not confirm that a namespace of a member is nobody else's", "holder", holder.String())
		return nil
	}
	if len(errs) == 0 {
		return nil
	}
	if err := r.takeBack(ctx, created); err != nil {
		return fmt.Errorf("%w; the %s must be deleted, which failed: %w", errs.ToAggregate(), holder, err)
	}
	return apierrors.NewInvalid(r.kind, holder.Name, errs)
}

// takeBack deletes what was created, even if the client has gone.
func (r *REST) takeBack(ctx context.Context, created runtime.Object) error {
	object, err := meta.Accessor(created)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTimeout)
	defer cancel()
	uid := object.GetUID()
	_, _, err = r.Delete(ctx, object.GetName(), rest.ValidateAllObjectFunc,
		&metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// status keeps the kind of answer that an error of the API is, such as "too many
// requests", and says what was attempted.
func status(err error) error {
	api := apierrors.APIStatus(nil)
	if !errors.As(err, &api) {
		return apierrors.NewInternalError(err)
	}
	answer := api.Status()
	answer.Message = err.Error()
	return &apierrors.StatusError{ErrStatus: answer}
}
