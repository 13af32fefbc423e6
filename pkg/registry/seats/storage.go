package seats

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// REST serves the objects of one kind of holder. It claims the seat of a new object, and of
// one that takes another, right before the object is stored. A seat that is left stays claimed until
// the controllers find that nothing of the holder is there any more.
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
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	return r.REST.Create(ctx, obj, r.seated(validate, len(options.DryRun) > 0), options)
}

// Update stores a new state, or a new object: server-side apply creates this way.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, validateCreate rest.ValidateObjectFunc, validateUpdate rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.REST.Update(ctx, name, objInfo, r.seated(validateCreate, len(options.DryRun) > 0), r.moved(r.tied(validateUpdate), len(options.DryRun) > 0), forceAllowCreate, options)
}

// tied refuses a change of the holder's tenant that would strand objects.
func (r *REST) tied(then rest.ValidateObjectUpdateFunc) rest.ValidateObjectUpdateFunc {
	return func(ctx context.Context, obj, old runtime.Object) error {
		now, err := meta.Accessor(obj)
		if err != nil {
			return err
		}
		before, err := meta.Accessor(old)
		if err != nil {
			return err
		}
		if err := r.book.stranding.Unit(ctx, r.kind, r.holder(obj).Owner, now, before); err != nil || then == nil {
			return err
		}
		return then(ctx, obj, old)
	}
}

// moved is seated for an object that may take another seat than it has.
func (r *REST) moved(admit rest.ValidateObjectUpdateFunc, dryRun bool) rest.ValidateObjectUpdateFunc {
	return func(ctx context.Context, obj, old runtime.Object) error {
		holder := r.holder(obj)
		moves := holder.Seat != r.holder(old).Seat
		if moves {
			if err := r.answer(holder)(r.book.Validate(ctx, holder)); err != nil {
				return err
			}
		}
		if admit != nil {
			if err := admit(ctx, obj, old); err != nil {
				return err
			}
		}
		if !moves || dryRun {
			return nil
		}
		return r.answer(holder)(r.book.Claim(ctx, holder))
	}
}

// seated looks at the seat of an object that is valid in itself, has admission decide, and
// claims the seat: in that order, since a claim is a write. This is not the strategy's
// work: its errors cannot say "try again".
func (r *REST) seated(admit rest.ValidateObjectFunc, dryRun bool) rest.ValidateObjectFunc {
	return func(ctx context.Context, obj runtime.Object) error {
		holder := r.holder(obj)
		if err := r.answer(holder)(r.book.Validate(ctx, holder)); err != nil {
			return err
		}
		if admit != nil {
			if err := admit(ctx, obj); err != nil {
				return err
			}
		}
		if dryRun {
			return nil
		}
		if err := r.isNew(ctx, holder.Name); err != nil {
			return err
		}
		return r.answer(holder)(r.book.Claim(ctx, holder))
	}
}

// isNew keeps an object of a name that exists from a claim to another seat.
func (r *REST) isNew(ctx context.Context, name string) error {
	_, err := r.Get(ctx, name, &metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	return apierrors.NewAlreadyExists(r.DefaultQualifiedResource, name)
}

// answer makes one error of what the book says.
func (r *REST) answer(holder Holder) func(field.ErrorList, error) error {
	return func(refused field.ErrorList, err error) error {
		switch {
		case err != nil:
			return status(err)
		case len(refused) > 0:
			return apierrors.NewInvalid(r.kind, holder.Name, refused)
		}
		return nil
	}
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
