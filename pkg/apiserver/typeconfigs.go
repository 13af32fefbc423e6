package apiserver

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/static"
)

// typeConfigs is the storage of FederatedTypeConfigs, without a way over the network.
type typeConfigs struct{ registry *static.Registry }

// ListerWatcher is of all namespaces.
func (t typeConfigs) ListerWatcher() cache.ListerWatcher {
	storage := t.registry.TypeConfigs
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return storage.List(genericapirequest.WithNamespace(ctx, metav1.NamespaceAll), listOptions(options))
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			events, err := storage.Watch(genericapirequest.WithNamespace(ctx, metav1.NamespaceAll), listOptions(options))
			if err != nil {
				return nil, err
			}
			return watch.Filter(events, unwrap), nil
		},
	}
}

// unwrap takes the object out of what the watch cache hands to encoders.
func unwrap(event watch.Event) (watch.Event, bool) {
	if cached, ok := event.Object.(runtime.CacheableObject); ok {
		event.Object = cached.GetObject()
	}
	return event, true
}

func listOptions(o metav1.ListOptions) *metainternalversion.ListOptions {
	return &metainternalversion.ListOptions{
		ResourceVersion:      o.ResourceVersion,
		ResourceVersionMatch: o.ResourceVersionMatch,
		AllowWatchBookmarks:  o.AllowWatchBookmarks,
		SendInitialEvents:    o.SendInitialEvents,
		TimeoutSeconds:       o.TimeoutSeconds,
		Watch:                o.Watch,
	}
}

// UpdateStatus changes the status of one, and tries again when somebody else was first.
func (t typeConfigs) UpdateStatus(ctx context.Context, namespace, name string, change func(*corev1beta1.FederatedTypeConfig) bool) error {
	ctx = genericapirequest.WithNamespace(ctx, namespace)
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		obj, err := t.registry.TypeConfigs.Get(ctx, name, &metav1.GetOptions{})
		if err != nil {
			return err
		}
		config := obj.DeepCopyObject().(*corev1beta1.FederatedTypeConfig)
		if !change(config) {
			return nil
		}
		_, _, err = t.registry.TypeConfigStatus.Update(ctx, name, rest.DefaultUpdatedObjectInfo(config),
			rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
		return err
	})
}
