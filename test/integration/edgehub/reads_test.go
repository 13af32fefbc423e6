package edgehub_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/test/testbed"
)

const namespace = "edge"

// informed is an informer of configmaps.
type informed struct {
	what     string
	informer cache.SharedIndexInformer
	selects  func(*corev1.ConfigMap) bool
}

// inform starts an informer, which ends with the test.
func inform(t *testing.T, what string, client kubernetes.Interface, narrow func(*metav1.ListOptions), selects func(*corev1.ConfigMap) bool) *informed {
	t.Helper()
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace), informers.WithTweakListOptions(narrow))
	i := &informed{what, factory.Core().V1().ConfigMaps().Informer(), selects}
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop); factory.Shutdown() })
	factory.Start(stop)
	return i
}

// same waits until an informer has what there is.
func (i *informed) same(t *testing.T, want map[string]string) {
	t.Helper()
	testbed.Eventually(t, i.what+" has what there is", func(context.Context) error {
		if !i.informer.HasSynced() {
			return errors.New("it has not synced")
		}
		got := map[string]string{}
		for _, o := range i.informer.GetStore().List() {
			c := o.(*corev1.ConfigMap)
			got[c.Name] = string(c.UID) + " " + c.ResourceVersion
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// world is a cluster, and what is in it.
type world struct {
	t      *testing.T
	direct kubernetes.Interface
}

// newWorld makes the namespace, and waits for the configmap that a controller makes in each: nothing comes into it that the test does not put there.
func newWorld(t *testing.T, cluster *testbed.Cluster) *world {
	t.Helper()
	w := &world{t, cluster.Client(t)}
	if _, err := w.direct.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "a new namespace has its configmap", func(ctx context.Context) error {
		_, err := w.direct.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err
	})
	return w
}

func (w *world) put(name string, labels map[string]string) {
	w.t.Helper()
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels}, Data: map[string]string{"k": "v"}}
	_, err := w.direct.CoreV1().ConfigMaps(namespace).Create(w.t.Context(), c, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		c.Data["k"] = "other"
		_, err = w.direct.CoreV1().ConfigMaps(namespace).Update(w.t.Context(), c, metav1.UpdateOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := w.direct.CoreV1().ConfigMaps(namespace).Delete(w.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// has is what the API server has.
func (w *world) has(selects func(*corev1.ConfigMap) bool) map[string]string {
	w.t.Helper()
	list, err := w.direct.CoreV1().ConfigMaps(namespace).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]string{}
	for i := range list.Items {
		if c := &list.Items[i]; selects(c) {
			all[c.Name] = string(c.UID) + " " + c.ResourceVersion
		}
	}
	return all
}

func everything(*corev1.ConfigMap) bool { return true }

func inUnit(c *corev1.ConfigMap) bool { return c.Labels["unit"] == "a" }

// Informers go on while the link is cut and the hub restarts, new ones begin then, and all come to what was changed meanwhile.
func TestInformersGoOnWithoutTheCloud(t *testing.T) {
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	w := newWorld(t, cluster)
	for i := range 8 {
		w.put(fmt.Sprintf("c%d", i), map[string]string{"unit": string(rune('a' + i%2))})
	}
	l := newLink(t, cluster)
	h := newHub(t, l)
	all := func(*metav1.ListOptions) {}
	unit := func(o *metav1.ListOptions) { o.LabelSelector = "unit=a" }
	one := func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", "c1").String()
	}
	isOne := func(c *corev1.ConfigMap) bool { return c.Name == "c1" }
	running := []*informed{
		inform(t, "an informer that reads JSON", h.client(runtime.ContentTypeJSON), all, everything),
		inform(t, "an informer that would read protobuf", h.client(runtime.ContentTypeProtobuf), unit, inUnit),
		inform(t, "an informer that reads nothing but protobuf", h.accepting(runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf), unit, inUnit),
		inform(t, "an informer of one", h.client(runtime.ContentTypeProtobuf), one, isOne),
	}
	settle := func() {
		t.Helper()
		for _, i := range running {
			i.same(t, w.has(i.selects))
		}
	}
	settle()
	w.put("c8", map[string]string{"unit": "a"})
	w.remove("c0")
	settle()
	before := w.has(everything)
	l.sever()
	t.Run("while it is cut", func(t *testing.T) {
		for _, i := range running {
			i.same(t, w.has(i.selects))
		}
		inform(t, "an informer that begins now", h.client(runtime.ContentTypeJSON), all, everything).same(t, before)
		inform(t, "one with a selector that nobody has asked for", h.client(runtime.ContentTypeJSON), func(o *metav1.ListOptions) { o.LabelSelector = "unit in (a,c)" }, inUnit).same(t, w.has(inUnit))
		client := h.client(runtime.ContentTypeJSON)
		if _, err := client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "c1", metav1.GetOptions{}); err != nil {
			t.Errorf("what is there: %v", err)
		}
		if _, err := client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "c0", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("what is known to be absent: %v", err)
		}
		for _, path := range []string{"secrets", "secrets/x", "secrets?watch=true"} {
			answer, status := h.raw("/api/v1/namespaces/" + namespace + "/" + path)
			if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || !strings.Contains(status.Message, "is not known here") {
				t.Errorf("what is not known, %s: %s, %s", path, answer.Status, status.Message)
			}
		}
		for query, want := range map[string]metav1.StatusReason{
			"limit=x": metav1.StatusReasonBadRequest, "resourceVersionMatch=Exact": metav1.StatusReasonInvalid, "resourceVersion=x": metav1.StatusReasonBadRequest,
			"continue=x": metav1.StatusReasonExpired, "resourceVersion=1&resourceVersionMatch=Exact": metav1.StatusReasonExpired, "resourceVersion=999999999": metav1.StatusReasonTimeout,
		} {
			if answer, status := h.raw("/api/v1/namespaces/" + namespace + "/configmaps?" + query); status.Reason != want || int(status.Code) != answer.StatusCode {
				t.Errorf("what only the cloud could answer, %s: %s, %+v", query, answer.Status, status)
			}
		}
		partial, err := metadata.NewForConfig(&rest.Config{Host: h.url})
		if err != nil {
			t.Fatal(err)
		}
		list, err := partial.Resource(corev1.SchemeGroupVersion.WithResource("configmaps")).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != len(before) {
			t.Errorf("metadata alone: %v", err)
		}
	})
	// Meanwhile, in the cloud.
	w.remove("c1")
	w.put("c1", map[string]string{"unit": "a"}) // another of that name
	w.remove("c2")
	w.put("c3", map[string]string{"unit": "a"}) // comes into the selection
	w.put("c4", map[string]string{"unit": "b"}) // goes out of it
	w.put("c9", map[string]string{"unit": "a"})
	h.restart()
	late := inform(t, "an informer after the hub was restarted", h.client(runtime.ContentTypeProtobuf), all, everything)
	late.same(t, before)
	running = append(running, late)
	l.heal()
	settle()
	w.put("c1", nil)
	settle()
}

// Chunks, and what is wrong.
func TestListsAreThoseOfAnAPIServer(t *testing.T) {
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	w := newWorld(t, cluster)
	for i := range 12 {
		w.put(fmt.Sprintf("c%02d", i), nil)
	}
	h := newHub(t, newLink(t, cluster))
	client := h.client(runtime.ContentTypeJSON).CoreV1().ConfigMaps(namespace)
	want, err := w.direct.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.List(t.Context(), metav1.ListOptions{ResourceVersion: want.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Items, got.Items); diff != "" {
		t.Errorf("direct and through the hub (-want +got):\n%s", diff)
	}
	var chunks []corev1.ConfigMap
	for options := (metav1.ListOptions{Limit: 5}); ; {
		page, err := client.List(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) > 5 {
			t.Errorf("a chunk has %d", len(page.Items))
		}
		chunks = append(chunks, page.Items...)
		if options.Continue = page.Continue; page.Continue == "" {
			break
		}
	}
	if diff := cmp.Diff(want.Items, chunks); diff != "" {
		t.Errorf("in chunks (-want +got):\n%s", diff)
	}
	if answer, status := h.raw("/api/v1/namespaces/" + namespace + "/configmaps?resourceVersion=999999999"); answer.StatusCode != http.StatusGatewayTimeout || !apierrors.HasStatusCause(&apierrors.StatusError{ErrStatus: *status}, metav1.CauseTypeResourceVersionTooLarge) {
		t.Errorf("of what has not been: %s, %s", answer.Status, status.Message)
	}
	if _, err := client.List(t.Context(), metav1.ListOptions{Continue: "x"}); !apierrors.IsBadRequest(err) {
		t.Errorf("another's token: %v", err)
	}
	old, err := client.Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"})
	if err != nil {
		t.Fatalf("a watch from long ago: %v", err)
	}
	defer old.Stop()
	if event := <-old.ResultChan(); event.Type != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(event.Object)) {
		t.Errorf("a watch from long ago: %+v", event)
	}
}
