package apiserver

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
)

func namespaceOf(uid types.UID, deleting bool) *metav1.PartialObjectMetadata {
	namespace := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: uid}}
	if deleting {
		namespace.DeletionTimestamp = &metav1.Time{}
	}
	return namespace
}

// Only what somebody was seen to delete takes its objects with it: a host can be restored to
// an earlier day.
func TestOnlyADeletionThatWasSeenIsOne(t *testing.T) {
	deleting := serving.Departure{Namespace: "shop", UID: "one"}
	gone := serving.Departure{Namespace: "shop", UID: "one", Gone: true}
	for name, test := range map[string]struct {
		event func(*namespaceWatch)
		want  []serving.Departure
	}{
		"a namespace that is there":                        {func(w *namespaceWatch) { w.seen(namespaceOf("one", false)) }, nil},
		"one that is being deleted":                        {func(w *namespaceWatch) { w.seen(namespaceOf("one", true)) }, []serving.Departure{deleting}},
		"one whose deletion begins":                        {func(w *namespaceWatch) { w.changed(namespaceOf("one", false), namespaceOf("one", true)) }, []serving.Departure{deleting}},
		"one that was deleted":                             {func(w *namespaceWatch) { w.gone(namespaceOf("one", true)) }, []serving.Departure{gone}},
		"one that was being deleted when it was last seen": {func(w *namespaceWatch) { w.gone(cache.DeletedFinalStateUnknown{Obj: namespaceOf("one", true)}) }, []serving.Departure{gone}},
		"one that is absent":                               {func(w *namespaceWatch) { w.gone(cache.DeletedFinalStateUnknown{Obj: namespaceOf("one", false)}) }, nil},
		"another in the place of a deleted one":            {func(w *namespaceWatch) { w.changed(namespaceOf("one", true), namespaceOf("two", false)) }, []serving.Departure{gone}},
		"another in the place of one that is absent":       {func(w *namespaceWatch) { w.changed(namespaceOf("one", false), namespaceOf("two", false)) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := &namespaceWatch{queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[serving.Departure]())}
			test.event(w)
			w.queue.ShutDown()
			var got []serving.Departure
			for {
				departure, done := w.queue.Get()
				if done {
					break
				}
				got = append(got, departure)
				w.queue.Done(departure)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("departures (-want +got):\n%s", diff)
			}
		})
	}
}

// listed are lists that are not watched from their beginning.
type listed struct{ *cache.ListWatch }

func (listed) IsWatchListSemanticsUnSupported() bool { return true }

func TestATenantThatIsNotKnownYetIsNotNone(t *testing.T) {
	namespace := namespaceOf("one", false)
	namespace.Labels = map[string]string{v1alpha1.TenantLabel: "a"}
	list := &metav1.PartialObjectMetadataList{Items: []metav1.PartialObjectMetadata{*namespace}}
	read := make(chan struct{})
	w := &namespaceWatch{informer: cache.NewSharedIndexInformer(listed{&cache.ListWatch{
		ListFunc: func(metav1.ListOptions) (runtime.Object, error) {
			<-read
			return list, nil
		},
		WatchFunc: func(metav1.ListOptions) (watch.Interface, error) { return watch.NewFake(), nil },
	}}, &metav1.PartialObjectMetadata{}, 0, nil)}
	go w.informer.RunWithContext(t.Context()) // ends with the test
	if tenant, err := w.tenantOf("shop"); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("before namespaces are known: %v, %v", tenant, err)
	}
	close(read)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), w.informer.HasSynced) {
		t.Fatal("namespaces are not known")
	}
	if tenant, err := w.tenantOf("shop"); err != nil || tenant.Name != "a" {
		t.Errorf("after: %v, %v", tenant, err)
	}
}
