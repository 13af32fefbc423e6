package hostwatch

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Source is a client of the objects that an informer caches, as generated ones are; L is the type
// of their list.
type Source[L runtime.Object] interface {
	List(ctx context.Context, options metav1.ListOptions) (L, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// Informer is an informer that can be told to list everything anew.
type Informer struct {
	cache.SharedIndexInformer
	watches  watches
	selector string
}

// NewInformer returns an informer on what source has, indexed by namespace. example is an object of
// its type.
func NewInformer[L runtime.Object](source Source[L], example runtime.Object) *Informer {
	return NewSelectingInformer(source, "", example)
}

// NewSelectingInformer is NewInformer for the objects that a selector of labels selects.
func NewSelectingInformer[L runtime.Object](source Source[L], selector string, example runtime.Object) *Informer {
	i := &Informer{selector: selector}
	i.SharedIndexInformer = cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.LabelSelector = selector
			return source.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = selector
			return i.watches.begin(options, func() (watch.Interface, error) { return source.Watch(ctx, options) })
		},
	}, example, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	return i
}

// ListAnew has everything listed again, in a moment. Handlers are told what that shows.
func (i *Informer) ListAnew() { i.watches.expire() }

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
