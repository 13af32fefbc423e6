package objectstore

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
)

// WrapStorage returns options that describe the storages of others, wrapped: above the watch
// cache.
func WrapStorage(options generic.RESTOptionsGetter, wrap func(storage.Interface, schema.GroupResource) storage.Interface) generic.RESTOptionsGetter {
	return wrappedOptions{options, wrap}
}

type wrappedOptions struct {
	generic.RESTOptionsGetter
	wrap func(storage.Interface, schema.GroupResource) storage.Interface
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (o wrappedOptions) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	options, err := o.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil {
		return options, err
	}
	decorate := options.Decorator
	options.Decorator = func(
		config *storagebackend.ConfigForResource, resourcePrefix string,
		keyFunc func(runtime.Object) (string, error), newFunc, newListFunc func() runtime.Object,
		attrs storage.AttrFunc, triggers storage.IndexerFuncs, indexers *cache.Indexers,
	) (storage.Interface, factory.DestroyFunc, error) {
		inner, destroy, err := decorate(config, resourcePrefix, keyFunc, newFunc, newListFunc, attrs, triggers, indexers)
		if err != nil {
			return nil, nil, err
		}
		return o.wrap(inner, resource), destroy, nil
	}
	return options, nil
}
