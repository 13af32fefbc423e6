package fedclient

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Informer is an informer on all objects of a resource, which can be told to list them anew:
// the library's never does as long as nobody tells it that events were lost.
type Informer struct {
	cache.SharedIndexInformer
	watches watches
}

// NewInformer returns an informer that is indexed by namespace. It drops managedFields, which
// are half of a small object and nobody reads.
func (f *Factory) NewInformer(plural string) *Informer {
	client := f.Resource(plural, metav1.NamespaceAll)
	i := &Informer{}
	i.SharedIndexInformer = cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return i.watches.begin(options, func() (watch.Interface, error) { return client.Watch(ctx, options) })
		},
	}, &v1beta2.FederatedObject{}, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	// Fails only once the informer runs.
	_ = i.SetTransform(stripManagedFields)
	return i
}

// ListAnew has everything listed again, in a moment. Handlers are told what that shows.
func (i *Informer) ListAnew() { i.watches.expire() }

func stripManagedFields(object any) (any, error) {
	if federated, ok := object.(*v1beta2.FederatedObject); ok {
		federated.ManagedFields = nil
	}
	return object, nil
}

// watches are those of one informer, one after the other.
type watches struct {
	mu      sync.Mutex
	current watch.Interface // guarded by mu; it may have ended
	expired bool            // the next one must not be begun; guarded by mu
}

// expire ends the watch, and refuses the next one as API servers do that have forgotten what it
// asks for. A watch that lists first is what it is about.
func (w *watches) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expired = true
	if w.current != nil {
		w.current.Stop()
	}
}

func (w *watches) begin(options metav1.ListOptions, begin func() (watch.Interface, error)) (watch.Interface, error) {
	lists := options.SendInitialEvents != nil && *options.SendInitialEvents
	w.mu.Lock()
	expired := w.expired
	w.expired = false
	w.mu.Unlock()
	if expired && !lists {
		return nil, apierrors.NewResourceExpired("events were lost")
	}
	begun, err := begin()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = begun
	return begun, nil
}
