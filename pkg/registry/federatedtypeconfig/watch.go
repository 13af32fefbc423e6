package federatedtypeconfig

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// watcher adds to what is stored what is served: the condition in every event, and an
// event MODIFIED for an object whose condition has changed although it did not.
type watcher struct {
	stored watch.Interface
	served *Served
	// list returns what the watch may see, as of now.
	list   func(ctx context.Context) (*v1beta1.FederatedTypeConfigList, error)
	result chan watch.Event
	cancel context.CancelFunc

	// seen is the version up to which the client has seen what is stored. An object that
	// is younger has an event under way, which will have the condition of that time.
	seen string
}

// watchServed wraps a watch that begins at a version. It ends with the watch, with ctx, or
// when it is stopped.
func watchServed(ctx context.Context, stored watch.Interface, served *Served, from string, list func(context.Context) (*v1beta1.FederatedTypeConfigList, error)) watch.Interface {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{stored: stored, served: served, list: list, result: make(chan watch.Event), cancel: cancel, seen: from}
	go w.run(ctx)
	return w
}

func (w *watcher) Stop() {
	w.stored.Stop()
	w.cancel()
}

func (w *watcher) ResultChan() <-chan watch.Event { return w.result }

func (w *watcher) run(ctx context.Context) {
	defer close(w.result)
	defer w.Stop()
	for n := w.served.recentNews(); ; {
		if len(n.uids) > 0 && !w.tell(ctx, n.uids) {
			return
		}
		if !w.passOn(ctx, n.next) {
			return
		}
		n = w.served.newsSince(n.round)
	}
}

// passOn sends what is stored until there is news. It reports whether the watch goes on.
func (w *watcher) passOn(ctx context.Context, news <-chan struct{}) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-news:
			return true
		case event, ok := <-w.stored.ResultChan():
			if !ok || !w.send(ctx, w.decorated(event)) {
				return false
			}
		}
	}
}

// tell sends an event for each of the configurations that the client knows as they are
// stored. It reports whether the watch goes on.
func (w *watcher) tell(ctx context.Context, uids map[types.UID]bool) bool {
	items, err := w.list(ctx)
	if err != nil {
		// The client begins anew, and lists what we could not.
		return false
	}
	for i := range items.Items {
		item := &items.Items[i]
		if !uids[item.UID] || !w.hasSeen(item.ResourceVersion) {
			continue
		}
		w.served.decorate(item)
		if !w.send(ctx, watch.Event{Type: watch.Modified, Object: item}) {
			return false
		}
	}
	return true
}

func (w *watcher) hasSeen(version string) bool {
	order, err := resourceversion.CompareResourceVersion(version, w.seen)
	return err == nil && order <= 0
}

func (w *watcher) send(ctx context.Context, event watch.Event) bool {
	select {
	case w.result <- event:
		return true
	case <-ctx.Done():
		return false
	}
}

// decorated returns an event with the condition in its object, and remembers how far it
// has come.
func (w *watcher) decorated(event watch.Event) watch.Event {
	object := event.Object
	if shared, ok := object.(runtime.CacheableObject); ok {
		object = shared.GetObject().DeepCopyObject() // it is encoded once for all watches
	}
	config, ok := object.(*v1beta1.FederatedTypeConfig)
	if !ok {
		return event // an error
	}
	w.seen = config.ResourceVersion
	if event.Type != watch.Bookmark {
		w.served.decorate(config)
	}
	return watch.Event{Type: event.Type, Object: config}
}

// from returns the version that a watch begins at, "0" for one that begins with events of
// all there is.
func from(options *metainternalversion.ListOptions) string {
	if options == nil || options.ResourceVersion == "" {
		return "0"
	}
	return options.ResourceVersion
}
