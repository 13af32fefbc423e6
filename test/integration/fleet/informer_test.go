package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/test/testbed"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// An informer of client-go keeps what all clusters hold, whether it begins with a list or with a
// watch, and goes on from the fleet's versions.
func TestAnInformerFollowsTheFleet(t *testing.T) {
	for name, listFirst := range map[string]bool{"by a list and a watch": true, "by a watch alone": false} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			namespace := fmt.Sprint("informed-", listFirst)
			for i, c := range []*testbed.Cluster{w.m1, w.m2} {
				w.apply(c, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", namespace))
				for n := range 3 {
					w.apply(c, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: m%d-%d, namespace: %s, labels: {mine: \"true\"}}}", i+1, n, namespace))
				}
			}
			source := &lister{ResourceInterface: dynamic.NewForConfigOrDie(w.config).Resource(configMaps).Namespace(namespace), listFirst: listFirst}
			informer := cache.NewSharedInformer(source, &unstructured.Unstructured{}, 0)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go informer.RunWithContext(ctx) // ends with ctx
			holds(t, informer, namespace, "m1-0", "m1-1", "m1-2", "m2-0", "m2-1", "m2-2")
			w.apply(w.m2, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: m2-3, namespace: %s, labels: {mine: \"true\"}}}", namespace))
			testbed.Kubectl(t, w.m1.Kubeconfig(), "-n", namespace, "delete", "configmap", "m1-0")
			holds(t, informer, namespace, "m1-1", "m1-2", "m2-0", "m2-1", "m2-2", "m2-3")
			source.watches.Store(0)
			err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
				return source.watches.Load() >= 2, nil
			})
			if lists := source.lists.Load(); err != nil || listFirst && lists != 1 || !listFirst && lists != 0 || source.beginnings.Load() > 1 {
				t.Errorf("%v: after watches that ended, it has listed %d times, and begun anew %d times", err, lists, source.beginnings.Load())
			}
			if _, err := resourceversion.CompareResourceVersion(informer.LastSyncResourceVersion(), informer.LastSyncResourceVersion()); err != nil {
				t.Error(err)
			}
		})
	}
}

// lister ends watches every few seconds, and says whether it can begin with a watch.
type lister struct {
	dynamic.ResourceInterface
	listFirst                  bool
	lists, watches, beginnings atomic.Int32
}

func (l *lister) List(o metav1.ListOptions) (runtime.Object, error) {
	o.LabelSelector = "mine"
	l.lists.Add(1)
	return l.ResourceInterface.List(context.Background(), o)
}

func (l *lister) Watch(o metav1.ListOptions) (watch.Interface, error) {
	o.LabelSelector, o.TimeoutSeconds = "mine", new(int64(3))
	l.watches.Add(1)
	if o.SendInitialEvents != nil && *o.SendInitialEvents {
		l.beginnings.Add(1)
	}
	return l.ResourceInterface.Watch(context.Background(), o)
}

// IsWatchListSemanticsUnSupported tells client-go.
func (l *lister) IsWatchListSemanticsUnSupported() bool { return l.listFirst }

func holds(t *testing.T, informer cache.SharedInformer, namespace string, want ...string) {
	t.Helper()
	var got []string
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		got = nil
		for _, key := range informer.GetStore().ListKeys() {
			_, name, _ := cache.SplitMetaNamespaceKey(key)
			got = append(got, name)
		}
		slices.Sort(got)
		return slices.Equal(got, want), nil
	})
	if err != nil {
		t.Errorf("the informer of %s has %v, want %v", namespace, got, want)
	}
}
