package scheduler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
)

const (
	// readersPerMember is how many targets are read in one member at a time.
	readersPerMember = 2
	// readAgain is how soon a target may be read again that a decision waits for.
	readAgain = time.Second
	// unschedulableFor is how long a pod has found no node before that counts.
	unschedulableFor = time.Minute
)

// conn reads a member; memberclient.Conn does.
type conn interface {
	Get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error)
	Unschedulable(ctx context.Context, namespace, selector string, before time.Time) (int64, error)
}

// request is one target to be read.
type request struct {
	key             key
	target, member  string
	conn            conn
	resource        schema.GroupVersionResource
	namespace, name string
	// source is how the member names the federated object.
	source string
	// pods says that pods are read, if not all replicas are ready.
	pods bool
}

// place of an object in a member. A target that moves has another one.
type place struct{ member, namespace, name string }

func (q request) place() place { return place{q.member, q.namespace, q.name} }

// known is what was read of a target, in a place.
type known struct {
	place   place
	reading replicas.Reading
	// version is the resourceVersion of the object that was read; empty if there was none.
	version string
	// read is when that was, asked when it was tried last, and pods when those were listed. Zero: never.
	read, asked, pods time.Time
	// underWay: it is being read, or about to be.
	underWay bool
}

// reader reads targets, each member by itself: one that does not answer holds up nobody else.
type reader struct {
	done func(key)
	now  func() time.Time
	wg   sync.WaitGroup

	mu    sync.Mutex
	known map[key]map[string]*known // by target; guarded by mu, and so is what it holds
	lanes map[string]*lane          // by member; guarded by mu
}

// lane has what is to be read in one member: each target once.
type lane struct {
	waiting []request
	readers int
}

// newReader returns a reader that calls done for each target that was read.
func newReader(done func(key), now func() time.Time) *reader {
	return &reader{done: done, now: now, known: map[key]map[string]*known{}, lanes: map[string]*lane{}}
}

// wait returns when nothing is being read any more.
func (r *reader) wait() { r.wg.Wait() }

// forget drops what was read of an object.
func (r *reader) forget(k key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, k)
}

// reading returns what was read of a target in the place where it is, since its member is as it is; nil if nothing was. version
// is what a cache shows now, empty if it shows nothing: it is then looked at again in time. Of what was read a
// moment ago there is news soon: else who changes it all the time would be waited for.
func (r *reader) reading(k key, target string, at place, version string, since time.Time) (reading *replicas.Reading, stale, soon bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.known[k][target]
	if found == nil || found.place != at || found.read.IsZero() || found.read.Before(since) {
		return nil, false, false
	}
	copied := found.reading
	age := r.now().Sub(found.read)
	switch {
	case copied.Failed: // it is tried again in time, and nothing waits for it
		return &copied, false, false
	case version == "":
		return &copied, age >= replicas.ReadEvery, false
	case version == found.version:
		return &copied, false, false
	}
	return &copied, age >= readAgain, age < readAgain
}

// ask has a target read, unless that was done so short a time ago: it then returns how long to wait.
func (r *reader) ask(ctx context.Context, q request, every time.Duration) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	targets := r.known[q.key]
	if targets == nil {
		targets = map[string]*known{}
		r.known[q.key] = targets
	}
	k := targets[q.target]
	if k == nil || k.place != q.place() {
		k = &known{place: q.place()}
		targets[q.target] = k
	}
	if k.underWay {
		return 0
	}
	if wait := every - r.now().Sub(k.asked); !k.asked.IsZero() && wait > 0 {
		return wait
	}
	k.underWay, k.asked = true, r.now()
	l := r.lanes[q.member]
	if l == nil {
		l = &lane{}
		r.lanes[q.member] = l
	}
	l.waiting = append(l.waiting, q)
	if l.readers < readersPerMember {
		l.readers++
		// Ends when nothing waits in the lane; ctx ends the calls.
		r.wg.Go(func() { r.readAll(ctx, q.member, l) })
	}
	return 0
}

// readAll reads what waits in a lane.
func (r *reader) readAll(ctx context.Context, member string, l *lane) {
	for {
		r.mu.Lock()
		if len(l.waiting) == 0 || ctx.Err() != nil {
			if l.readers--; l.readers == 0 && r.lanes[member] == l {
				delete(r.lanes, member)
			}
			r.mu.Unlock()
			return
		}
		q := l.waiting[0]
		l.waiting = l.waiting[1:]
		r.mu.Unlock()
		r.readOne(ctx, q)
		r.done(q.key)
	}
}

// readOne reads one target, and notes what it says.
func (r *reader) readOne(ctx context.Context, q request) {
	r.mu.Lock()
	k := r.known[q.key][q.target]
	if k == nil || k.place != q.place() {
		r.mu.Unlock()
		return // nobody wants to know any more
	}
	before := *k
	r.mu.Unlock()
	found, err := q.read(ctx, before, r.now())
	r.mu.Lock()
	defer r.mu.Unlock()
	k.underWay = false
	if err == nil {
		k.reading, k.version, k.read, k.pods = found.reading, found.version, r.now(), found.pods
		return
	}
	klog.FromContext(ctx).V(2).Info("Failed to read what runs in a target", "item", q.key, "target", q.target, "problem", err.Error())
	k.reading.Failed, k.read = true, r.now()
}

// read reads the object and, if not all of it is ready, its pods.
func (q request) read(ctx context.Context, before known, now time.Time) (known, error) {
	object, err := q.conn.Get(ctx, q.resource, q.namespace, q.name)
	if err != nil {
		return known{}, fmt.Errorf("read the object: %w", err)
	}
	found := known{pods: before.pods}
	if object == nil || !q.isOurs(object) {
		return found, nil
	}
	found.version = object.GetResourceVersion()
	found.reading.Replicas = number(object, 1, "spec", "replicas")
	found.reading.Ready = number(object, 0, "status", "readyReplicas")
	if !q.pods || found.reading.Replicas <= found.reading.Ready {
		return found, nil
	}
	if !before.pods.IsZero() && now.Sub(before.pods) < replicas.ReadEvery {
		found.reading.Unschedulable = min(before.reading.Unschedulable, found.reading.Replicas-found.reading.Ready)
		return found, nil
	}
	selector, err := selectorOf(object)
	if err != nil {
		return known{}, err
	}
	found.pods = now
	found.reading.Unschedulable, err = q.conn.Unschedulable(ctx, q.namespace, selector, now.Add(-unschedulableFor))
	if apierrors.IsForbidden(err) {
		return found, nil // nobody will know of a capacity there
	}
	if err != nil {
		return known{}, fmt.Errorf("read pods: %w", err)
	}
	return found, nil
}

// isOurs reports whether the object comes from the federated object. KubeFed names none.
func (q request) isOurs(object *unstructured.Unstructured) bool {
	source, named := object.GetAnnotations()[manifest.SourceAnnotation]
	return object.GetLabels()[v1beta1.ManagedLabel] == "true" && (!named || source == q.source)
}

func number(object *unstructured.Unstructured, absent int64, path ...string) int64 {
	value, found, err := unstructured.NestedInt64(object.Object, path...)
	if !found || err != nil {
		return absent
	}
	return value
}

// selectorOf returns the selector of a workload's pods.
func selectorOf(object *unstructured.Unstructured) (string, error) {
	fields, _, err := unstructured.NestedMap(object.Object, "spec", "selector")
	if err != nil {
		return "", fmt.Errorf("read spec.selector: %w", err)
	}
	var selector metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &selector); err != nil {
		return "", fmt.Errorf("read spec.selector: %w", err)
	}
	parsed, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return "", fmt.Errorf("read spec.selector: %w", err)
	}
	if parsed.Empty() {
		return "", errors.New("read spec.selector: it is empty")
	}
	return parsed.String(), nil
}
