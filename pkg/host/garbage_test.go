package host

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/tools/cache"
)

// TestTheGarbageCollectorStopsToWatchAKindThatIsGone does what the collector does when a kind
// goes and returns: it stops the monitor, and makes another one.
func TestTheGarbageCollectorStopsToWatchAKindThatIsGone(t *testing.T) {
	scheme := fake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	object := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "example.com/v1", Kind: "Foo"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u"},
	}
	factory := garbageInformers{fake.NewSimpleMetadataClient(scheme, object)}
	for _, when := range []string{"at first", "when the kind has returned"} {
		informer, err := factory.ForResource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "foos"})
		if err != nil {
			t.Fatal(err)
		}
		monitor, store := informer.Informer().GetController(), informer.Informer().GetStore()
		factory.Start(t.Context().Done())
		gone, ended := make(chan struct{}), make(chan struct{})
		go func() { defer close(ended); monitor.Run(gone) }()
		if !cache.WaitForCacheSync(t.Context().Done(), monitor.HasSynced) {
			t.Fatalf("%s: it does not list", when)
		}
		if _, found, err := store.GetByKey("shop/web"); !found || err != nil {
			t.Errorf("%s: the object is not seen: %v", when, err)
		}
		close(gone)
		<-ended // else it asks for ever
	}
}
