package simulation

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

func TestDiscovery(t *testing.T) {
	m, _ := start(t, Options{})
	client, err := discovery.NewDiscoveryClientForConfig(m.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	m.SetServed(Jobs, false)
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, list := range lists {
		for _, resource := range list.APIResources {
			served[list.GroupVersion+" "+resource.Name] = true
		}
	}
	for _, t2 := range BuiltIn() {
		if got, want := served[t2.GroupVersion().String()+" "+t2.Resource], t2.GroupVersionResource != Jobs; got != want {
			t.Errorf("%s is served: %v, want %v", t2.GroupVersionResource, got, want)
		}
	}
	if version, err := client.ServerVersion(); err != nil || version.Major != "1" {
		t.Errorf("version %v, %v", version, err)
	}
}

func TestListsHavePagesOfOneVersion(t *testing.T) {
	m, client := start(t, Options{})
	for i := range 7 {
		create(t, client, fmt.Sprintf("c%d", i), "1")
	}
	shop := client.Resource(ConfigMaps).Namespace("shop")
	options := metav1.ListOptions{Limit: 3, LabelSelector: "managed=true"}
	first, err := shop.List(t.Context(), options)
	if err != nil || len(first.Items) != 3 {
		t.Fatalf("got %v, %v", first, err)
	}
	create(t, client, "later", "1")
	options.Continue = first.GetContinue()
	second, err := shop.List(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if second.GetResourceVersion() != first.GetResourceVersion() || second.Items[0].GetName() != "c3" {
		t.Errorf("the second page begins with %s at %s", second.Items[0].GetName(), second.GetResourceVersion())
	}
	options.Continue = second.GetContinue()
	last, err := shop.List(t.Context(), options)
	if err != nil || len(last.Items) != 1 || last.GetContinue() != "" {
		t.Errorf("the last page is %v, %v", last, err)
	}
	m.Compact()
	if _, err := shop.List(t.Context(), options); !apierrors.IsResourceExpired(err) {
		t.Errorf("a page after compaction: %v, want Expired", err)
	}
	whole, err := shop.List(t.Context(), metav1.ListOptions{Limit: 3, ResourceVersion: "0"})
	if err != nil || len(whole.Items) != 8 {
		t.Errorf("a list from cache: %v, %v, want all 8", whole, err)
	}
	raw, err := discovery.NewDiscoveryClientForConfig(m.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	err = raw.RESTClient().Get().AbsPath("/api/v1/configmaps").Param("resourceVersion", "99999").MaxRetries(0).Do(t.Context()).Error()
	if !apierrors.IsTimeout(err) {
		t.Errorf("a list of the future: %v, want Timeout", err)
	}
	if none, err := shop.List(t.Context(), metav1.ListOptions{LabelSelector: "managed=false"}); err != nil || len(none.Items) != 0 {
		t.Errorf("a list of other labels: %v, %v", none, err)
	}
}

func TestMetadataOnly(t *testing.T) {
	m, client := start(t, Options{})
	created := create(t, client, "a", "1")
	light, err := metadata.NewForConfig(m.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	shop := light.Resource(ConfigMaps).Namespace("shop")
	list, err := shop.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].UID != created.GetUID() {
		t.Errorf("list %v, %v", list, err)
	}
	// The client prefers protobuf, and gets it here.
	events, err := shop.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	created.SetLabels(map[string]string{"new": "label"})
	if _, err := client.Resource(ConfigMaps).Namespace("shop").Update(t.Context(), created, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	event := <-events.ResultChan()
	if object, ok := event.Object.(*metav1.PartialObjectMetadata); !ok || event.Type != watch.Modified || object.Labels["new"] != "label" {
		t.Errorf("got %v", event)
	}
}

func TestWatch(t *testing.T) {
	m, client := start(t, Options{Bookmarks: 10 * time.Millisecond, History: 2})
	shop := client.Resource(ConfigMaps).Namespace("shop")
	first := create(t, client, "a", "1")
	events, err := shop.Watch(t.Context(), metav1.ListOptions{ResourceVersion: first.GetResourceVersion(), LabelSelector: "managed=true", AllowWatchBookmarks: true})
	if err != nil {
		t.Fatal(err)
	}
	next := func() watch.Event {
		t.Helper()
		for event := range events.ResultChan() {
			if event.Type != watch.Bookmark {
				return event
			}
		}
		t.Fatal("the watch ended")
		panic("unreachable")
	}
	expect := func(want watch.EventType, name string) *unstructured.Unstructured {
		t.Helper()
		event := next()
		object, ok := event.Object.(*unstructured.Unstructured)
		if !ok || event.Type != want || object.GetName() != name {
			t.Fatalf("got %v, want %s of %s", event, want, name)
		}
		return object
	}
	create(t, client, "b", "1")
	expect(watch.Added, "b")
	first.SetLabels(nil)
	if first, err = shop.Update(t.Context(), first, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if gone := expect(watch.Deleted, "a"); gone.GetResourceVersion() != first.GetResourceVersion() {
		t.Errorf("the event of what is not selected any more is of %s, want %s", gone.GetResourceVersion(), first.GetResourceVersion())
	}
	first.SetLabels(map[string]string{"managed": "true"})
	if _, err = shop.Update(t.Context(), first, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(watch.Added, "a")
	m.Remove(ConfigMaps, "shop", "b")
	expect(watch.Deleted, "b")
	m.CloseWatches()
	for range events.ResultChan() { // ends
	}
	old, err := shop.Watch(t.Context(), metav1.ListOptions{ResourceVersion: "2"})
	if err != nil {
		t.Fatal(err)
	}
	if event := <-old.ResultChan(); event.Type != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(event.Object)) {
		t.Errorf("a watch from too far back: %v, want Expired", event)
	}
}

// A reflector is what clients of members are made of. It must end up with what the member
// has, whatever ends its watches meanwhile.
func TestReflectorsFollow(t *testing.T) {
	for name, streams := range map[string]bool{"by lists": false, "by streams": true} {
		t.Run(name, func(t *testing.T) {
			m, client := start(t, Options{History: 20, Bookmarks: 20 * time.Millisecond})
			store := cache.NewStore(cache.MetaNamespaceKeyFunc)
			reflector := cache.NewReflectorWithOptions(source(client, streams), &unstructured.Unstructured{}, store,
				cache.ReflectorOptions{TypeDescription: "configmaps"})
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { reflector.RunWithContext(ctx) }) // ends with stop
			defer running.Wait()
			defer stop()
			for i := range 100 {
				object := configMap(fmt.Sprintf("c%d", i%13), fmt.Sprint(i)).Object
				object["metadata"].(map[string]any)["namespace"] = "shop"
				if err := m.Put(ConfigMaps, object); err != nil {
					t.Fatal(err)
				}
				switch i {
				case 30:
					m.Compact()
					m.CloseWatches()
				case 60:
					m.Down()
				case 70:
					m.Up()
					m.Remove(ConfigMaps, "shop", "c1")
				}
			}
			eventually(t, "the reflector has what the member has", func() bool {
				var got []string
				for _, item := range store.List() {
					object := item.(*unstructured.Unstructured)
					got = append(got, object.GetName()+object.GetResourceVersion())
				}
				var want []string
				for _, object := range m.Objects(ConfigMaps) {
					u := unstructured.Unstructured{Object: object}
					want = append(want, u.GetName()+u.GetResourceVersion())
				}
				slices.Sort(got)
				slices.Sort(want)
				return slices.Equal(got, want)
			})
		})
	}
}

// noStreams keeps a reflector from asking for its list as a stream.
type noStreams struct{ *cache.ListWatch }

func (noStreams) IsWatchListSemanticsUnSupported() bool { return true }

func source(client dynamic.Interface, streams bool) cache.ListerWatcher {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return client.Resource(ConfigMaps).List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return client.Resource(ConfigMaps).Watch(ctx, o)
		},
	}
	if streams {
		return lw
	}
	return noStreams{lw}
}
