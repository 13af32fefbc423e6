package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metainternalscheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
)

// settings makes n FederatedConfigMaps in a namespace of their own.
func (f *fixture) settings(namespace string, n int) []string {
	f.t.Helper()
	f.namespace(namespace)
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("settings-%d", i))
		f.create(configMaps, namespace, configMap(namespace, names[i]))
	}
	return names
}

func names(items []unstructured.Unstructured) []string {
	var out []string
	for _, item := range items {
		out = append(out, item.GetName())
	}
	return slices.Sorted(slices.Values(out))
}

func (f *fixture) list(namespace string, options metav1.ListOptions) *unstructured.UnstructuredList {
	f.t.Helper()
	list, err := f.dynamic.Resource(configMaps).Namespace(namespace).List(f.t.Context(), options)
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

func TestListsInChunks(t *testing.T) {
	f := newFixture(t)
	want := f.settings("chunks", 5)
	var got []unstructured.Unstructured
	options := metav1.ListOptions{Limit: 2}
	for chunk := 1; ; chunk++ {
		list := f.list("chunks", options)
		got = append(got, list.Items...)
		if options.Continue = list.GetContinue(); options.Continue == "" {
			if chunk != 3 {
				t.Errorf("chunks: got %d, want 3", chunk)
			}
			break
		}
		if remaining := list.GetRemainingItemCount(); chunk == 1 && (remaining == nil || *remaining != 3) {
			t.Errorf("remainingItemCount after the first chunk: got %v, want 3", remaining)
		}
	}
	if diff := cmp.Diff(want, names(got)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestSelectors(t *testing.T) {
	f := newFixture(t)
	all := f.settings("selectors", 3)
	for sentence, tc := range map[string]struct {
		options metav1.ListOptions
		want    []string
	}{
		"a name":                {metav1.ListOptions{FieldSelector: "metadata.name=settings-1"}, []string{"settings-1"}},
		"another name":          {metav1.ListOptions{FieldSelector: "metadata.name!=settings-1"}, []string{"settings-0", "settings-2"}},
		"a namespace":           {metav1.ListOptions{FieldSelector: "metadata.namespace=selectors"}, all},
		"another namespace":     {metav1.ListOptions{FieldSelector: "metadata.namespace=elsewhere"}, nil},
		"a label":               {metav1.ListOptions{LabelSelector: "made-by=test"}, all},
		"another label":         {metav1.ListOptions{LabelSelector: "made-by=nobody"}, nil},
		"a name from the cache": {metav1.ListOptions{FieldSelector: "metadata.name=settings-1", ResourceVersion: "0"}, []string{"settings-1"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			if sentence == "a name from the cache" {
				f.caughtUp("selectors", all)
			}
			if diff := cmp.Diff(tc.want, names(f.list("selectors", tc.options).Items)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
	_, err := f.dynamic.Resource(configMaps).List(t.Context(), metav1.ListOptions{FieldSelector: "spec.topologyType=cell"})
	wantError(t, "a selector of another field", err, `"spec.topologyType" is not a known field selector: only "metadata.name", "metadata.namespace"`)
}

// caughtUp waits until the cache has seen what was written.
func (f *fixture) caughtUp(namespace string, want []string) {
	f.t.Helper()
	f.eventually("the cache has all objects", func(context.Context) error {
		if got := names(f.list(namespace, metav1.ListOptions{ResourceVersion: "0"}).Items); !slices.Equal(got, want) {
			return fmt.Errorf("it has %v", got)
		}
		return nil
	})
}

// A list without a resource version must hold every write that was answered before.
func TestAListSeesEveryWriteBefore(t *testing.T) {
	f := newFixture(t)
	f.namespace("consistent")
	client := f.dynamic.Resource(configMaps).Namespace("consistent")
	for i := range 20 {
		name := fmt.Sprintf("settings-%d", i)
		created := f.create(configMaps, "consistent", configMap("consistent", name))
		if got := names(f.list("consistent", metav1.ListOptions{}).Items); len(got) != i+1 {
			t.Fatalf("after %d writes, the list has %v", i+1, got)
		}
		list, err := client.List(t.Context(), metav1.ListOptions{ResourceVersion: created.GetResourceVersion(), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		if err != nil || len(list.Items) != i+1 {
			t.Fatalf("a list not older than write %d: %v, %v", i+1, list, err)
		}
	}
}

func TestAWatchListSendsWhatThereIsAndThenABookmark(t *testing.T) {
	f := newFixture(t)
	want := f.settings("watchlist", 3)
	watched, err := f.dynamic.Resource(configMaps).Namespace("watchlist").Watch(t.Context(), metav1.ListOptions{
		SendInitialEvents: new(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Stop()
	var got []string
	for event := range watched.ResultChan() {
		o, ok := event.Object.(*unstructured.Unstructured)
		if !ok {
			t.Fatalf("got %s %v", event.Type, event.Object)
		}
		if event.Type == watch.Bookmark {
			if o.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" {
				t.Errorf("annotations of the bookmark: got %v", o.GetAnnotations())
			}
			if o.GetKind() != "FederatedConfigMap" || o.GetAPIVersion() != "types.kubefed.io/v1beta2" || o.GetResourceVersion() == "" {
				t.Errorf("the bookmark: got %v", o.Object)
			}
			break
		}
		got = append(got, o.GetName())
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("objects before the bookmark (-want +got):\n%s", diff)
	}
}

// A watch that sees nothing learns of writes elsewhere about two seconds before its time
// is up. A busy machine may miss that, so a few watches may try.
func TestAWatchSendsBookmarks(t *testing.T) {
	f := newFixture(t)
	f.settings("bookmarks", 1)
	f.namespace("bookmarks-elsewhere")
	attempt := 0
	f.eventually("a watch sends a bookmark", func(ctx context.Context) error {
		version := f.list("bookmarks", metav1.ListOptions{}).GetResourceVersion()
		watched, err := f.dynamic.Resource(configMaps).Namespace("bookmarks").Watch(ctx, metav1.ListOptions{
			ResourceVersion: version, AllowWatchBookmarks: true, TimeoutSeconds: new(int64(5))})
		if err != nil {
			return err
		}
		defer watched.Stop()
		attempt++
		f.create(configMaps, "bookmarks-elsewhere", configMap("bookmarks-elsewhere", fmt.Sprintf("settings-%d", attempt)))
		for event := range watched.ResultChan() {
			if o, ok := event.Object.(*unstructured.Unstructured); ok && event.Type == watch.Bookmark && o.GetResourceVersion() != version {
				return nil
			}
		}
		return errors.New("the watch ended without one")
	})
}

func TestAWatchInTheClusterShape(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("watch-shape")
	watched, err := f.dynamic.Resource(typesV1beta1.WithResource("federateddeployments")).Namespace(namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Stop()
	f.create(deployments, namespace, deployment(namespace, "web", "topologyType: cell", "placement: {topologies: [{name: rz00a}]}"))
	event := <-watched.ResultChan()
	o := event.Object.(*unstructured.Unstructured)
	got, _, _ := unstructured.NestedSlice(o.Object, "spec", "placement", "clusters")
	if diff := cmp.Diff([]any{map[string]any{"name": "rz00a.watch-shape"}}, got); diff != "" || event.Type != watch.Added {
		t.Errorf("%s with clusters (-want +got):\n%s", event.Type, diff)
	}
}

// Garbage collection and namespace deletion of a host read metadata only, and prefer
// protobuf: metadata has that form, although the objects have not.
func TestMetadataOnlyReads(t *testing.T) {
	f := newFixture(t)
	want := f.settings("metadata", 2)
	const asList = ";g=meta.k8s.io;v=v1;as=PartialObjectMetadataList"
	for sentence, accept := range map[string]string{
		"JSON":               "application/json" + asList,
		"protobuf preferred": "application/vnd.kubernetes.protobuf" + asList + ",application/json" + asList + ",application/json",
	} {
		t.Run(sentence, func(t *testing.T) {
			data := f.raw("/apis/types.kubefed.io/v1beta2/namespaces/metadata/federatedconfigmaps", accept)
			list := &metav1.PartialObjectMetadataList{}
			if _, _, err := metainternalscheme.Codecs.UniversalDeserializer().Decode(data, nil, list); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, item := range list.Items {
				got = append(got, item.Name)
				if item.Labels["made-by"] != "test" {
					t.Errorf("labels of %s: got %v", item.Name, item.Labels)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheMetadataClientReadsWatchesAndDeletes(t *testing.T) {
	f := newFixture(t)
	f.settings("metadata-client", 2)
	client := ready(t, f.config, metadata.NewForConfig).Resource(configMaps).Namespace("metadata-client")
	list, err := client.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	watched, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Stop()
	if err := client.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "made-by=test"}); err != nil {
		t.Fatal(err)
	}
	deleted := map[string]bool{}
	for event := range watched.ResultChan() {
		if event.Type == watch.Deleted {
			deleted[event.Object.(*metav1.PartialObjectMetadata).Name] = true
		}
		if len(deleted) == 2 {
			break
		}
	}
	if diff := cmp.Diff([]string{"settings-0", "settings-1"}, slices.Sorted(maps.Keys(deleted))); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
}

func TestTablesAndMetadataOfOldVersions(t *testing.T) {
	f := newFixture(t)
	f.settings("forms", 1)
	const path = "/apis/types.kubefed.io/%s/namespaces/forms/federatedconfigmaps"
	for _, version := range []string{"v1beta1", "v1beta2"} {
		var table metav1.Table
		data := f.raw(fmt.Sprintf(path, version), "application/json;as=Table;v=v1;g=meta.k8s.io")
		if err := json.Unmarshal(data, &table); err != nil {
			t.Fatal(err)
		}
		if len(table.Rows) != 1 {
			t.Fatalf("rows of %s: got %d, want 1", version, len(table.Rows))
		}
		var row metav1.PartialObjectMetadata
		if err := json.Unmarshal(table.Rows[0].Object.Raw, &row); err != nil || row.Name != "settings-0" || row.Kind != "PartialObjectMetadata" {
			t.Errorf("object of the row: got %s, %v", table.Rows[0].Object.Raw, err)
		}
		data = f.raw(fmt.Sprintf(path, version)+"?includeObject=Object", "application/json;as=Table;v=v1;g=meta.k8s.io")
		if err := json.Unmarshal(data, &table); err != nil {
			t.Fatal(err)
		}
		o := unstructured.Unstructured{}
		if err := json.Unmarshal(table.Rows[0].Object.Raw, &o.Object); err != nil || o.GroupVersionKind() != (schema.GroupVersionKind{Group: "types.kubefed.io", Version: version, Kind: "FederatedConfigMap"}) {
			t.Errorf("object of the row: got %s, %v", table.Rows[0].Object.Raw, err)
		}
	}
}

func TestYAMLIsSpoken(t *testing.T) {
	f := newFixture(t)
	f.settings("yaml", 1)
	got := f.parse(string(f.raw("/apis/types.kubefed.io/v1beta2/namespaces/yaml/federatedconfigmaps/settings-0", "application/yaml")))
	want := f.get(configMaps, "yaml", "settings-0")
	if diff := cmp.Diff(want.Object["spec"], got.Object["spec"]); diff != "" {
		t.Errorf("spec (-JSON +YAML):\n%s", diff)
	}
}
