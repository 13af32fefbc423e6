package computed

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/lru"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// notePeriod is how often a follower looks whether there are other kinds.
const notePeriod = 2 * time.Second

// What the log of a follower holds at most. Who is further behind lists again.
const (
	logEntries = 10_000
	logBytes   = 32 << 20
)

// rememberedKeys is of how many federated objects it is remembered whether there was one, at some 200 bytes.
const rememberedKeys = 8192

// entry is one event.
type entry[T objectstore.Object] struct {
	revision int64
	what     watch.EventType
	// object is as it is now, or was before it was deleted. It is shared.
	object T
	// before are the labels that it had before.
	before map[string]string
	source origin
	bytes  int
}

// origin is what decides who is shown an object.
type origin struct {
	resource schema.GroupResource
	object   metav1.ObjectMeta // no more than that takes
}

// follower makes a log of what happens to the objects of a kind.
type follower[T objectstore.Object] struct {
	rest    *REST[T]
	kinds   []federated.Kind
	sources []objectstore.Encoding // of the kinds
	stored  objectstore.Encoding
	began   int64
	cancel  context.CancelFunc

	// names of stored objects, with their namespaces; of run alone.
	names map[string]bool
	// has says whether there was one of a federated object after its last change, by key: what was before the
	// next one need not be decoded for that. Of run alone.
	has *lru.Cache

	mu sync.Mutex // guards what follows
	// entries in the order of their revisions.
	entries []entry[T]
	bytes   int
	// forgotten is the revision of the newest event that is not there any more, or the one after which
	// the log begins; reached is the one up to which it is complete.
	forgotten, reached int64
	changed            chan struct{} // closed and replaced when there is something new
	ended              error         // why there will be nothing more; nil if there may be
	watches            int
	resting            *time.Timer // nil if somebody watches
}

// newFollower finds out what is stored at a revision.
func newFollower[T objectstore.Object](ctx context.Context, rest *REST[T], kinds []federated.Kind, after int64) (*follower[T], error) {
	f := &follower[T]{rest: rest, stored: rest.Encoding(), began: after, forgotten: after, reached: after, names: map[string]bool{}, has: lru.New(rememberedKeys), changed: make(chan struct{})}
	for _, kind := range kinds {
		if encoding, served := rest.view.Source.Encoding(kind); served {
			f.kinds, f.sources = append(f.kinds, kind), append(f.sources, encoding)
		}
	}
	keys, err := rest.view.Log.Keys(ctx, f.stored.Prefix, after)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if namespace, name, ok := f.stored.NameOf(key, rest.kind.Scope); ok {
			f.names[namespace+"/"+name] = true
		}
	}
	return f, nil
}

// run follows the store until ctx ends, or something goes wrong.
func (f *follower[T]) run(ctx context.Context) {
	prefixes := []string{f.stored.Prefix}
	for _, source := range f.sources {
		prefixes = append(prefixes, source.Prefix)
	}
	var noting sync.WaitGroup
	defer noting.Wait()
	noting.Go(func() { // ends with ctx, which the end of the follower ends
		for sleep(ctx, notePeriod) {
			_, _ = f.rest.follows.note(ctx) // if it cannot be told, it is tried again
		}
	})
	last := slices.Max(prefixes)
	err := f.rest.view.Log.Follow(ctx, slices.Min(prefixes), strings.TrimSuffix(last, "/")+"0", f.began, // "0" comes after "/"
		func(key string, value, before []byte, revision int64) error {
			return f.take(ctx, key, value, before, revision)
		})
	f.end(unanswered(err))
}

// end has all watches end with an error, once they have read what is there.
func (f *follower[T]) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endLocked(err)
}

func (f *follower[T]) endLocked(err error) {
	f.cancel()
	if f.ended == nil {
		f.ended = err
		f.tell()
	}
}

// tell wakes those who wait.
func (f *follower[T]) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func sleep(ctx context.Context, period time.Duration) bool {
	select {
	case <-time.After(period):
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *follower[T]) hasEnded() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended != nil
}

// upTo returns the revision up to which the log is complete.
func (f *follower[T]) upTo() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reached
}

// join counts a watch, and returns after which revision the log has everything.
func (f *follower[T]) join() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watches++
	if f.resting != nil {
		f.resting.Stop()
		f.resting = nil
	}
	return f.forgotten
}

func (f *follower[T]) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watches--; f.watches > 0 {
		return
	}
	f.resting = time.AfterFunc(idle, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.watches == 0 {
			f.endLocked(apierrors.NewResourceExpired("nobody watched"))
		}
	})
}

// change is one change of a key of a kind: of a federated one, or, where that is -1, of the stored objects.
type change struct {
	kind            int
	namespace, name string // of the object with the key
	key             string
	value, before   []byte
	revision        int64
}

// take adds what a change of the store does to the log.
func (f *follower[T]) take(ctx context.Context, key string, value, before []byte, revision int64) error {
	c, ours := change{}, false
	if key != "" {
		c, ours = f.changeOf(key)
	}
	if !ours {
		f.reach(revision)
		return nil
	}
	c.key, c.value, c.before, c.revision = key, value, before, revision
	record := c.name
	if c.kind >= 0 {
		var named bool
		if record, named = f.rest.kind.NameOf(f.kinds[c.kind], c.name); !named {
			f.reach(revision)
			return nil
		}
	}
	was, err := f.at(ctx, &c, record, false)
	if err != nil {
		return err
	}
	f.has.Remove(key) // it may not be looked at now
	if c.kind < 0 {
		if f.names[c.namespace+"/"+c.name] = true; value == nil {
			delete(f.names, c.namespace+"/"+c.name)
		}
	}
	now, err := f.at(ctx, &c, record, true)
	if err != nil {
		return err
	}
	e, err := entryOf(&c, was, now)
	if err != nil {
		return err
	}
	f.add(e)
	return nil
}

// changeOf finds the object with a key.
func (f *follower[T]) changeOf(key string) (c change, ok bool) {
	if c.namespace, c.name, ok = f.stored.NameOf(key, f.rest.kind.Scope); ok {
		c.kind = -1
		return c, true
	}
	for i, source := range f.sources {
		if c.namespace, c.name, ok = source.NameOf(key, f.rest.kind.Scope); ok {
			c.kind = i
			return c, true
		}
	}
	return c, false
}

// state says that there was an object at some time.
type state[T objectstore.Object] struct {
	// key of what it was read or is computed from.
	key    string
	labels map[string]string
	// make returns the object, and who sees it. What is computed is computed by it: of what was before a change
	// mostly nobody needs more than that it was.
	make func() (T, origin, error)
}

// at returns the object of a name before or after a change, as Get would have; nil if there was none. The store is asked for
// what the change does not say: where some are stored, or two kinds have the same names.
func (f *follower[T]) at(ctx context.Context, c *change, name string, after bool) (*state[T], error) {
	if c.kind < 0 || f.names[c.namespace+"/"+name] {
		object, err := f.read(ctx, c, -1, name, after)
		if err != nil {
			return nil, err
		}
		if stored, ok := object.(T); ok {
			return &state[T]{f.stored.Key(c.namespace, name), stored.GetLabels(), func() (T, origin, error) {
				return stored, originOf(f.rest.DefaultQualifiedResource, stored), nil
			}}, nil
		}
	}
	for i, kind := range f.kinds {
		of, ok := f.rest.kind.ObjectOf(kind, name)
		if !ok {
			continue
		}
		s, err := f.of(ctx, c, i, of, after)
		if err != nil || s != nil {
			return s, err
		}
	}
	return nil, nil
}

// of is at, of what is computed of an object of a kind.
func (f *follower[T]) of(ctx context.Context, c *change, kind int, name string, after bool) (*state[T], error) {
	key := f.sources[kind].Key(c.namespace, name)
	if had, known := f.has.Get(key); known && key == c.key && !after {
		if had == false {
			return nil, nil
		}
		return &state[T]{key, nil, func() (object T, _ origin, err error) {
			o, err := f.read(ctx, c, kind, name, after)
			if err != nil {
				return object, origin{}, err
			}
			return f.compute(kind, o)
		}}, nil
	}
	o, err := f.read(ctx, c, kind, name, after)
	if err != nil {
		return nil, err
	}
	read, ok := o.(*typesv1beta2.FederatedObject)
	has := ok && f.rest.kind.Has(read)
	if key == c.key {
		f.has.Add(key, has)
	}
	if !has {
		return nil, nil
	}
	return &state[T]{key, nil, func() (T, origin, error) { return f.compute(kind, o) }}, nil
}

// compute returns what is computed of an object of a kind, and who sees it.
func (f *follower[T]) compute(kind int, object any) (computed T, _ origin, err error) {
	o, ok := object.(*typesv1beta2.FederatedObject)
	if !ok {
		return computed, origin{}, fmt.Errorf("a federated object is a %T", object)
	}
	computed, err = f.rest.kind.Of(f.kinds[kind], o)
	return computed, originOf(f.kinds[kind].GroupResource(), o), err
}

// read returns an object before or after a change; nil if it was not there.
func (f *follower[T]) read(ctx context.Context, c *change, kind int, name string, after bool) (any, error) {
	encoding, revision := f.stored, c.revision
	if kind >= 0 {
		encoding = f.sources[kind]
	}
	if !after {
		revision--
	}
	key := encoding.Key(c.namespace, name)
	value := c.value
	switch {
	case key != c.key:
		var err error
		if value, err = f.rest.view.Log.Value(ctx, key, revision); err != nil {
			return nil, err
		}
	case !after:
		value = c.before
	}
	if value == nil {
		return nil, nil
	}
	return encoding.Decode(ctx, key, value, revision)
}

func originOf(resource schema.GroupResource, object metav1.Object) origin {
	of := metav1.ObjectMeta{Namespace: object.GetNamespace(), Name: object.GetName()}
	if uid, bound := object.GetAnnotations()[federationv1alpha1.NamespaceUIDAnnotation]; bound {
		of.Annotations = map[string]string{federationv1alpha1.NamespaceUIDAnnotation: uid}
	}
	return origin{resource, of}
}

// entryOf is the event of a change; one without an object if there is none. Its version is that of the
// change, whatever the object's was: from there a watch goes on.
func entryOf[T objectstore.Object](c *change, was, now *state[T]) (e entry[T], err error) {
	e = entry[T]{revision: c.revision, bytes: len(c.value) + len(c.before)}
	shown := now
	switch {
	case was == nil && now == nil, was != nil && now != nil && was.key == now.key && was.key != c.key:
		return e, nil
	case was == nil:
		e.what = watch.Added
	case now == nil:
		e.what, shown = watch.Deleted, was
	default:
		e.what = watch.Modified
	}
	if was != nil {
		e.before = was.labels
	}
	if e.object, e.source, err = shown.make(); err != nil {
		return e, err
	}
	e.object.SetResourceVersion(strconv.FormatInt(c.revision, 10))
	return e, nil
}

// add appends an event, if there is one.
func (f *follower[T]) add(e entry[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reached = e.revision
	if e.what == "" {
		return
	}
	f.entries = append(f.entries, e)
	if f.bytes += e.bytes; len(f.entries) > logEntries || f.bytes > logBytes {
		f.forget()
	}
	f.tell()
}

// forget drops the older half of the log, and more if what is left is too large still.
func (f *follower[T]) forget() {
	drop := 0
	for drop < len(f.entries)-1 && (drop < len(f.entries)/2 || f.bytes > logBytes/2) {
		f.bytes -= f.entries[drop].bytes
		drop++
	}
	if drop == 0 {
		return // there is one event alone
	}
	f.forgotten = f.entries[drop-1].revision
	f.entries = slices.Clone(f.entries[drop:])
}

// reach notes that everything up to a revision was told.
func (f *follower[T]) reach(revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reached = max(f.reached, revision)
}

// next returns the first event after a revision: one alone, so that a client that does not read keeps no more of
// the log than that. If there is none, what is nil, and it returns when to ask again, and up to which revision there are none.
func (f *follower[T]) next(after int64) (what *entry[T], reached int64, changed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after < f.forgotten {
		return nil, 0, nil, tooOld(after, f.forgotten)
	}
	at, _ := slices.BinarySearchFunc(f.entries, after+1, func(e entry[T], revision int64) int { return cmp.Compare(e.revision, revision) })
	switch {
	case at < len(f.entries):
		first := f.entries[at]
		return &first, 0, nil, nil
	case f.ended != nil:
		return nil, 0, nil, f.ended
	}
	return nil, f.reached, f.changed, nil
}
