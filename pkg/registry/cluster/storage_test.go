package cluster_test

import (
	"context"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/cluster"
)

const systemNamespace = "kube-federation-system"

// source holds KubeFedClusters of the system namespace, in the order of their names.
type source struct {
	clusters []*corev1beta1.KubeFedCluster
	watcher  *watch.FakeWatcher
	// selector of the last list or watch.
	selector string
}

func (s *source) check(ctx context.Context) error {
	if genericapirequest.NamespaceValue(ctx) != systemNamespace {
		return apierrors.NewBadRequest("another namespace than the system's was asked for")
	}
	return nil
}

func (s *source) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	for _, c := range s.clusters {
		if c.Name == name {
			return c, s.check(ctx)
		}
	}
	return nil, apierrors.NewNotFound(corev1beta1.Resource("kubefedclusters"), name)
}

func (s *source) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	s.selector = options.LabelSelector.String()
	list := &corev1beta1.KubeFedClusterList{ListMeta: metav1.ListMeta{ResourceVersion: "9", Continue: "next"}}
	for _, c := range s.clusters {
		if options.LabelSelector.Matches(labels.Set(c.Labels)) {
			list.Items = append(list.Items, *c)
		}
	}
	return list, s.check(ctx)
}

func (s *source) Watch(ctx context.Context, options *metainternalversion.ListOptions) (watch.Interface, error) {
	s.selector = options.LabelSelector.String()
	return s.watcher, s.check(ctx)
}

// cached is how a watch cache hands an object to several watchers.
type cached struct {
	runtime.Object
}

func (c cached) CacheEncode(runtime.Identifier, func(runtime.Object, io.Writer) error, io.Writer) error {
	return nil
}
func (c cached) GetObject() runtime.Object { return c.Object }

func member() *corev1beta1.KubeFedCluster {
	return &corev1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{
			Name: "m1", Namespace: systemNamespace, UID: "u-1", ResourceVersion: "7", Generation: 2,
			Labels:          map[string]string{"region": "eu"},
			Annotations:     map[string]string{"note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
			Finalizers:      []string{"f"},
			OwnerReferences: []metav1.OwnerReference{{Name: "o"}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		},
		Spec: corev1beta1.KubeFedClusterSpec{
			APIEndpoint: "https://m1", CABundle: []byte("ca"),
			SecretRef: corev1beta1.LocalSecretReference{Name: "s"}, ProxyURL: "http://user:password@proxy",
		},
		Status: corev1beta1.KubeFedClusterStatus{KubernetesVersion: "v1.36.3"},
	}
}

func cellCluster() *corev1beta1.KubeFedCluster {
	c := member()
	c.Name, c.Labels = "rz00a.shop", map[string]string{v1alpha1.TopologyLabel: "cell"}
	return c
}

// view is what people see of member.
func view() *v1alpha1.Cluster {
	return &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{
			Name: "m1", UID: "u-1", ResourceVersion: "7", Generation: 2,
			Labels: map[string]string{"region": "eu"}, Annotations: map[string]string{"note": "x"},
		},
		Spec:   v1alpha1.ClusterSpec{APIEndpoint: "https://m1"},
		Status: corev1beta1.KubeFedClusterStatus{KubernetesVersion: "v1.36.3"},
	}
}

func newREST(t *testing.T, s *source) *cluster.REST {
	t.Helper()
	rest, err := cluster.NewREST(s, systemNamespace)
	if err != nil {
		t.Fatal(err)
	}
	return rest
}

func TestGetShowsAMemberWithoutCredentials(t *testing.T) {
	rest := newREST(t, &source{clusters: []*corev1beta1.KubeFedCluster{member()}})
	got, err := rest.Get(t.Context(), "m1", &metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(view(), got); diff != "" {
		t.Errorf("view (-want +got):\n%s", diff)
	}
}

func TestGetFindsNeitherStrangersNorCells(t *testing.T) {
	rest := newREST(t, &source{clusters: []*corev1beta1.KubeFedCluster{cellCluster()}})
	for _, name := range []string{"m9", "rz00a.shop"} {
		_, err := rest.Get(t.Context(), name, &metav1.GetOptions{})
		want := `clusters.federation.koinon.io "` + name + `" not found`
		if !apierrors.IsNotFound(err) || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
}

func TestListAsksForMembersOnly(t *testing.T) {
	s := &source{clusters: []*corev1beta1.KubeFedCluster{member(), cellCluster()}}
	eu, err := labels.Parse("region=eu")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		options  *metainternalversion.ListOptions
		selector string
	}{
		"without options":   {selector: "!federation.koinon.io/topology"},
		"without selector":  {options: &metainternalversion.ListOptions{}, selector: "!federation.koinon.io/topology"},
		"beside a selector": {options: &metainternalversion.ListOptions{LabelSelector: eu}, selector: "!federation.koinon.io/topology,region=eu"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newREST(t, s).List(t.Context(), test.options)
			if err != nil {
				t.Fatal(err)
			}
			want := &v1alpha1.ClusterList{
				ListMeta: metav1.ListMeta{ResourceVersion: "9", Continue: "next"},
				Items:    []v1alpha1.Cluster{*view()},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("list (-want +got):\n%s", diff)
			}
			if s.selector != test.selector {
				t.Errorf("got selector %q, want %q", s.selector, test.selector)
			}
		})
	}
	if eu.String() != "region=eu" {
		t.Errorf("the caller's selector became %q", eu)
	}
}

func TestWatchTurnsEventsIntoViews(t *testing.T) {
	s := &source{watcher: watch.NewFakeWithChanSize(4, false)}
	w, err := newREST(t, s).Watch(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	status := &metav1.Status{Message: "too old"}
	bookmark := &corev1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: "8", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}
	s.watcher.Add(member())
	s.watcher.Modify(cached{member()})
	s.watcher.Action(watch.Bookmark, bookmark)
	s.watcher.Error(status)
	for _, want := range []watch.Event{
		{Type: watch.Added, Object: view()},
		{Type: watch.Modified, Object: view()},
		{Type: watch.Bookmark, Object: &v1alpha1.Cluster{ObjectMeta: bookmark.ObjectMeta}},
		{Type: watch.Error, Object: status},
	} {
		if diff := cmp.Diff(want, <-w.ResultChan()); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	}
	if s.selector != "!federation.koinon.io/topology" {
		t.Errorf("got selector %q", s.selector)
	}
}
