package storage

import (
	"context"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/generic"
	genericstorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/cacher"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
)

// RESTOptions makes the resources of an API server answer with 503, one sentence and when to
// come back if this store cannot be used, and with 413 if an object is too large for it. The
// library's own answer is 500 with the text of a gRPC error.
//
// The translation is below the watch cache: so lists that the cache answers go on without
// the store, and its question how fresh it has to be is translated like any other.
func (s *Store) RESTOptions(inner generic.RESTOptionsGetter) generic.RESTOptionsGetter {
	return restOptions{inner, s.answers()}
}

type restOptions struct {
	generic.RESTOptionsGetter
	answers *answers
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (r restOptions) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	options, err := r.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil {
		return options, err
	}
	if isUndecorated(options.Decorator) {
		options.Decorator = r.answers.uncached
	} else {
		options.Decorator = r.answers.cached
	}
	return options, nil
}

// isUndecorated says that a resource is to have no watch cache, as events have none. What
// else a library may choose is the cache.
func isUndecorated(decorator generic.StorageDecorator) bool {
	return reflect.ValueOf(decorator).Pointer() == reflect.ValueOf(generic.UndecoratedStorage).Pointer()
}

// uncached is generic.UndecoratedStorage with translated errors.
func (a *answers) uncached(
	config *storagebackend.ConfigForResource, resourcePrefix string,
	_ func(runtime.Object) (string, error), newFunc, newListFunc func() runtime.Object,
	_ genericstorage.AttrFunc, _ genericstorage.IndexerFuncs, _ *cache.Indexers,
) (genericstorage.Interface, factory.DestroyFunc, error) {
	raw, destroy, err := generic.NewRawStorage(config, newFunc, newListFunc, resourcePrefix)
	if err != nil {
		return nil, nil, err
	}
	return &translated{Interface: raw, answers: a, watchEvents: true}, destroy, nil
}

// cached is StorageWithCacher of the package k8s.io/apiserver/pkg/registry/generic/registry,
// with translated errors. A test compares the two.
func (a *answers) cached(
	config *storagebackend.ConfigForResource, resourcePrefix string,
	keyFunc func(runtime.Object) (string, error), newFunc, newListFunc func() runtime.Object,
	attrs genericstorage.AttrFunc, triggers genericstorage.IndexerFuncs, indexers *cache.Indexers,
) (genericstorage.Interface, factory.DestroyFunc, error) {
	raw, destroy, err := generic.NewRawStorage(config, newFunc, newListFunc, resourcePrefix)
	if err != nil {
		return nil, nil, err
	}
	told := &translated{Interface: raw, answers: a}
	cached, err := cacher.NewCacherFromConfig(cacher.Config{
		Storage:             told,
		Versioner:           genericstorage.APIObjectVersioner{},
		GroupResource:       config.GroupResource,
		EventsHistoryWindow: config.EventsHistoryWindow,
		ResourcePrefix:      resourcePrefix,
		KeyFunc:             keyFunc,
		NewFunc:             newFunc,
		NewListFunc:         newListFunc,
		GetAttrsFunc:        attrs,
		IndexerFuncs:        triggers,
		Indexers:            indexers,
		Codec:               config.Codec,
	})
	if err != nil {
		destroy()
		return nil, nil, err
	}
	delegator := cacher.NewCacheDelegator(cached, told)
	return delegator, sync.OnceFunc(func() {
		delegator.Stop()
		cached.Stop()
		destroy()
	}), nil
}

// translated is a storage whose errors are what clients are told. Requests that are known to
// fail do not get to the store.
type translated struct {
	genericstorage.Interface
	answers *answers
	// watchEvents says that events go to clients, and not into a watch cache.
	watchEvents bool
}

// Create implements storage.Interface.
func (t *translated) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	if err := t.answers.canWrite(); err != nil {
		return err
	}
	ctx, cancel := t.answers.inTime(ctx)
	defer cancel()
	return t.answers.answerWrite(ctx, t.Interface.Create(ctx, key, obj, out, ttl))
}

// Delete implements storage.Interface.
func (t *translated) Delete(ctx context.Context, key string, out runtime.Object, preconditions *genericstorage.Preconditions,
	validate genericstorage.ValidateObjectFunc, cached runtime.Object, options genericstorage.DeleteOptions,
) error {
	if err := t.answers.canWrite(); err != nil {
		return err
	}
	ctx, cancel := t.answers.inTime(ctx)
	defer cancel()
	return t.answers.answerWrite(ctx, t.Interface.Delete(ctx, key, out, preconditions, validate, cached, options))
}

// GuaranteedUpdate implements storage.Interface.
func (t *translated) GuaranteedUpdate(ctx context.Context, key string, destination runtime.Object, ignoreNotFound bool,
	preconditions *genericstorage.Preconditions, update genericstorage.UpdateFunc, cached runtime.Object,
) error {
	if err := t.answers.canWrite(); err != nil {
		return err
	}
	ctx, cancel := t.answers.inTime(ctx)
	defer cancel()
	return t.answers.answerWrite(ctx, t.Interface.GuaranteedUpdate(ctx, key, destination, ignoreNotFound, preconditions, update, cached))
}

// Get implements storage.Interface.
func (t *translated) Get(ctx context.Context, key string, options genericstorage.GetOptions, into runtime.Object) error {
	if err := t.answers.canRead(); err != nil {
		return err
	}
	ctx, cancel := t.answers.inTime(ctx)
	defer cancel()
	return t.answers.answer(ctx, t.Interface.Get(ctx, key, options, into))
}

// GetList implements storage.Interface.
func (t *translated) GetList(ctx context.Context, key string, options genericstorage.ListOptions, into runtime.Object) error {
	if err := t.answers.canRead(); err != nil {
		return err
	}
	ctx, cancel := t.answers.inTime(ctx)
	defer cancel()
	return t.answers.answer(ctx, t.Interface.GetList(ctx, key, options, into))
}

// Watch implements storage.Interface. One that goes on from a revision needs the store only
// if that is long ago, and waits for it.
func (t *translated) Watch(ctx context.Context, key string, options genericstorage.ListOptions) (apiwatch.Interface, error) {
	if options.ResourceVersion == "" || options.ResourceVersion == "0" {
		if err := t.answers.canRead(); err != nil {
			return nil, err
		}
	}
	watched, err := t.Interface.Watch(ctx, key, options)
	if err != nil || !t.watchEvents {
		return watched, t.answers.answer(ctx, err)
	}
	return apiwatch.Filter(watched, t.answers.event), nil
}

// GetCurrentResourceVersion implements storage.Interface.
func (t *translated) GetCurrentResourceVersion(ctx context.Context) (uint64, error) {
	if err := t.answers.canRead(); err != nil {
		return 0, err
	}
	ctx, cancel := t.answers.inTime(ctx)
	defer cancel()
	revision, err := t.Interface.GetCurrentResourceVersion(ctx)
	return revision, t.answers.answer(ctx, err)
}

// Stats implements storage.Interface.
func (t *translated) Stats(ctx context.Context) (genericstorage.Stats, error) {
	if err := t.answers.canRead(); err != nil {
		return genericstorage.Stats{}, err
	}
	ctx, cancel := t.answers.inTime(ctx)
	defer cancel()
	stats, err := t.Interface.Stats(ctx)
	return stats, t.answers.answer(ctx, err)
}
