package targets

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/strategy"
)

var deployments = federated.Kind{
	Kind: "FederatedDeployment", Resource: "federateddeployments", Namespaced: true,
	Target: schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, TargetNamespaced: true, TargetResource: "deployments",
}

// world is a federation with one federated object and some members.
type world struct {
	t      *testing.T
	reader *Reader
	rest   *REST
	object *objects

	clusters map[string]*corev1beta1.KubeFedCluster
	units    map[string]*strategy.Unit
	pages    map[string]*federationv1alpha1.MemberNamespace
	tenant   tenancy.Tenant

	mu      sync.Mutex
	members map[string]http.Handler // guarded by mu
	asked   []string                // guarded by mu
}

// newWorld has FederatedDeployment shop/web with the given records, and a member for each of them.
func newWorld(t *testing.T, records ...typesv1beta2.TargetStatus) *world {
	t.Helper()
	w := &world{
		t: t, clusters: map[string]*corev1beta1.KubeFedCluster{}, units: map[string]*strategy.Unit{},
		pages: map[string]*federationv1alpha1.MemberNamespace{}, members: map[string]http.Handler{},
	}
	for _, r := range records {
		w.clusters[r.Cluster] = &corev1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: r.Cluster}}
	}
	o := &typesv1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "1", ResourceVersion: "7"}}
	o.Kind, o.APIVersion = "FederatedDeployment", federated.V1beta2.String()
	o.Spec.TopologyType = typesv1beta2.TopologyCluster
	o.Status = &typesv1beta2.FederatedObjectStatus{Targets: records}
	w.object = &objects{object: o}
	var err error
	w.reader, err = NewReader(Config{Members: w, Lookups: w, Federation: func(context.Context) (string, error) { return "f1", nil }})
	if err != nil {
		t.Fatal(err)
	}
	w.rest = w.reader.REST(deployments, w.object)
	return w
}

// in is the record of a target that is a whole cluster.
func in(cluster string) typesv1beta2.TargetStatus {
	return typesv1beta2.TargetStatus{Name: cluster, Cluster: cluster, Namespace: "shop", Version: "gen:1"}
}

// member has a member answer in some way.
func (w *world) member(name string, answer http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members[name] = answer
}

// To implements Members.
func (w *world) To(_ context.Context, member string) (Member, error) {
	return Member{Transport: roundTrips(func(r *http.Request) (*http.Response, error) {
		w.mu.Lock()
		handler := w.members[member]
		w.asked = append(w.asked, member+" "+r.URL.RequestURI())
		w.mu.Unlock()
		if handler == nil {
			return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("cluster %q does not answer", member))
		}
		server := httptest.NewServer(handler)
		base, err := url.Parse(server.URL)
		if err != nil {
			return nil, err
		}
		sent := r.Clone(r.Context())
		sent.URL.Scheme, sent.URL.Host = base.Scheme, base.Host
		w.t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
		return (&http.Transport{DisableCompression: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}).RoundTrip(sent)
	}), Replaced: context.Background()}, nil
}

type roundTrips func(*http.Request) (*http.Response, error)

func (f roundTrips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *world) Tenant(string) (tenancy.Tenant, error) { return w.tenant, nil }

func (w *world) Cluster(_ context.Context, name string) (*corev1beta1.KubeFedCluster, error) {
	return w.clusters[name], nil
}

func (w *world) Unit(_ context.Context, topologyType, namespace, name string) (*strategy.Unit, error) {
	return w.units[topologyType+" "+namespace+"/"+name], nil
}

func (*world) LabelsOf(context.Context, string, string) (map[string]map[string]string, error) {
	return nil, errors.New("nobody asks for all labels")
}

func (w *world) OnlyNamespace(context.Context) (string, error) { return "", nil }

func (w *world) NamespaceLabels(context.Context, string) (map[string]string, error) {
	return w.tenant.Labels(), nil
}

func (w *world) Page(_ context.Context, namespace string) (*federationv1alpha1.MemberNamespace, error) {
	return w.pages[namespace], nil
}

// objects holds one federated object.
type objects struct {
	mu       sync.Mutex
	object   *typesv1beta2.FederatedObject // guarded by mu
	watchers []*watch.RaceFreeFakeWatcher  // guarded by mu
}

func (o *objects) Get(_ context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.object == nil || name != o.object.Name {
		return nil, apierrors.NewNotFound(deployments.GroupResource(), name)
	}
	return o.object.DeepCopy(), nil
}

func (o *objects) Watch(context.Context, *metainternalversion.ListOptions) (watch.Interface, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := watch.NewRaceFreeFake()
	o.watchers = append(o.watchers, w)
	return w, nil
}

// change has everybody told that the targets are others; none at all: that the object is deleted.
func (o *objects) change(records ...typesv1beta2.TargetStatus) {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := o.object.DeepCopy()
	next.Status.Targets = records
	o.object = next
	for _, w := range o.watchers {
		if len(records) == 0 {
			w.Delete(next)
		} else {
			w.Modify(next)
		}
	}
}

// deployment is what a member has, with our marks; change may make it another.
func deployment(ready int, change ...func(map[string]any)) map[string]any {
	o := map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{
			"name": "web", "namespace": "shop", "resourceVersion": "10",
			"labels": map[string]any{"kubefed.io/managed": "true"},
			"annotations": map[string]any{
				"federation.koinon.io/federated-object": "shop/web", "federation.koinon.io/federation": "f1",
				"kubectl.kubernetes.io/last-applied-configuration": "secret",
			},
			"managedFields": []any{map[string]any{"manager": "m"}},
		},
		"spec":   map[string]any{"replicas": 3},
		"status": map[string]any{"replicas": 3, "readyReplicas": ready},
	}
	for _, c := range change {
		c(o)
	}
	return o
}

func annotated(key, value string) func(map[string]any) {
	return func(o map[string]any) {
		o["metadata"].(map[string]any)["annotations"].(map[string]any)[key] = value
	}
}

func answers(code int, body any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(body)
	}
}

func notFound(name string) metav1.Status {
	return metav1.Status{Status: metav1.StatusFailure, Code: 404, Reason: metav1.StatusReasonNotFound, Details: &metav1.StatusDetails{Name: name, Kind: "deployments"}}
}

// list asks for all targets.
func (w *world) list() *federationv1alpha1.TargetObjectList {
	w.t.Helper()
	got, err := w.rest.Get(w.t.Context(), "web", &federationv1alpha1.TargetObjectOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return got.(*federationv1alpha1.TargetObjectList)
}

// one asks for one.
func (w *world) one(name string) (*federationv1alpha1.TargetObject, error) {
	got, err := w.rest.Get(w.t.Context(), "web", &federationv1alpha1.TargetObjectOptions{Path: "/" + name})
	if err != nil {
		return nil, err
	}
	return got.(*federationv1alpha1.TargetObject), nil
}

// holding are the conditions that are not as they are where all is well.
func holding(o *federationv1alpha1.TargetObject) string {
	var out []string
	for _, c := range o.Conditions {
		if c.Status == metav1.ConditionTrue && c.Type != "Applied" || c.Status != metav1.ConditionTrue && c.Type == "Applied" {
			out = append(out, c.Type+" "+string(c.Status)+" "+c.Reason)
		}
	}
	return strings.Join(out, ", ")
}

// within fails a test that takes for ever.
const within = 30 * time.Second

// guarded is a world whose namespace of the member becomes somebody else's.
type guarded struct {
	*world
	mu    sync.Mutex
	taken bool // guarded by mu
}

func (g *guarded) take() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken = true
}

func (g *guarded) Page(context.Context, string) (*federationv1alpha1.MemberNamespace, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.taken {
		return nil, nil
	}
	return &federationv1alpha1.MemberNamespace{Spec: federationv1alpha1.MemberNamespaceSpec{
		Owners: []federationv1alpha1.MemberNamespaceOwner{{Kind: "Cell", Namespace: "bank", Name: "x", Members: []string{"m1"}}},
	}}, nil
}
