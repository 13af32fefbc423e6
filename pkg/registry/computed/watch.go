package computed

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	utilflowcontrol "k8s.io/apiserver/pkg/util/flowcontrol"

	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

const (
	// bookmarkPeriod is how often a watch is told how far it is, if it wants to know. It is told once
	// more that long before its end: its client goes on from there.
	bookmarkPeriod, bookmarkBeforeEnd = time.Minute, 2 * time.Second
)

// Watch sends what happens to stored and computed objects, in the order in which it happened. One
// that begins with what is there lists that.
func (r *REST[T]) Watch(ctx context.Context, options *metainternalversion.ListOptions) (watch.Interface, error) {
	if r.view.Source == nil || r.view.Log == nil {
		return r.REST.Watch(ctx, options)
	}
	if options == nil {
		options = &metainternalversion.ListOptions{}
	}
	initial, after, err := r.begin(ctx, options)
	if err != nil {
		return nil, err
	}
	follower, err := r.follows.join(ctx, after)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watching[T]{
		rest: r, ctx: ctx, cancel: cancel, options: options, namespace: genericapirequest.NamespaceValue(ctx),
		follower: follower, after: after, result: make(chan watch.Event),
	}
	if w.ahead, err = newer(initial, after); err != nil {
		cancel()
		follower.leave()
		return nil, err
	}
	go w.run(initial) // ends with ctx
	return w, nil
}

// begin returns the objects that a watch begins with, and the version that it goes on from.
func (r *REST[T]) begin(ctx context.Context, options *metainternalversion.ListOptions) (initial []runtime.Object, after int64, err error) {
	version := options.ResourceVersion
	anywhere := version == "" || version == "0"
	switch send := options.SendInitialEvents; {
	case send != nil && *send, send == nil && anywhere:
		asked := options.DeepCopy()
		asked.Limit, asked.Continue, asked.SendInitialEvents, asked.Watch, asked.AllowWatchBookmarks = 0, "", nil, false, false
		if anywhere { // as new as can be: there is less to tell afterwards
			asked.ResourceVersion, asked.ResourceVersionMatch = "", ""
		}
		list, err := r.List(ctx, asked)
		if err != nil {
			return nil, 0, err
		}
		if initial, err = meta.ExtractList(list); err != nil {
			return nil, 0, err
		}
		accessor, err := meta.ListAccessor(list)
		if err != nil {
			return nil, 0, err
		}
		version = accessor.GetResourceVersion()
	case anywhere:
		if after, err = r.view.Log.Revision(ctx); err != nil {
			return nil, 0, unanswered(err)
		}
		return nil, after, nil
	}
	if after, err = strconv.ParseInt(version, 10, 64); err != nil {
		return nil, 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion: %.20q must be one that a list or a watch gave", version))
	}
	return initial, after, nil
}

// ahead is an object that a watch begins with, and that is newer than the list: it was written while that was made.
type ahead struct {
	uid     types.UID
	version int64
}

// newer are the objects that are newer than the list which they are in, by name. What happened to them before that is no news.
func newer(initial []runtime.Object, after int64) (map[string]ahead, error) {
	objects := map[string]ahead{}
	for _, object := range initial {
		accessor, err := meta.Accessor(object)
		if err != nil {
			return nil, err
		}
		version, err := strconv.ParseInt(accessor.GetResourceVersion(), 10, 64)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		if version > after {
			objects[accessor.GetNamespace()+"/"+accessor.GetName()] = ahead{accessor.GetUID(), version}
		}
	}
	return objects, nil
}

// watching is one watch.
type watching[T objectstore.Object] struct {
	rest      *REST[T]
	ctx       context.Context
	cancel    context.CancelFunc
	options   *metainternalversion.ListOptions
	namespace string // empty for all
	follower  *follower[T]
	after     int64 // what was sent, or need not be
	ahead     map[string]ahead
	result    chan watch.Event
}

// Stop implements watch.Interface.
func (w *watching[T]) Stop() { w.cancel() }

// ResultChan implements watch.Interface.
func (w *watching[T]) ResultChan() <-chan watch.Event { return w.result }

// run sends events until the watch ends.
func (w *watching[T]) run(initial []runtime.Object) {
	defer close(w.result)
	defer w.cancel()
	defer w.follower.leave()
	for _, object := range initial {
		if !w.send(watch.Added, object) {
			return
		}
	}
	if send := w.options.SendInitialEvents; send != nil && *send && w.options.AllowWatchBookmarks && !w.bookmark(true) {
		return
	}
	utilflowcontrol.WatchInitialized(w.ctx)
	told := time.NewTimer(w.untilBookmark())
	defer told.Stop()
	for due := false; ; {
		event, reached, changed, err := w.follower.next(w.after)
		switch {
		case err != nil:
			w.fail(err)
			return
		case event != nil:
			if !w.tell(event) {
				return
			}
			continue
		}
		w.after = max(w.after, reached)
		if due {
			if due = false; w.options.AllowWatchBookmarks && !w.bookmark(false) {
				return
			}
			told.Reset(w.untilBookmark())
		}
		select {
		case <-changed:
		case <-told.C:
			due = true // it says how far the watch is now
		case <-w.ctx.Done():
			return
		}
	}
}

// untilBookmark is how long it is to the next one.
func (w *watching[T]) untilBookmark() time.Duration {
	if end, ends := w.ctx.Deadline(); ends {
		if left := time.Until(end) - bookmarkBeforeEnd; left > 0 && left < bookmarkPeriod {
			return left
		}
	}
	return bookmarkPeriod
}

// tell sends an event, if the watch is for it. It reports whether the watch goes on.
func (w *watching[T]) tell(e *entry[T]) bool {
	w.after = e.revision
	namespace, name := e.object.GetNamespace(), e.object.GetName()
	if w.namespace != "" && namespace != w.namespace || w.isOld(e, namespace+"/"+name) {
		return true
	}
	was := e.what != watch.Added && selects(w.options, e.before, namespace, name)
	is := e.what != watch.Deleted && selects(w.options, e.object.GetLabels(), namespace, name)
	if !was && !is {
		return true
	}
	if w.namespace != "" {
		sees, err := w.rest.view.Source.Sees(w.ctx, e.source.resource, &e.source.object)
		if err != nil {
			w.fail(err) // to leave the event out would lose it
			return false
		}
		if !sees {
			return true
		}
	}
	what := watch.Modified
	switch {
	case !was:
		what = watch.Added
	case !is:
		what = watch.Deleted
	}
	return w.send(what, e.object.DeepCopyObject()) // encoders write into it
}

// isOld reports whether the watch has begun with what is newer than an event. Another object of the name that came before that
// has taken its place, and the list was made from where it was not yet: then all is told.
func (w *watching[T]) isOld(e *entry[T], key string) bool {
	began, is := w.ahead[key]
	switch {
	case !is:
		return false
	case e.revision <= began.version && (e.what == watch.Deleted || e.object.GetUID() == began.uid):
		return true
	}
	delete(w.ahead, key)
	return false
}

// bookmark tells how far the watch is, and that what it begins with was sent.
func (w *watching[T]) bookmark(initialEventsEnd bool) bool {
	mark := w.rest.kind.New()
	mark.SetResourceVersion(strconv.FormatInt(w.after, 10))
	if initialEventsEnd {
		mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return w.send(watch.Bookmark, mark)
}

// fail says why the watch ends before its time.
func (w *watching[T]) fail(err error) {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	w.send(watch.Error, &status)
}

func (w *watching[T]) send(what watch.EventType, object runtime.Object) bool {
	select {
	case w.result <- watch.Event{Type: what, Object: object}:
		return true
	case <-w.ctx.Done():
		return false
	}
}
