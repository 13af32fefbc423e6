package targets

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

func TestATargetShowsWhatItsMemberSays(t *testing.T) {
	w := newWorld(t, in("m1"), in("m2"))
	w.member("m1", answers(http.StatusOK, deployment(2)))
	w.member("m2", answers(http.StatusNotFound, notFound("web")))
	list := w.list()
	if list.ResourceVersion != "7" || len(list.Items) != 2 {
		t.Fatalf("got version %s and %d items", list.ResourceVersion, len(list.Items))
	}
	m1 := list.Items[0]
	if m1.Name != "m1" || m1.Namespace != "shop" || m1.Cluster != "m1" || m1.MemberNamespace != "shop" || string(m1.Status) != `{"readyReplicas":2,"replicas":3}` || holding(&m1) != "" {
		t.Errorf("got %+v, status %s", m1, m1.Status)
	}
	var object struct {
		Kind     string
		Metadata metav1.ObjectMeta
		Spec     any
	}
	if err := json.Unmarshal(m1.Object, &object); err != nil {
		t.Fatal(err)
	}
	if object.Kind != "Deployment" || object.Metadata.Name != "web" || object.Spec != nil || object.Metadata.ManagedFields != nil || strings.Contains(string(m1.Object), "secret") {
		t.Errorf("got %s", m1.Object)
	}
	if m2 := list.Items[1]; m2.Object != nil || m2.Status != nil || holding(&m2) != "" {
		t.Errorf("of a target without the object: %+v", m2)
	}
	if diff := cmp.Diff([]string{"m1 /apis/apps/v1/namespaces/shop/deployments/web", "m2 /apis/apps/v1/namespaces/shop/deployments/web"}, sorted(w.asked)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func sorted(asked []string) []string {
	if len(asked) == 2 && asked[0] > asked[1] {
		asked[0], asked[1] = asked[1], asked[0]
	}
	return asked
}

// What a member answers badly is unknown: never shown, never absent, an error for one target and a
// warning for all.
func TestWhatAMemberDoesNotSayIsUnknown(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"no answer":               {nil, `cluster "m1" does not answer`},
		"a redirect":              {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://evil/", http.StatusFound) }, `cluster "m1" answers with 302`},
		"an object of five MiB":   {answers(http.StatusOK, deployment(1, annotated("a", strings.Repeat("x", 5<<20)))), "longer than 4 MiB"},
		"no JSON":                 {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, "no JSON"},
		"another object":          {answers(http.StatusOK, deployment(1, func(o map[string]any) { o["metadata"].(map[string]any)["name"] = "other" })), "another object"},
		"one of another kind":     {answers(http.StatusOK, deployment(1, func(o map[string]any) { o["kind"] = "Secret" })), "another object"},
		"the type is not there":   {func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) }, "does not serve Deployment in the version apps/v1"},
		"another is not there":    {answers(http.StatusNotFound, notFound("apps")), "does not serve"},
		"rights are missing":      {answers(http.StatusForbidden, metav1.Status{Status: "Failure", Message: "no\x1b[31m"}), `answers with 403: no?[31m`},
		"an encoding nobody asks": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "br") }, "was not asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, in("m1"))
			if test.answer != nil {
				w.member("m1", test.answer)
			}
			if _, err := w.one("m1"); !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("of one: got %v, want %s", err, test.want)
			}
			item := w.list().Items[0]
			if item.Object != nil || item.Status != nil || holding(&item) != "Unreachable True NoAnswer" {
				t.Errorf("of all: got %q, status %s", holding(&item), item.Status)
			}
		})
	}
}

func TestASlowMemberHoldsUpNobodyForLong(t *testing.T) {
	w := newWorld(t, in("m1"), in("m2"))
	w.reader.patience = 50 * time.Millisecond
	w.member("m1", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w.member("m2", answers(http.StatusOK, deployment(3)))
	recorder := &recorder{}
	got, err := w.rest.Get(warning.WithWarningRecorder(t.Context(), recorder), "web", &federationv1alpha1.TargetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list := got.(*federationv1alpha1.TargetObjectList)
	if holding(&list.Items[0]) != "Unreachable True NoAnswer" || list.Items[1].Status == nil {
		t.Errorf("got %q and status %s", holding(&list.Items[0]), list.Items[1].Status)
	}
	if diff := cmp.Diff([]string{`target "m1" is not known: cluster "m1" did not answer within 50ms`}, recorder.told); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if _, err := w.one("m1"); !apierrors.IsTimeout(err) {
		t.Errorf("of one: got %v, want a timeout", err)
	}
}

type recorder struct{ told []string }

func (r *recorder) AddWarning(_, text string) { r.told = append(r.told, text) }

// Only what carries the marks of this very object is shown, whatever a record says.
func TestAnObjectWithOtherMarksIsNotShown(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"no label": func(o map[string]any) { delete(o["metadata"].(map[string]any), "labels") },
		"the label says no": func(o map[string]any) {
			o["metadata"].(map[string]any)["labels"] = map[string]any{"kubefed.io/managed": "false"}
		},
		"no annotation":                         func(o map[string]any) { delete(o["metadata"].(map[string]any), "annotations") },
		"it is of another federated object":     annotated("federation.koinon.io/federated-object", "shop/other"),
		"it is of the same name in another one": annotated("federation.koinon.io/federated-object", "bank/web"),
		"it is of nobody":                       annotated("federation.koinon.io/federated-object", "-"),
		"it is of another federation":           annotated("federation.koinon.io/federation", "f2"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, in("m1"))
			w.member("m1", answers(http.StatusOK, deployment(3, change)))
			item, err := w.one("m1")
			if err != nil {
				t.Fatal(err)
			}
			if item.Object != nil || item.Status != nil || holding(item) != "Conflict True NotOurs" {
				t.Errorf("got %q, status %s", holding(item), item.Status)
			}
		})
	}
}

// The record of a status may be written by whoever may write the status.
func TestTheMemberIsNotAskedWhereTheObjectMayNotBe(t *testing.T) {
	labelled := func(labels map[string]string) *corev1beta1.KubeFedCluster {
		return &corev1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: "m1", Labels: labels}}
	}
	cell := typesv1beta2.TargetStatus{Name: "rz00a", Cluster: "m1", Namespace: "shop-rz00a"}
	page := func(namespace string, owner federationv1alpha1.MemberNamespaceOwner) *federationv1alpha1.MemberNamespace {
		owner.Members = []string{"m1"}
		return &federationv1alpha1.MemberNamespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Spec: federationv1alpha1.MemberNamespaceSpec{Owners: []federationv1alpha1.MemberNamespaceOwner{owner}}}
	}
	for name, test := range map[string]struct {
		topology string
		record   typesv1beta2.TargetStatus
		with     func(*world)
		want     string
	}{
		"another tenant's cluster": {
			typesv1beta2.TopologyCluster, in("m1"),
			func(w *world) { w.clusters["m1"] = labelled(map[string]string{federationv1alpha1.TenantLabel: "b"}) }, "has the label federation.koinon.io/tenant=b",
		},
		"another tenant's cluster, for a cell": {
			typesv1beta2.TopologyCell, cell,
			func(w *world) {
				w.tenant = tenancy.Tenant{Name: "a"}
				w.clusters["m1"] = labelled(map[string]string{federationv1alpha1.TenantLabel: "b"})
			}, "has the label federation.koinon.io/tenant=b",
		},
		"the namespace is a cell's": {
			typesv1beta2.TopologyCluster, in("m1"),
			func(w *world) {
				w.pages["shop"] = page("shop", federationv1alpha1.MemberNamespaceOwner{Kind: "Cell", Namespace: "bank", Name: "x"})
			}, "belongs to cell bank/x",
		},
		"the namespace is another cell's": {
			typesv1beta2.TopologyCell, cell,
			func(w *world) {
				w.pages["shop-rz00a"] = page("shop-rz00a", federationv1alpha1.MemberNamespaceOwner{Kind: "Cell", Namespace: "shop", Name: "x"})
			}, "belongs to cell shop/x",
		},
		"a record that names another namespace": {
			typesv1beta2.TopologyCluster, typesv1beta2.TargetStatus{Name: "m1", Cluster: "m1", Namespace: "kube-system"}, func(*world) {}, "no object of namespace",
		},
		"a record that names another cluster": {
			typesv1beta2.TopologyCluster, typesv1beta2.TargetStatus{Name: "m1", Cluster: "m2", Namespace: "shop"},
			func(w *world) { w.clusters["m2"] = labelled(nil) }, "no object of namespace",
		},
		"the member's own namespace": {
			typesv1beta2.TopologyCell, typesv1beta2.TargetStatus{Name: "rz00a", Cluster: "m1", Namespace: "kube-system"}, func(*world) {}, "belongs to the member itself",
		},
		"a cell of another namespace": {
			typesv1beta2.TopologyCluster, typesv1beta2.TargetStatus{Name: "rz00a.bank", Cluster: "m1", Namespace: "bank-rz00a"}, func(*world) {}, `is of namespace "bank"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.record)
			w.object.object.Spec.TopologyType = test.topology
			w.member("m1", answers(http.StatusOK, deployment(3)))
			w.member("m2", answers(http.StatusOK, deployment(3)))
			test.with(w)
			item := w.list().Items[0]
			if item.Object != nil || item.Status != nil || holding(&item) != "Forbidden True NotAsked" || !strings.Contains(fmt.Sprint(item.Conditions), test.want) {
				t.Errorf("got %v, want %s", item.Conditions, test.want)
			}
			if len(w.asked) > 0 {
				t.Errorf("members were asked: %v", w.asked)
			}
		})
	}
}

func TestWhatIsNotPlacedIsNotAsked(t *testing.T) {
	w := newWorld(t, in("m1"))
	w.object.object.Status.Targets = []typesv1beta2.TargetStatus{{Name: "m9", State: typesv1beta2.TargetNotFound, Message: "there is no such cluster"}}
	item := w.list().Items[0]
	if item.State != "TargetNotFound" || holding(&item) != "Applied False TargetNotFound" || len(w.asked) > 0 {
		t.Errorf("got %+v, and asked %v", item, w.asked)
	}
}

func TestATargetThatIsNoneIsNotFound(t *testing.T) {
	w := newWorld(t, in("m1"))
	if _, err := w.one("m2"); !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), `has no target "m2"`) {
		t.Errorf("got %v", err)
	}
	if _, err := w.one("m1/x"); !apierrors.IsBadRequest(err) {
		t.Errorf("got %v", err)
	}
	if _, err := w.rest.Get(t.Context(), "other", &federationv1alpha1.TargetObjectOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestWithoutWaysToMembersItSaysSo(t *testing.T) {
	w := newWorld(t, in("m1"))
	var none *Reader
	_, err := none.REST(deployments, w.object).Get(t.Context(), "web", &federationv1alpha1.TargetObjectOptions{})
	if !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), "no ways to members") {
		t.Errorf("got %v", err)
	}
}

func TestTheClusterShapeCallsTargetsByTheirClusters(t *testing.T) {
	w := newWorld(t, typesv1beta2.TargetStatus{Name: "rz00a", Cluster: "m1", Namespace: "shop-rz00a"})
	w.object.object.Spec.TopologyType = typesv1beta2.TopologyCell
	w.member("m1", answers(http.StatusOK, deployment(3, func(o map[string]any) { o["metadata"].(map[string]any)["namespace"] = "shop-rz00a" })))
	ctx := genericapirequest.WithRequestInfo(t.Context(), &genericapirequest.RequestInfo{APIGroup: federated.GroupName, APIVersion: "v1beta1"})
	got, err := w.rest.Get(ctx, "web", &federationv1alpha1.TargetObjectOptions{Path: "/rz00a.shop"})
	if err != nil {
		t.Fatal(err)
	}
	if item := got.(*federationv1alpha1.TargetObject); item.Name != "rz00a.shop" || item.Status == nil {
		t.Errorf("got %+v", item)
	}
}

func TestWhatIsTooMuchInAllIsLeftOut(t *testing.T) {
	w := newWorld(t, in("m1"), in("m2"), in("m3"))
	w.reader.allBytes = 700
	for _, m := range []string{"m1", "m2", "m3"} {
		w.member(m, answers(http.StatusOK, deployment(3)))
	}
	shown, left := 0, 0
	for _, item := range w.list().Items {
		switch {
		case item.Status != nil:
			shown++
		case strings.Contains(fmt.Sprint(item.Conditions), "ask for targets/NAME"):
			left++
		}
	}
	if shown == 0 || left == 0 || shown+left != 3 {
		t.Errorf("%d were shown, and %d left out", shown, left)
	}
}

func TestTheTable(t *testing.T) {
	w := newWorld(t, in("m1"), in("m2"))
	w.object.object.Status.Targets[1].State = typesv1beta2.TargetMasked
	w.member("m1", answers(http.StatusOK, deployment(2)))
	table, err := w.rest.ConvertToTable(context.Background(), w.list(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]any
	for _, row := range table.Rows {
		rows = append(rows, row.Cells)
	}
	if diff := cmp.Diff([][]any{{"m1", "OK", "m1", "shop", "2/3", ""}, {"m2", "Masked", "m2", "shop", "", `cluster "m2" does not answer`}}, rows); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
