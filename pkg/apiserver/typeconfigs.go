package apiserver

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/tools/cache"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/static"
)

// typeConfigs is the storage of the FederatedTypeConfigs that count, without a way over the
// network.
type typeConfigs struct {
	registry  *static.Registry
	namespace string // the system namespace
}

// ListerWatcher is of what is stored: the condition Served is what comes of it.
func (t typeConfigs) ListerWatcher() cache.ListerWatcher {
	storage := t.registry.TypeConfigs.Store
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return storage.List(genericapirequest.WithNamespace(ctx, t.namespace), listOptions(options))
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			events, err := storage.Watch(genericapirequest.WithNamespace(ctx, t.namespace), listOptions(options))
			if err != nil {
				return nil, err
			}
			return watch.Filter(events, unwrap), nil
		},
	}
}

// SetServed makes each say of itself whether its kind is served, and if not, why,
// and what else there is to say.
func (t typeConfigs) SetServed(served []*corev1beta1.FederatedTypeConfig, refused, remarks map[*corev1beta1.FederatedTypeConfig]string) {
	t.registry.Served.Set(served, refused, remarks)
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
