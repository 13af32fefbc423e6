package objectstore

import (
	"context"
	"errors"
	"fmt"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/koinon-io/koinon/pkg/apis/names"
)

// Category is what `kubectl get koinon` asks for: every static kind.
const Category = "koinon"

// Config describes one kind. All fields but StatusStrategy and ShortNames are required.
type Config struct {
	// Group of the kind.
	Group string
	// Plural and Singular name of the resource, such as cells and cell.
	Plural, Singular string
	// ShortNames, such as kfc.
	ShortNames []string
	// New and NewList return empty objects.
	New, NewList func() runtime.Object
	// Strategy for writes of the object.
	Strategy Strategy
	// StatusStrategy for writes of its status; nil if it has no status subresource.
	StatusStrategy UpdateStrategy
	// Table for `kubectl get`.
	Table rest.TableConvertor
	// Decorator, if not nil, adds to objects and lists that are read what is computed. It
	// gets copies, but for events of watches, which it must leave alone.
	Decorator func(runtime.Object)
	// Names is what objects may be called; nil is names.Subdomain.
	Names names.Rule
}

// Strategy is what a kind does on writes of the object.
type Strategy interface {
	rest.RESTCreateStrategy
	UpdateStrategy
}

// UpdateStrategy is what a kind does on updates of the object, or of its status.
type UpdateStrategy interface {
	rest.RESTUpdateStrategy
	rest.ResetFieldsStrategy
}

// REST serves the objects of one kind.
type REST struct {
	*genericregistry.Store

	shortNames []string
	kind       schema.GroupKind
	encoding   Encoding
}

var (
	_ rest.StandardStorage      = &REST{}
	_ rest.ShortNamesProvider   = &REST{}
	_ rest.CategoriesProvider   = &REST{}
	_ rest.SingularNameProvider = &REST{}
)

// ShortNames returns the short names of the resource.
func (r *REST) ShortNames() []string { return r.shortNames }

// Encoding is how the objects are in the store.
func (r *REST) Encoding() Encoding { return r.encoding }

// Update changes an object. A server-side apply may create it.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, applies bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	updated, created, err := r.Store.Update(ctx, name, withMetadataCheck(r.Store, info), createValidation, updateValidation, applies, options)
	return updated, created, r.withoutObject(err, name)
}

// Delete deletes an object, or begins to if it has finalizers.
func (r *REST) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	for begun := 1; ; begun++ {
		object, deleted, err := r.Store.Delete(withDeletion(ctx), name, validate, options)
		if !errors.Is(err, errFinalized) || begun == maxDeletions {
			return object, deleted, err
		}
	}
}

// DeleteCollection deletes objects. Where one has got a finalizer meanwhile, it ends with a
// conflict.
func (r *REST) DeleteCollection(ctx context.Context, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions, list *metainternalversion.ListOptions) (runtime.Object, error) {
	return r.Store.DeleteCollection(withDeletion(ctx), validate, options, list)
}

// Categories returns Category.
func (r *REST) Categories() []string { return []string{Category} }

// New returns the storage of a kind, and that of its status, which is nil if the kind has
// no status subresource.
func New(config Config, optsGetter generic.RESTOptionsGetter) (*REST, *StatusREST, error) {
	rule := config.Names
	if rule == nil {
		rule = names.Subdomain
	}
	store := &genericregistry.Store{
		NewFunc:                   config.New,
		NewListFunc:               config.NewList,
		DefaultQualifiedResource:  schema.GroupResource{Group: config.Group, Resource: config.Plural},
		SingularQualifiedResource: schema.GroupResource{Group: config.Group, Resource: config.Singular},
		CreateStrategy:            createStrategy{config.Strategy, rule},
		UpdateStrategy:            updateStrategy{config.Strategy},
		DeleteStrategy:            config.Strategy,
		ResetFieldsStrategy:       config.Strategy,
		TableConvertor:            config.Table,
		Decorator:                 config.Decorator,
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: WrapStorage(optsGetter, newFinalized)}); err != nil {
		return nil, nil, fmt.Errorf("make the storage of %s: %w", store.DefaultQualifiedResource, err)
	}
	options, err := optsGetter.GetRESTOptions(store.DefaultQualifiedResource, config.New())
	if err != nil {
		return nil, nil, fmt.Errorf("find out how %s are stored: %w", store.DefaultQualifiedResource, err)
	}
	object := &REST{Store: store, shortNames: config.ShortNames, kind: kindOf(config), encoding: encodingOf(options, config.New)}
	if config.StatusStrategy == nil {
		return object, nil, nil
	}
	statusStore := *store
	statusStore.UpdateStrategy = updateStrategy{config.StatusStrategy}
	statusStore.ResetFieldsStrategy = config.StatusStrategy
	return object, &StatusREST{&statusStore, object}, nil
}

// StatusREST serves the status subresource of one kind.
type StatusREST struct {
	store  *genericregistry.Store
	object *REST
}

var (
	_ rest.Patcher             = &StatusREST{}
	_ rest.ResetFieldsStrategy = &StatusREST{}
)

// New returns an empty object.
func (r *StatusREST) New() runtime.Object { return r.store.New() }

// Destroy does nothing: the store belongs to REST.
func (r *StatusREST) Destroy() {}

// Get returns the object.
func (r *StatusREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return r.store.Get(ctx, name, options)
}

// Update writes the status of an object, and never creates one.
func (r *StatusREST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	updated, created, err := r.store.Update(ctx, name, withMetadataCheck(r.store, objInfo), createValidation, updateValidation, false, options)
	return updated, created, r.object.withoutObject(err, name)
}

// GetResetFields returns the fields that a write of the status does not change.
func (r *StatusREST) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return r.store.GetResetFields()
}

// ConvertToTable returns the same table as for the object.
func (r *StatusREST) ConvertToTable(ctx context.Context, object, tableOptions runtime.Object) (*metav1.Table, error) {
	return r.store.ConvertToTable(ctx, object, tableOptions)
}
