package computed

import (
	"context"
	"slices"
	"strconv"
	"sync"

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

// REST serves the objects of one kind, stored and computed.
type REST[T objectstore.Object] struct {
	*objectstore.REST
	kind    Kind[T]
	view    View
	follows follows[T]
}

// New returns the storage of a kind, over that of those that are stored.
func New[T objectstore.Object](stored *objectstore.REST, kind Kind[T], view View) *REST[T] {
	r := &REST[T]{REST: stored, kind: kind, view: view}
	r.follows.rest, r.follows.starting = r, make(chan struct{}, 1)
	return r
}

// Destroy ends all watches.
func (r *REST[T]) Destroy() {
	r.follows.close()
	r.REST.Destroy()
}

// Get returns an object, computed if none is stored.
func (r *REST[T]) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	stored, err := r.REST.Get(ctx, name, options)
	if !apierrors.IsNotFound(err) {
		return stored, err
	}
	namespace := genericapirequest.NamespaceValue(ctx)
	for _, kind := range r.kinds(ctx) {
		object, ok := r.kind.ObjectOf(kind, name)
		if !ok {
			continue
		}
		o, problem := r.view.Source.Object(ctx, kind, namespace, object)
		if problem != nil {
			return nil, problem
		}
		if o == nil {
			continue
		}
		record, ok, problem := r.of(kind, o)
		if problem != nil || ok {
			return record, problem
		}
	}
	return nil, err
}

// List returns the stored objects and all computed ones, those with the first page. Its resource
// version is the oldest of what it was made from: a watch from there shows all that is newer.
func (r *REST[T]) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	if options != nil && options.Continue != "" {
		return r.REST.List(ctx, options)
	}
	for {
		kinds, err := r.follows.note(ctx)
		if err != nil {
			return nil, err
		}
		list, err := r.listOf(ctx, kinds, options)
		if err != nil {
			return nil, err
		}
		// A watch would go on from a list of before without what other kinds have.
		if now, err := r.follows.note(ctx); err != nil || slices.Equal(now, kinds) {
			return list, err
		}
	}
}

// listOf lists the stored objects and those computed of kinds.
func (r *REST[T]) listOf(ctx context.Context, kinds []federated.Kind, options *metainternalversion.ListOptions) (runtime.Object, error) {
	if len(kinds) == 0 {
		return r.REST.List(ctx, options)
	}
	options, err := r.asNew(ctx, options)
	if err != nil {
		return nil, err
	}
	list, err := r.REST.List(ctx, options)
	if err != nil {
		return nil, err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	known, err := r.stored(ctx, options, list, items)
	if err != nil {
		return nil, err
	}
	sources, err := r.sources(ctx, kinds, options)
	if err != nil {
		return nil, err
	}
	for i, kind := range kinds {
		for j := range sources[i].Items {
			o := &sources[i].Items[j]
			name, named := r.kind.NameOf(kind, o.Name)
			key := o.Namespace + "/" + name
			if !named || known[key] || !selects(options, nil, o.Namespace, name) {
				continue
			}
			record, ok, err := r.of(kind, o)
			if err != nil {
				return nil, err
			}
			if ok {
				known[key] = true // of two kinds of one name the first has it, as in Get
				items = append(items, record)
			}
		}
	}
	if err := setOldest(list, sources); err != nil {
		return nil, err
	}
	return list, meta.SetList(list, items)
}

// asNew has a list that may be of any time since a version be as new as can be. Watch caches of kinds of which nothing changes hear
// seconds later how far the store is, and the list has the oldest version: where much changes, no watch goes on from there any more.
func (r *REST[T]) asNew(ctx context.Context, options *metainternalversion.ListOptions) (*metainternalversion.ListOptions, error) {
	if r.view.Log == nil || options == nil || options.ResourceVersion == "" || options.ResourceVersionMatch == metav1.ResourceVersionMatchExact {
		return options, nil
	}
	since, err := strconv.ParseInt(options.ResourceVersion, 10, 64)
	if err != nil || since > 0 && options.Limit > 0 { // it is none, or one of that very version is meant
		return options, nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	revision, err := r.view.Log.Revision(ctx)
	if err != nil {
		return nil, unanswered(err)
	}
	if since > revision {
		return options, nil // it is refused
	}
	newest := options.DeepCopy()
	newest.ResourceVersion, newest.ResourceVersionMatch = strconv.FormatInt(revision, 10), metav1.ResourceVersionMatchNotOlderThan
	newest.Limit = 0 // a list of any time has everything in one page
	return newest, nil
}

// sources lists the federated objects, as new as the options ask for. Each kind may have to wait for
// its watch cache, so all do at once.
func (r *REST[T]) sources(ctx context.Context, kinds []federated.Kind, options *metainternalversion.ListOptions) ([]*typesv1beta2.FederatedObjectList, error) {
	asked := &metainternalversion.ListOptions{}
	if options != nil {
		asked.ResourceVersion, asked.ResourceVersionMatch = options.ResourceVersion, options.ResourceVersionMatch
	}
	lists, errs := make([]*typesv1beta2.FederatedObjectList, len(kinds)), make([]error, len(kinds))
	var listing sync.WaitGroup
	for i, kind := range kinds {
		listing.Go(func() { lists[i], errs[i] = r.view.Source.List(ctx, kind, asked.DeepCopy()) })
	}
	listing.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, err
		}
		for j := range lists[i].Items {
			if lists[i].Items[j].Kind == "" {
				lists[i].Items[j].Kind = kinds[i].Kind
			}
		}
	}
	return lists, nil
}

// setOldest gives a list the oldest version of those that it was made from.
func setOldest(list runtime.Object, sources []*typesv1beta2.FederatedObjectList) error {
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return err
	}
	oldest, err := strconv.ParseUint(accessor.GetResourceVersion(), 10, 64)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	for _, source := range sources {
		version, err := strconv.ParseUint(source.ResourceVersion, 10, 64)
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		oldest = min(oldest, version)
	}
	accessor.SetResourceVersion(strconv.FormatUint(oldest, 10))
	return nil
}

// stored are the names of all stored objects: of those on later pages, too, and of those whose labels
// nobody asked for.
func (r *REST[T]) stored(ctx context.Context, options *metainternalversion.ListOptions, list runtime.Object, items []runtime.Object) (map[string]bool, error) {
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	if accessor.GetContinue() != "" || options != nil && options.LabelSelector != nil && !options.LabelSelector.Empty() {
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

// selects reports whether a request wants an object. What is computed has no labels.
func selects(options *metainternalversion.ListOptions, set map[string]string, namespace, name string) bool {
	if options == nil {
		return true
	}
	if options.LabelSelector != nil && !options.LabelSelector.Matches(labels.Set(set)) {
		return false
	}
	return options.FieldSelector == nil || options.FieldSelector.Matches(fields.Set{"metadata.name": name, "metadata.namespace": namespace})
}
