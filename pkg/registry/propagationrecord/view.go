package propagationrecord

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// Source are the federated objects that records are computed from.
type Source interface {
	// Kinds are those that are served, in an order.
	Kinds() []federated.Kind
	// Object returns an object, nil if there is none.
	Object(ctx context.Context, kind federated.Kind, namespace, name string) (*typesv1beta2.FederatedObject, error)
	// Objects calls visit for each object of a namespace, or of all if that is empty. Objects are
	// shared: visit must not modify them.
	Objects(ctx context.Context, kind federated.Kind, namespace string, visit func(*typesv1beta2.FederatedObject) error) error
}

// View says what records are computed from, beside those that are stored.
type View struct {
	// Source of the objects. Nil computes nothing.
	Source Source
	// OtherEngine says whether another engine than ours propagates: it stores its own records, and
	// nothing is computed. Nil says no.
	OtherEngine func(context.Context) bool
}

func (v View) computes(ctx context.Context) bool {
	return v.Source != nil && (v.OtherEngine == nil || !v.OtherEngine(ctx))
}

// REST serves the records of one kind: those that are stored, and those that are computed from the
// status of federated objects when somebody reads them. One that is stored wins over one of the same
// name that is computed. Writes, deletions and watches are of stored ones alone.
type REST[T objectstore.Object] struct {
	*objectstore.REST
	kind Kind[T]
	view View
}

// Get returns a record, computed if none is stored.
func (r *REST[T]) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	stored, err := r.REST.Get(ctx, name, options)
	if !apierrors.IsNotFound(err) || !r.view.computes(ctx) {
		return stored, err
	}
	namespace := genericapirequest.NamespaceValue(ctx)
	for _, kind := range r.view.Source.Kinds() {
		object, ok := strings.CutPrefix(name, prefixOf(kind))
		if !ok || object == "" || !r.isOf(kind) {
			continue
		}
		o, problem := r.view.Source.Object(ctx, kind, namespace, object)
		if problem != nil {
			return nil, problem
		}
		if o == nil {
			continue
		}
		record, ok, problem := r.record(kind, o)
		if problem != nil || ok {
			return record, problem
		}
	}
	return nil, err
}

// List returns the stored records and all computed ones, those with the first page.
func (r *REST[T]) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	list, err := r.REST.List(ctx, options)
	if err != nil || options != nil && options.Continue != "" || !r.view.computes(ctx) {
		return list, err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	known, err := r.stored(ctx, list, items)
	if err != nil {
		return nil, err
	}
	for _, kind := range r.view.Source.Kinds() {
		if !r.isOf(kind) {
			continue
		}
		err := r.view.Source.Objects(ctx, kind, genericapirequest.NamespaceValue(ctx), func(o *typesv1beta2.FederatedObject) error {
			name, named := nameOf(kind, o.Name)
			key := o.Namespace + "/" + name
			if !named || known[key] || !selects(options, o.Namespace, name) {
				return nil
			}
			record, ok, err := r.record(kind, o)
			if ok {
				known[key] = true // of two kinds of one name the first has it, as in Get
				items = append(items, record)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, meta.SetList(list, items)
}

// stored are the names of all stored records. If there are more pages, those have names too.
func (r *REST[T]) stored(ctx context.Context, list runtime.Object, items []runtime.Object) (map[string]bool, error) {
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	if accessor.GetContinue() != "" {
		all, err := r.REST.List(ctx, &metainternalversion.ListOptions{})
		if err != nil {
			return nil, err
		}
		if items, err = meta.ExtractList(all); err != nil {
			return nil, err
		}
	}
	known := make(map[string]bool, len(items))
	for _, item := range items {
		object, err := meta.Accessor(item)
		if err != nil {
			return nil, err
		}
		known[object.GetNamespace()+"/"+object.GetName()] = true
	}
	return known, nil
}

// selects reports whether a list wants a record, which has no labels.
func selects(options *metainternalversion.ListOptions, namespace, name string) bool {
	if options == nil {
		return true
	}
	if options.LabelSelector != nil && !options.LabelSelector.Matches(labels.Set{}) {
		return false
	}
	return options.FieldSelector == nil || options.FieldSelector.Matches(fields.Set{"metadata.name": name, "metadata.namespace": namespace})
}

// isOf reports whether objects of a federated kind have records of this kind.
func (r *REST[T]) isOf(kind federated.Kind) bool {
	return kind.Namespaced == (r.kind.Scope == objectstore.Namespaced)
}

// record computes one; ok is false if the object has none.
func (r *REST[T]) record(kind federated.Kind, o *typesv1beta2.FederatedObject) (record T, ok bool, err error) {
	name, named := nameOf(kind, o.Name)
	if !named || !propagated(o) {
		return record, false, nil
	}
	status, err := statusOf(kind, o)
	if err != nil {
		return record, false, apierrors.NewInternalError(err)
	}
	record = r.kind.New()
	r.kind.SetMetadata(record, metadataOf(name, o))
	*r.kind.Status(record) = status
	return record, true, nil
}
