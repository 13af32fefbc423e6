package targets

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/endpoints/request"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// IsWatch reports whether a request is for events of targets: it goes on for as long as somebody wants
// it to. API servers do not tell by its verb, which is get.
func IsWatch(r *http.Request, info *request.RequestInfo) bool {
	if !info.IsResourceRequest || info.APIGroup != federated.GroupName || info.Subresource != Subresource || r.Method != http.MethodGet {
		return false
	}
	watches, err := strconv.ParseBool(r.URL.Query().Get("watch"))
	return err == nil && watches
}

// ServeWatch answers with events, first one for each target, until the time that the request says is
// over. An error is one of the API, and nothing was written then.
func (r *REST) ServeWatch(w http.ResponseWriter, req *http.Request, name, path string) error {
	within, err := r.timeout(req)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(req.Context(), within)
	defer cancel()
	options := &federationv1alpha1.TargetObjectOptions{Path: path}
	q, only, err := r.query(ctx, name, options)
	if err != nil {
		return err
	}
	t := &watching{REST: r, ctx: ctx, w: w, name: name, federation: q.federation, stirred: make(chan struct{}, 1),
		followers: map[string]*follower{}, dirty: map[string]bool{}, budget: &budget{left: r.reader.allWatchedBytes, of: r.reader.watchedBytes}}
	if only != nil {
		t.only = only.Name
	}
	if user, ok := request.UserFrom(ctx); ok {
		t.user = user.GetName()
	}
	if err := r.reader.watched.add(t.user, 1, t.count(q.object)); err != nil {
		return apierrors.NewTooManyRequests(err.Error(), 5)
	}
	t.counted = t.count(q.object)
	defer func() { _ = r.reader.watched.add(t.user, -1, -t.counted) }()
	changes, err := t.changes(q.object.ResourceVersion)
	if err != nil {
		return err
	}
	t.run(q.object, changes)
	return nil
}

// timeout is how long a watch goes on.
func (r *REST) timeout(req *http.Request) (time.Duration, error) {
	if r.reader == nil {
		return 0, nil // it is refused
	}
	text := req.URL.Query().Get("timeoutSeconds")
	if text == "" {
		return r.reader.Longest, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 32)
	if err != nil || seconds < 1 {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("timeoutSeconds: %.20q must be a number of seconds, at least 1", text))
	}
	return min(time.Duration(seconds)*time.Second, r.reader.Longest), nil
}

// watching is one watch.
type watching struct {
	*REST
	ctx        context.Context
	w          http.ResponseWriter
	name       string // of the federated object
	only       string // the target that is watched; empty for all
	federation string
	user       string // who watches
	counted    int    // targets that count as followed

	// stirred has a token when there is something new to look at.
	stirred chan struct{}
	budget  *budget
	running sync.WaitGroup // followers

	// followers by target, and this map, are of run alone.
	followers map[string]*follower

	mu    sync.Mutex      // guards dirty, and what followers share
	dirty map[string]bool // targets of which there may be something new
}

// count is how many targets of an object the watch follows.
func (t *watching) count(o *typesv1beta2.FederatedObject) int {
	if t.only != "" {
		return 1
	}
	return len(recordsOf(o))
}

// changes follows the federated object.
func (t *watching) changes(version string) (watch.Interface, error) {
	return t.objects.Watch(t.ctx, &metainternalversion.ListOptions{
		Watch: true, ResourceVersion: version, FieldSelector: fields.OneTermEqualSelector("metadata.name", t.name),
	})
}

// run sends events until the watch ends. It returns once all followers have ended.
func (t *watching) run(o *typesv1beta2.FederatedObject, changes watch.Interface) {
	defer func() { changes.Stop() }()
	defer func() {
		for _, f := range t.followers {
			f.stop()
			f.forget()
		}
		t.running.Wait()
	}()
	t.w.Header().Set("Content-Type", "application/json")
	t.w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(t.w).Flush()
	err := t.take(o)
	for err == nil {
		select {
		case <-t.ctx.Done():
			return
		case <-t.stirred:
			err = t.tell(o)
		case event, open := <-changes.ResultChan():
			var next *typesv1beta2.FederatedObject
			if next = objectOf(event); !open || event.Type == watch.Error {
				changes.Stop()
				next, changes, err = t.again()
			}
			if err != nil || next == nil {
				break
			}
			if event.Type == watch.Deleted || next.UID != o.UID {
				t.farewell(o)
				return
			}
			o = next
			err = t.take(o)
		}
	}
	switch {
	case t.ctx.Err() != nil:
	case apierrors.IsNotFound(err):
		t.farewell(o)
	default:
		t.end(err)
	}
}

// objectOf takes the object out of what the watch cache hands to encoders; nil if there is none.
func objectOf(event watch.Event) *typesv1beta2.FederatedObject {
	object := event.Object
	if cached, ok := object.(runtime.CacheableObject); ok {
		object = cached.GetObject()
	}
	o, _ := object.(*typesv1beta2.FederatedObject)
	return o
}

// again reads the federated object anew, and follows it from there.
func (t *watching) again() (*typesv1beta2.FederatedObject, watch.Interface, error) {
	none := watch.NewEmptyWatch()
	if !wait(t.ctx, t.reader.retry) {
		return nil, none, t.ctx.Err()
	}
	obj, err := t.objects.Get(t.ctx, t.name, &metav1.GetOptions{})
	if err != nil {
		return nil, none, err
	}
	o, ok := obj.(*typesv1beta2.FederatedObject)
	if !ok {
		return nil, none, fmt.Errorf("get %s %q: got a %T", t.kind.Kind, t.name, obj)
	}
	changes, err := t.changes(o.ResourceVersion)
	if err != nil {
		return nil, none, err
	}
	return o, changes, nil
}

// take follows the targets that the object has now, and tells of those that it has no longer.
func (t *watching) take(o *typesv1beta2.FederatedObject) error {
	if err := t.reader.watched.add(t.user, 0, t.count(o)-t.counted); err != nil {
		return apierrors.NewTooManyRequests(err.Error(), 5)
	}
	t.counted = t.count(o)
	there := map[string]bool{}
	for i := range recordsOf(o) {
		record := &recordsOf(o)[i]
		if t.only != "" && record.Name != t.only {
			continue
		}
		there[record.Name] = true
		q := query{t.kind, o, t.federation}
		if f := t.followers[record.Name]; f != nil && f.sameAs(q, record) {
			f.update(q, record)
			continue
		} else if f != nil {
			f.stop() // it is elsewhere now
			f.forget()
		}
		t.follow(q, record)
	}
	for _, name := range slices.Sorted(maps.Keys(t.followers)) {
		if there[name] {
			continue
		}
		f := t.followers[name]
		f.stop()
		delete(t.followers, name)
		if err := t.sayGone(o, f); err != nil {
			return err
		}
	}
	return t.tell(o)
}

// follow begins to follow a target. What the client was told of it before stays in the new follower.
func (t *watching) follow(q query, record *typesv1beta2.TargetStatus) {
	f := &follower{watching: t, query: q, record: *record}
	if before := t.followers[record.Name]; before != nil {
		f.told, f.sum = before.told, before.sum
	}
	ctx, cancel := context.WithCancel(t.ctx)
	f.cancel = cancel
	t.followers[record.Name] = f
	t.running.Go(func() { f.run(ctx) }) // ends with ctx
}

// tell sends what is new of targets.
func (t *watching) tell(o *typesv1beta2.FederatedObject) error {
	t.mu.Lock()
	dirty := t.dirty
	t.dirty = map[string]bool{}
	t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(dirty)) {
		f := t.followers[name]
		if f == nil {
			continue
		}
		item, known := f.item(t.ctx, o)
		if !known {
			continue
		}
		data, err := json.Marshal(item)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		if f.told && sum == f.sum {
			continue
		}
		what := watch.Modified
		if !f.told {
			what = watch.Added
		}
		if err := t.send(what, data); err != nil {
			return err
		}
		f.told, f.sum = true, sum
	}
	return nil
}

// sayGone tells of a target that is none any more, if the client knows it.
func (t *watching) sayGone(o *typesv1beta2.FederatedObject, f *follower) error {
	item, _ := f.item(t.ctx, o)
	f.forget()
	if !f.told {
		return nil
	}
	data, err := json.Marshal(item)
	if err != nil {
		return err
	}
	return t.send(watch.Deleted, data)
}

// farewell tells that there are no targets any more: the federated object is gone.
func (t *watching) farewell(o *typesv1beta2.FederatedObject) {
	for _, name := range slices.Sorted(maps.Keys(t.followers)) {
		if t.sayGone(o, t.followers[name]) != nil {
			return
		}
	}
}

// end says in an event why a watch ends before its time.
func (t *watching) end(err error) {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		return // the client does not read
	}
	status := known.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if data, err := json.Marshal(status); err == nil {
		_ = t.send(watch.Error, data)
	}
}

// send writes one event.
func (t *watching) send(what watch.EventType, object []byte) error {
	control := http.NewResponseController(t.w)
	_ = control.SetWriteDeadline(time.Now().Add(t.reader.clientPatience)) // who cannot has no deadline
	if _, err := t.w.Write(slices.Concat([]byte(`{"type":"`+string(what)+`","object":`), object, []byte("}\n"))); err != nil {
		return err
	}
	if err := control.Flush(); err != nil {
		return err
	}
	_ = control.SetWriteDeadline(time.Time{}) // of HTTP/2, one that is over ends a stream that is idle
	return nil
}

func (t *watching) stir() {
	select {
	case t.stirred <- struct{}{}:
	default: // there is one that was not read
	}
}
