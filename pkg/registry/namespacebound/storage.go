package namespacebound

import (
	"context"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"

	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// RESTOptions makes every storage that they describe a bound one. The binding is above the
// watch cache, since who asks matters.
func (b *Binder) RESTOptions(inner generic.RESTOptionsGetter) generic.RESTOptionsGetter {
	return objectstore.WrapStorage(inner, func(inner storage.Interface, resource schema.GroupResource) storage.Interface {
		return &bound{Interface: inner, binder: b, resource: resource}
	})
}

// bound is the storage of one resource.
type bound struct {
	storage.Interface
	binder   *Binder
	resource schema.GroupResource
}

// Create implements storage.Interface.
func (s *bound) Create(ctx context.Context, key string, object, out runtime.Object, ttl uint64) error {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	if err := s.binder.bindNew(ctx, accessor); err != nil {
		return err
	}
	err = s.Interface.Create(ctx, key, object, out, ttl)
	if storage.IsExist(err) && s.hides(ctx, key, object) {
		return s.taken(apierrors.NewAlreadyExists(s.resource, accessor.GetName()), accessor)
	}
	return err
}

// hides says that what is stored under a key is there and not shown to the request. If that
// cannot be said, it is not.
func (s *bound) hides(ctx context.Context, key string, like runtime.Object) bool {
	stored := reflect.New(reflect.TypeOf(like).Elem()).Interface().(runtime.Object)
	if err := s.Interface.Get(ctx, key, storage.GetOptions{}, stored); err != nil {
		return false
	}
	visible, err := s.sees(ctx, stored)
	return err == nil && !visible
}

// taken has an error say that the name of an object is that of one which the request is not
// shown, and what to do.
func (s *bound) taken(problem *apierrors.StatusError, object metav1.Object) error {
	problem.ErrStatus.Message = fmt.Sprintf(
		"%s %q: the name is taken by an object of an earlier namespace %s, which is not shown here: take another name, or ask somebody who may list %s in all namespaces to delete it",
		s.resource, object.GetName(), object.GetNamespace(), s.resource.Resource)
	return problem
}

// Get implements storage.Interface.
func (s *bound) Get(ctx context.Context, key string, options storage.GetOptions, into runtime.Object) error {
	if err := s.Interface.Get(ctx, key, options, into); err != nil {
		return err
	}
	visible, err := s.sees(ctx, into)
	switch {
	case visible || err != nil:
		return err
	case options.IgnoreNotFound:
		return runtime.SetZeroValue(into)
	}
	return storage.NewKeyNotFoundError(key, 0)
}

// GetList implements storage.Interface.
func (s *bound) GetList(ctx context.Context, key string, options storage.ListOptions, list runtime.Object) error {
	if err := s.Interface.GetList(ctx, key, options, list); err != nil || allNamespaces(ctx) {
		return err
	}
	return s.filter(ctx, list)
}

// allNamespaces says that a request is for all namespaces, which only those may make who may
// see everything.
func allNamespaces(ctx context.Context) bool { return genericapirequest.NamespaceValue(ctx) == "" }

// filter takes out of a list what the request is not shown.
func (s *bound) filter(ctx context.Context, list runtime.Object) error {
	pointer, err := meta.GetItemsPtr(list)
	if err != nil {
		return err
	}
	items := reflect.ValueOf(pointer).Elem()
	sight, kept := s.binder.sightOf(s.resource), 0
	for i := range items.Len() {
		object, err := meta.Accessor(items.Index(i).Addr().Interface())
		if err != nil {
			return err
		}
		visible, err := sight.sees(ctx, object)
		if err != nil {
			return err
		}
		if !visible {
			continue
		}
		if kept != i {
			items.Index(kept).Set(items.Index(i))
		}
		kept++
	}
	items.SetLen(kept)
	return nil
}

// sees says whether a request is shown one object. An empty one, as a storage returns that was
// told to ignore that there is none, is shown.
func (s *bound) sees(ctx context.Context, object runtime.Object) (bool, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return false, err
	}
	return s.binder.sightOf(s.resource).sees(ctx, accessor)
}

// Watch implements storage.Interface.
func (s *bound) Watch(ctx context.Context, key string, options storage.ListOptions) (watch.Interface, error) {
	inner, err := s.Interface.Watch(ctx, key, options)
	if err != nil || allNamespaces(ctx) {
		return inner, err
	}
	return newFiltered(inner, func(event watch.Event) (watch.Event, bool) { return s.event(ctx, event) }), nil
}

// event returns an event as the request is shown it, and whether it is. If that cannot be
// said, the watch gets an error and ends: to leave the event out would lose it.
func (s *bound) event(ctx context.Context, event watch.Event) (watch.Event, bool) {
	switch event.Type {
	case watch.Added, watch.Modified, watch.Deleted:
	default:
		return event, true
	}
	visible, err := s.sees(ctx, event.Object)
	if err != nil {
		status := apierrors.NewInternalError(err).Status()
		return watch.Event{Type: watch.Error, Object: &status}, true
	}
	return event, visible
}

// Delete implements storage.Interface.
func (s *bound) Delete(ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions,
	validate storage.ValidateObjectFunc, cached runtime.Object, options storage.DeleteOptions,
) error {
	check := func(ctx context.Context, object runtime.Object) error {
		visible, err := s.sees(ctx, object)
		if err != nil {
			return err
		}
		if !visible {
			return storage.NewKeyNotFoundError(key, 0)
		}
		return validate(ctx, object)
	}
	return s.Interface.Delete(ctx, key, out, preconditions, check, cached, options)
}

// GuaranteedUpdate implements storage.Interface.
func (s *bound) GuaranteedUpdate(ctx context.Context, key string, destination runtime.Object, ignoreNotFound bool,
	preconditions *storage.Preconditions, update storage.UpdateFunc, cached runtime.Object,
) error {
	bind := func(input runtime.Object, response storage.ResponseMeta) (runtime.Object, *uint64, error) {
		was, err := s.changeable(ctx, input)
		if err != nil {
			return nil, nil, err
		}
		output, ttl, err := update(input, response)
		if err != nil {
			return nil, nil, err
		}
		object, err := meta.Accessor(output)
		if err != nil {
			return nil, nil, err
		}
		if response.ResourceVersion == 0 { // there was none
			return output, ttl, s.binder.bindNew(ctx, object)
		}
		return output, ttl, s.binder.bindChanged(ctx, object, was)
	}
	return s.Interface.GuaranteedUpdate(ctx, key, destination, ignoreNotFound, preconditions, bind, cached)
}

// changeable returns what an object is bound to, and an error if the request may not change it.
// Its name is taken, so nothing else can be put in its place.
func (s *bound) changeable(ctx context.Context, object runtime.Object) (types.UID, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return "", err
	}
	visible, err := s.binder.sightOf(s.resource).sees(ctx, accessor)
	if err != nil {
		return "", err
	}
	if !visible {
		return "", s.taken(apierrors.NewConflict(s.resource, accessor.GetName(), nil), accessor)
	}
	return Of(accessor), nil
}
