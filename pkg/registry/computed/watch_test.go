package computed_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// listWatcher is what both views are.
type listWatcher interface {
	rest.Lister
	rest.Watcher
}

// contents are objects by name, without the versions, by which alone a list and events may differ.
func contents(t *testing.T, objects []runtime.Object) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, object := range objects {
		accessor, err := meta.Accessor(object)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(accessor.GetUID(), accessor.GetLabels())
		switch o := object.(type) {
		case *v1alpha1.PropagatedVersion:
			text += fmt.Sprint(o.Status)
		case *v1alpha1.FederatedServiceStatus:
			for _, c := range o.ClusterStatus {
				text += fmt.Sprintf(" %s %s", c.ClusterName, c.Status)
			}
		}
		out[accessor.GetNamespace()+"/"+accessor.GetName()] = text
	}
	return out
}

func listed(t *testing.T, ctx context.Context, view rest.Lister, options *metainternalversion.ListOptions) (map[string]string, string) {
	t.Helper()
	list, err := view.List(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		t.Fatal(err)
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		t.Fatal(err)
	}
	return contents(t, items), accessor.GetResourceVersion()
}

// reader keeps up with a view by events alone, over watches that end now and then.
type reader struct {
	t       *testing.T
	ctx     context.Context
	view    listWatcher
	options metainternalversion.ListOptions
	has     map[string]runtime.Object
	version string
	lists   int
	stream  watch.Interface
	// last are the endings of the names of the last objects in a round.
	last []string
}

func (r *reader) relist() {
	r.t.Helper()
	r.stop()
	options := r.options
	list, err := r.view.List(r.ctx, &options)
	if err != nil {
		r.t.Fatal(err)
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		r.t.Fatal(err)
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		r.t.Fatal(err)
	}
	r.lists++
	r.has, r.version = map[string]runtime.Object{}, accessor.GetResourceVersion()
	for _, item := range items {
		r.has[keyOf(r.t, item)] = item
	}
}

func keyOf(t *testing.T, object runtime.Object) string {
	t.Helper()
	key, err := cache.MetaNamespaceKeyFunc(object)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// stop ends the watch; the next event is read by another one, that goes on from the last version.
func (r *reader) stop() {
	if r.stream != nil {
		r.stream.Stop()
		r.stream = nil
	}
}

func (r *reader) watch() {
	r.t.Helper()
	options := r.options
	options.ResourceVersion, options.Watch = r.version, true
	stream, err := r.view.Watch(r.ctx, &options)
	if apierrors.IsResourceExpired(err) {
		r.relist()
		options.ResourceVersion = r.version
		stream, err = r.view.Watch(r.ctx, &options)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.stream = stream
}

// read takes events until the reader has objects of these names.
func (r *reader) read(until ...string) {
	r.t.Helper()
	enough := time.After(patience)
	for slices.ContainsFunc(until, func(key string) bool { return r.has[key] == nil }) {
		if r.stream == nil {
			r.watch()
			continue
		}
		select {
		case event, open := <-r.stream.ResultChan():
			r.take(event, open)
		case <-enough:
			r.t.Fatalf("there was no event of %s after version %s", until, r.version)
		}
	}
}

// take applies one event.
func (r *reader) take(event watch.Event, open bool) {
	r.t.Helper()
	if !open {
		r.stream = nil
		return
	}
	if event.Type == watch.Error {
		if err := apierrors.FromObject(event.Object); !apierrors.IsResourceExpired(err) {
			r.t.Fatal(err)
		}
		r.relist()
		return
	}
	accessor, err := meta.Accessor(event.Object)
	if err != nil {
		r.t.Fatal(err)
	}
	if number(r.t, accessor.GetResourceVersion()) <= number(r.t, r.version) && event.Type != watch.Bookmark {
		r.t.Fatalf("after version %s came %s of %s with %s", r.version, event.Type, accessor.GetName(), accessor.GetResourceVersion())
	}
	r.version = accessor.GetResourceVersion()
	key := keyOf(r.t, event.Object)
	_, there := r.has[key]
	switch event.Type {
	case watch.Added:
		r.has[key] = event.Object
	case watch.Modified:
		if !there {
			r.t.Fatalf("%s was MODIFIED, and nothing is known of it", key)
		}
		r.has[key] = event.Object
	case watch.Deleted:
		delete(r.has, key)
	}
}

func number(t *testing.T, version string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (r *reader) contents() map[string]string {
	var objects []runtime.Object
	for _, object := range r.has {
		objects = append(objects, object)
	}
	return contents(r.t, objects)
}

// Whoever follows a view by events has what a list says, whenever he began, however often his watch
// ended, and wherever it went on.
func TestEventsTellWhatAListSays(t *testing.T) {
	s := start(t)
	other := serve(t, s.store)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	selector := func(text string) labels.Selector {
		parsed, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	everywhere := s.in("")
	var readers []*reader
	for _, r := range []reader{
		{view: s.versions, ctx: everywhere, last: []string{"a/%s-2", "b/%s-2"}},
		{view: s.versions, ctx: s.in("a"), last: []string{"a/%s-2"}},
		{view: s.versions, ctx: everywhere, last: []string{"a/%s", "b/%s"}, options: metainternalversion.ListOptions{LabelSelector: selector("stored")}},
		{view: s.versions, ctx: everywhere, last: []string{"a/%s-2", "b/%s-2"}, options: metainternalversion.ListOptions{LabelSelector: selector("!stored")}},
		{view: s.versions, ctx: everywhere, last: []string{"b/%s-2"}, options: metainternalversion.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.namespace", "b")}},
		{view: s.statuses, ctx: everywhere, last: []string{"a/%s", "b/%s"}},
		{view: s.statuses, ctx: s.in("b"), last: []string{"b/%s"}},
	} {
		r.t = t
		r.relist()
		readers = append(readers, &r)
		defer r.stop()
	}
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	for round := range 12 {
		for range 25 {
			kind := []federated.Kind{configMaps, otherMaps, services}[random.IntN(3)]
			namespace, name := pick("a", "b"), pick("x", "y")
			switch random.IntN(8) {
			case 0, 1, 2:
				s.put(kind, namespace, name, pick("gen:1", "gen:2", "gen:3"))
			case 3:
				s.put(kind, namespace, name, "")
			case 4:
				s.erase(kind, namespace, name)
			case 5:
				record := "configmap-" + name
				if _, err := s.versions.REST.Get(s.in(namespace), record, &metav1.GetOptions{}); apierrors.IsNotFound(err) {
					s.record(namespace, record, map[string]string{"stored": "true"})
				}
			case 6:
				s.remove(s.versions, namespace, "configmap-"+name)
			case 7:
				r := readers[random.IntN(len(readers))]
				switch random.IntN(3) {
				case 0:
					r.stop()
				case 1:
					r.relist()
				case 2: // through the other server
					r.stop()
					if r.view == listWatcher(s.versions) {
						r.view = other.versions
					} else if r.view == listWatcher(s.statuses) {
						r.view = other.statuses
					}
				}
			}
		}
		name := fmt.Sprintf("last-%d", round)
		for _, namespace := range []string{"a", "b"} {
			s.put(services, namespace, name, "gen:1")
			s.record(namespace, name, map[string]string{"stored": "true"})
			s.record(namespace, name+"-2", nil)
		}
		for i, r := range readers {
			var last []string
			for _, ending := range r.last {
				last = append(last, fmt.Sprintf(ending, name))
			}
			r.read(last...)
			want, _ := listed(t, r.ctx, r.view, &r.options)
			if diff := cmp.Diff(want, r.contents()); diff != "" {
				t.Fatalf("round %d, reader %d (-list +events):\n%s", round, i, diff)
			}
		}
	}
	t.Logf("readers listed %v times", func() (lists []int) {
		for _, r := range readers {
			lists = append(lists, r.lists)
		}
		return lists
	}())
}

// events reads events of a watch as texts, until one of them.
func events(t *testing.T, stream watch.Interface, until string) []string {
	t.Helper()
	var got []string
	for enough := time.After(patience); ; {
		select {
		case event, open := <-stream.ResultChan():
			if !open {
				t.Fatalf("the watch ended after %q", got)
			}
			accessor, err := meta.Accessor(event.Object)
			if err != nil {
				t.Fatalf("got %v", apierrors.FromObject(event.Object))
			}
			text := string(event.Type) + " " + accessor.GetName() + accessor.GetAnnotations()[metav1.InitialEventsAnnotationKey]
			if got = append(got, text); text == until {
				return got
			}
		case <-enough:
			t.Fatalf("got %q", got)
		}
	}
}

func (s *server) watch(view rest.Watcher, namespace string, options metainternalversion.ListOptions) watch.Interface {
	s.t.Helper()
	options.Watch = true
	stream, err := view.Watch(s.in(namespace), &options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(stream.Stop)
	return stream
}

func TestAWatchMayBeginWithWhatIsThere(t *testing.T) {
	s := start(t)
	s.put(configMaps, "a", "x", "gen:1")
	s.put(configMaps, "a", "nowhere", "")
	s.record("a", "configmap-stored", nil)
	for sentence, test := range map[string]struct {
		options metainternalversion.ListOptions
		want    []string
	}{
		"as it did before there were bookmarks": {metainternalversion.ListOptions{}, []string{"ADDED configmap-stored", "ADDED configmap-x"}},
		"from a cache":                          {metainternalversion.ListOptions{ResourceVersion: "0"}, []string{"ADDED configmap-stored", "ADDED configmap-x"}},
		"and say where that ends": {
			metainternalversion.ListOptions{SendInitialEvents: new(true), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan},
			[]string{"ADDED configmap-stored", "ADDED configmap-x", "BOOKMARK true"},
		},
		"or not": {metainternalversion.ListOptions{SendInitialEvents: new(false), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			name := "late-" + strconv.Itoa(len(sentence))
			stream := s.watch(s.versions, "a", test.options)
			s.put(configMaps, "a", name, "gen:1")
			got := events(t, stream, "ADDED configmap-"+name)
			got = slices.DeleteFunc(got[:len(got)-1], func(text string) bool { return len(text) > 20 && text[:20] == "ADDED configmap-late" })
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// It is in no list that the watch begins with: that of the stored records was made before, that of the objects after.
func TestARecordThatIsStoredWhileAWatchBeginsIsTold(t *testing.T) {
	s := start(t)
	s.put(configMaps, "a", "x", "gen:1")
	var stored types.UID
	s.listed = sync.OnceFunc(func() {
		stored = s.record("a", "configmap-x", nil)
		s.put(configMaps, "a", "x", "gen:2")
	})
	stream := s.watch(s.versions, "a", metainternalversion.ListOptions{})
	var last types.UID
	for enough := time.After(patience); last != stored; {
		select {
		case event := <-stream.ResultChan():
			last = event.Object.(*v1alpha1.PropagatedVersion).UID
		case <-enough:
			t.Fatalf("the last event is of %s, want %s", last, stored)
		}
	}
}

func TestAStoredRecordTakesThePlaceOfAComputedOneInEvents(t *testing.T) {
	s := start(t)
	_, version := listed(t, s.in("a"), s.versions, nil)
	stream := s.watch(s.versions, "a", metainternalversion.ListOptions{ResourceVersion: version})
	s.put(configMaps, "a", "x", "gen:1")
	s.put(otherMaps, "a", "x", "gen:7")
	s.record("a", "configmap-x", nil)
	s.erase(configMaps, "a", "x")
	s.remove(s.versions, "a", "configmap-x")
	s.erase(otherMaps, "a", "x")
	got := events(t, stream, "DELETED configmap-x")
	want := []string{
		"ADDED configmap-x",
		"MODIFIED configmap-x", // one is stored
		"MODIFIED configmap-x", // and deleted: it is the other kind's, whose first object is gone
		"DELETED configmap-x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatANamespaceDoesNotSeeIsInNoEventThere(t *testing.T) {
	s := start(t)
	s.hidden["of-before"] = true
	_, version := listed(t, s.in("a"), s.versions, nil)
	inside := s.watch(s.versions, "a", metainternalversion.ListOptions{ResourceVersion: version})
	outside := s.watch(s.versions, "", metainternalversion.ListOptions{ResourceVersion: version})
	s.put(configMaps, "a", "of-before", "gen:1")
	s.put(configMaps, "b", "elsewhere", "gen:1")
	s.put(configMaps, "a", "x", "gen:1")
	if got := events(t, inside, "ADDED configmap-x"); len(got) != 1 {
		t.Errorf("in the namespace: got %q", got)
	}
	if got := events(t, outside, "ADDED configmap-x"); len(got) != 3 {
		t.Errorf("in all: got %q", got)
	}
}

// There is no event for a kind that comes or goes, so that clients have to list.
func TestWatchesEndWhenOtherKindsAreServed(t *testing.T) {
	s := start(t)
	s.put(configMaps, "a", "x", "gen:1")
	before, version := listed(t, s.in("a"), s.versions, nil)
	stream := s.watch(s.versions, "a", metainternalversion.ListOptions{ResourceVersion: version})
	s.put(configMaps, "a", "x", "gen:2")
	s.setKinds(otherMaps, services)
	after, newer := listed(t, s.in("a"), s.versions, nil)
	if len(before) != 1 || len(after) != 0 {
		t.Errorf("got %v and then %v", before, after)
	}
	event := <-stream.ResultChan()
	if event.Type == watch.Modified {
		event = <-stream.ResultChan()
	}
	if err := apierrors.FromObject(event.Object); event.Type != watch.Error || !apierrors.IsResourceExpired(err) {
		t.Errorf("got %s %v", event.Type, err)
	}
	if _, err := s.versions.Watch(s.in("a"), &metainternalversion.ListOptions{ResourceVersion: version}); !apierrors.IsResourceExpired(err) {
		t.Errorf("to go on from before: got %v", err)
	}
	s.watch(s.versions, "a", metainternalversion.ListOptions{ResourceVersion: newer})
}

// A watch that is refused is one that nobody leaves: what it began to follow would be followed for ever.
func TestAWatchFromBeforeOtherKindsFollowsNothing(t *testing.T) {
	s := start(t)
	_, version := listed(t, s.in("a"), s.versions, nil)
	s.put(otherMaps, "a", "x", "gen:1")
	s.setKinds(otherMaps, services)
	listed(t, s.in("a"), s.versions, nil)
	s.log.holdNext(whatThere) // who follows begins with what there is
	ctx, cancel := context.WithTimeout(s.in("a"), patience)
	defer cancel()
	if _, err := s.versions.Watch(ctx, &metainternalversion.ListOptions{ResourceVersion: version}); !apierrors.IsResourceExpired(err) {
		t.Errorf("got %v", err)
	}
}

// What a list says is in watch caches: it does not wait for what somebody else asks the store.
func TestListsAreAnsweredWhileTheStoreIsNot(t *testing.T) {
	s := start(t)
	s.put(configMaps, "a", "x", "gen:1")
	_, version := listed(t, s.in("a"), s.versions, nil)
	watches := func() error {
		stream, err := s.versions.Watch(s.in("a"), &metainternalversion.ListOptions{ResourceVersion: version})
		if err == nil {
			stream.Stop()
		}
		return err
	}
	lists := func() error {
		_, err := s.versions.List(s.in("a"), nil)
		return err
	}
	for _, during := range []struct {
		what     string
		question question
		kinds    []federated.Kind
		ask      func() error
	}{
		{"the first watch asks how far the store is", howFar, s.kinds, watches},
		{"somebody asks since when there are other kinds", howFar, []federated.Kind{configMaps, services}, lists},
		{"the first watch asks what there is", whatThere, s.kinds, watches},
	} {
		s.setKinds(during.kinds...)
		held, asked := s.log.holdNext(during.question), make(chan error, 1)
		go func() { // ends once the answer is released
			defer close(asked)
			asked <- during.ask()
		}()
		<-held.asked
		ctx, cancel := context.WithTimeout(s.in("a"), patience)
		if _, err := s.versions.List(ctx, nil); err != nil {
			t.Errorf("while %s: %v", during.what, err)
		}
		cancel()
		select {
		case err := <-asked:
			t.Errorf("while %s: it was answered: %v", during.what, err)
		default:
		}
		close(held.released)
		if err := <-asked; err != nil {
			t.Errorf("after %s: %v", during.what, err)
		}
	}
}

// While the first watch asks the store what there is, nothing else waits for it.
func TestWhatHappensWhileTheFirstWatchBeginsCounts(t *testing.T) {
	for sentence, test := range map[string]struct {
		happens func(*server)
		is      func(error) bool
	}{
		"other kinds are served": {func(s *server) {
			s.put(otherMaps, "a", "x", "gen:1")
			s.setKinds(otherMaps, services)
			listed(t, s.in("a"), s.versions, nil)
		}, apierrors.IsResourceExpired},
		"the server shuts down": {func(s *server) { s.versions.Destroy() }, apierrors.IsServiceUnavailable},
		"nothing":               {func(*server) {}, func(err error) bool { return err == nil }},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := start(t)
			_, version := listed(t, s.in("a"), s.versions, nil)
			held, errs := s.log.holdNext(whatThere), make(chan error)
			const watches = 3
			for range watches {
				go func() { // ends once the answer is released
					stream, err := s.versions.Watch(s.in("a"), &metainternalversion.ListOptions{ResourceVersion: version})
					if err == nil {
						stream.Stop()
					}
					errs <- err
				}()
			}
			<-held.asked
			test.happens(s)
			close(held.released)
			for range watches {
				if err := <-errs; !test.is(err) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

// A list has the oldest version of the watch caches that it is made from, and those of kinds of which nothing changes are behind.
func TestAListOfAnyTimeIsAsNewAsAWatchNeedsIt(t *testing.T) {
	s := start(t)
	_, first := listed(t, s.in("a"), s.versions, nil)
	s.put(configMaps, "a", "x", "gen:1")
	newest, err := s.store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for sentence, options := range map[string]metainternalversion.ListOptions{
		"of any time":         {ResourceVersion: "0"},
		"in pages":            {ResourceVersion: "0", Limit: 1},
		"since a version":     {ResourceVersion: first},
		"not older than that": {ResourceVersion: first, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan},
	} {
		if got, version := listed(t, s.in("a"), s.versions, &options); len(got) != 1 || number(t, version) < uint64(newest) {
			t.Errorf("%s: got %v of version %s, want one of %d", sentence, got, version, newest)
		}
	}
	if _, err := s.versions.List(s.in("a"), &metainternalversion.ListOptions{ResourceVersion: strconv.FormatInt(newest+1000, 10)}); !apierrors.IsTimeout(err) {
		t.Errorf("of what is not yet: got %v", err)
	}
}

// Else a watch that goes on from the list would never show them.
func TestAListHasTheKindsThatAreServedMeanwhile(t *testing.T) {
	s := start(t)
	s.put(otherMaps, "a", "x", "gen:1")
	s.setKinds(configMaps, services)
	s.listed = func() { s.setKinds(configMaps, otherMaps, services) }
	if got, _ := listed(t, s.in("a"), s.versions, nil); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestAVersionThatIsNoneIsRefused(t *testing.T) {
	s := start(t)
	refuses := func(when string) {
		for version, is := range map[string]func(error) bool{
			"x":                   apierrors.IsBadRequest,
			"9223372036854775807": apierrors.IsTimeout, // too large
		} {
			if _, err := s.versions.Watch(s.in("a"), &metainternalversion.ListOptions{ResourceVersion: version}); !is(err) {
				t.Errorf("%s: %s: got %v", when, version, err)
			}
		}
	}
	refuses("while nobody watches")
	_, version := listed(t, s.in("a"), s.versions, nil)
	s.watch(s.versions, "a", metainternalversion.ListOptions{ResourceVersion: version})
	refuses("while somebody does")
}

func TestAWatchIsToldHowFarItIsBeforeItEnds(t *testing.T) {
	s := start(t)
	_, version := listed(t, s.in("a"), s.versions, nil)
	ctx, cancel := context.WithTimeout(s.in("a"), 3*time.Second)
	defer cancel()
	stream, err := s.versions.Watch(ctx, &metainternalversion.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true})
	if err != nil {
		t.Fatal(err)
	}
	s.put(configMaps, "b", "elsewhere", "") // no event comes of it
	newest, err := s.store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for event := range stream.ResultChan() {
		if event.Type != watch.Bookmark {
			t.Fatalf("got %s", event.Type)
		}
		if version := event.Object.(*v1alpha1.PropagatedVersion).ResourceVersion; number(t, version) < uint64(newest) {
			t.Errorf("it says version %s, and the store is at %d", version, newest)
		}
		return
	}
	t.Error("there was no bookmark")
}
