package stranding

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

const system = "kube-federation-system"

var (
	a, ax, b = tenancy.Tenant{Name: "a"}, tenancy.Tenant{Name: "a", WorkspaceGroup: "x"}, tenancy.Tenant{Name: "b"}
	nobody   = tenancy.Tenant{}

	things = federated.Kind{Kind: "FederatedThing", Resource: "federatedthings", Namespaced: true}
	roles  = federated.Kind{Kind: "FederatedClusterRole", Resource: "federatedclusterroles"}
)

// world is what a Guard looks up.
type world struct {
	objects map[string][]*typesv1beta2.FederatedObject // by the resource
	tenants map[string]tenancy.Tenant
	members map[string]tenancy.Tenant
	cells   map[string]map[string]string
	broken  error
	asked   int
}

func (w *world) Kinds() ([]federated.Kind, error) {
	w.asked++
	return []federated.Kind{things, roles}, w.broken
}

func (w *world) Objects(_ context.Context, kind federated.Kind, namespace string, visit func(*typesv1beta2.FederatedObject) error) error {
	for _, o := range w.objects[kind.Resource] {
		if namespace == "" || o.Namespace == namespace {
			if err := visit(o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) Tenant(namespace string) (tenancy.Tenant, error) { return w.tenants[namespace], nil }

func (w *world) Cluster(_ context.Context, name string) (*corev1beta1.KubeFedCluster, error) {
	tenant, there := w.members[name]
	if !there {
		return nil, nil
	}
	return &corev1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: tenant.Labels()}}, nil
}

func (w *world) UnitLabels(_ context.Context, _, namespace, name string) (map[string]string, error) {
	return w.cells[namespace+"/"+name], nil
}

func (w *world) guard() *Guard { return &Guard{Lookups: w, SystemNamespace: system} }

// object has copies in targets, each TARGET@MEMBER; one that begins with ? is recorded and has no copy.
func object(topologyType, namespace, name string, targets ...string) *typesv1beta2.FederatedObject {
	o := &typesv1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	o.Spec.TopologyType = topologyType
	o.Status = &typesv1beta2.FederatedObjectStatus{}
	for _, text := range targets {
		text, pending := strings.CutPrefix(text, "?")
		target, member, _ := strings.Cut(text, "@")
		record := typesv1beta2.TargetStatus{Name: target, Cluster: member, Hash: "h"}
		if pending {
			record.Hash = ""
		}
		o.Status.Targets = append(o.Status.Targets, record)
	}
	return o
}

// moved has a copy in the second of the members in which the cell was before; nothing is in the first any more.
func moved(namespace, name, target string, former ...string) *typesv1beta2.FederatedObject {
	o := object("cell:zone", namespace, name, target)
	o.Status.Targets[0].Former = []typesv1beta2.FormerPlace{{Cluster: former[0]}, {Cluster: former[1], Hash: "h"}}
	return o
}

func labelled(namespace, name string, tenant tenancy.Tenant) *metav1.ObjectMeta {
	return &metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: tenant.Labels()}
}

func newWorld() *world {
	return &world{
		tenants: map[string]tenancy.Tenant{"red": a, "free": nobody, "empty": nobody},
		members: map[string]tenancy.Tenant{"m-a": a, "m-b": b, "m-free": nobody, "m-blue": nobody, "m-left": nobody},
		cells:   map[string]map[string]string{"red/c2": b.Labels()},
		objects: map[string][]*typesv1beta2.FederatedObject{
			things.Resource: {
				object("cluster", "red", "one", "m-a@m-a"),
				object("cluster", "red", "unwritten", "?m-a@m-a"),
				object("cluster", "red", "unjoined", "gone@gone"),
				object("cell", "red", "celled", "c1@m-free", "c2@m-free"),
				object("cluster", "free", "free", "m-free@m-free"),
				moved("blue", "moved", "c3@gone", "m-left", "m-blue"),
			},
			roles.Resource: {object("cluster", "", "role", "m-free@m-free")},
		},
	}
}

func TestWhichChangesStrandObjects(t *testing.T) {
	namespace := func(name string, before, after tenancy.Tenant) func(*Guard) error {
		return func(g *Guard) error {
			return g.Namespace(t.Context(), labelled("", name, after), labelled("", name, before))
		}
	}
	cluster := func(name string, before, after tenancy.Tenant) func(*Guard) error {
		return func(g *Guard) error {
			return g.Cluster(t.Context(), labelled(system, name, after), labelled(system, name, before))
		}
	}
	cell := func(name string, before, after tenancy.Tenant) func(*Guard) error {
		return func(g *Guard) error {
			namespace := "red"
			if name == "c3" {
				namespace = "blue"
			}
			return g.Unit(t.Context(), schema.GroupKind{Group: "federation.koinon.io", Kind: "Cell"}, ownership.UnitOwner("cell", namespace, name), labelled(namespace, name, after), labelled(namespace, name, before))
		}
	}
	for name, test := range map[string]struct {
		change func(*Guard) error
		want   string
	}{
		"labels that stay": {change: namespace("red", a, a)},
		"a namespace of a tenant whose copies are in a member of that tenant": {namespace("red", a, b),
			`Namespace "red" is invalid: metadata.labels[federation.koinon.io/tenant]: Invalid value: "b": with the tenant changed from tenant=a to tenant=b, 1 federated object would keep a copy in members that nobody may change or delete through this federation any more (FederatedThing red/one in m-a): take the targets out of their placement first, or set the annotation federation.koinon.io/leave-copies to "tenant=b" with the labels to leave the copies there`},
		"a workspace group that is added": {namespace("red", a, ax),
			`metadata.labels[federation.koinon.io/workspace-group]: Invalid value: "x": with the tenant changed from tenant=a to tenant=a, workspace-group=x, 1 federated object`},
		"a label that is taken away":                              {namespace("red", a, nobody), `to none, 1 federated object would keep a copy`},
		"the first labels of a namespace with copies":             {namespace("free", nobody, a), `(FederatedThing free/free in m-free)`},
		"the first labels of a namespace without any":             {change: namespace("empty", nobody, a)},
		"a namespace that comes back to where its copies are":     {change: namespace("free", a, nobody)},
		"a namespace with a cell of the tenant that it leaves":    {namespace("red", b, a), `(FederatedThing red/celled in c2)`},
		"a member with copies of a tenant's":                      {cluster("m-a", a, b), `KubeFedCluster.core.kubefed.io "m-a" is invalid: metadata.labels[federation.koinon.io/tenant]: Invalid value: "b": with the tenant changed from tenant=a to tenant=b, 1 federated object`},
		"a member with copies, cells and objects of no namespace": {cluster("m-free", nobody, b), `3 federated objects would keep copies in members that nobody may change or delete through this federation any more (FederatedClusterRole role in m-free; FederatedThing red/celled in c1; FederatedThing free/free in m-free)`},
		"the first labels of a member without copies":             {change: cluster("m-b", nobody, a)},
		"a member that becomes nobody's, under a cell":            {change: cluster("m-a2", a, nobody)},
		"a cell with copies":                                      {cell("c1", nobody, b), `Cell.federation.koinon.io "c1" is invalid: metadata.labels[federation.koinon.io/tenant]: Invalid value: "b": with the tenant changed from none to tenant=b, 1 federated object would keep a copy in members that nobody may change or delete through this federation any more (FederatedThing red/celled in c1)`},
		"a cell that says what its namespace says":                {change: cell("c1", nobody, a)},
		"a cell whose copy nobody may touch already":              {change: cell("c2", b, tenancy.Tenant{Name: "c"})},
		"a cell of another name":                                  {change: cell("c9", nobody, b)},
		"a cell that moved, and left copies where it was":         {cell("c3", nobody, b), `(FederatedThing blue/moved in c3)`},
		"a member that a cell has left copies in":                 {cluster("m-blue", nobody, b), `1 federated object would keep a copy in members that nobody may change or delete through this federation any more (FederatedThing blue/moved in c3)`},
		"a member that a cell has left":                           {change: cluster("m-left", nobody, b)},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.change(newWorld().guard())
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if err := test.change(nil); err != nil {
				t.Errorf("no guard refuses: %v", err)
			}
		})
	}
}

func TestCopiesAreLeftForOneChange(t *testing.T) {
	change := func(consent string) error {
		now := labelled("", "red", b)
		now.Annotations = map[string]string{v1alpha1.LeaveCopiesAnnotation: consent}
		return newWorld().guard().Namespace(t.Context(), now, labelled("", "red", a))
	}
	if err := change("tenant=b"); err != nil {
		t.Errorf("refused, with the annotation for it: %v", err)
	}
	for _, other := range []string{"", "none", "true", "tenant=c"} {
		if err := change(other); !apierrors.IsInvalid(err) {
			t.Errorf("the annotation %q: got %v, want a refusal", other, err)
		}
	}
}

func TestWhatIsNotKnownIsNotTakenForNothing(t *testing.T) {
	w := newWorld()
	w.broken = errors.New("not known yet")
	if err := w.guard().Namespace(t.Context(), labelled("", "red", b), labelled("", "red", a)); !errors.Is(err, w.broken) {
		t.Errorf("got %v, want %v", err, w.broken)
	}
}

func TestOtherChangesAskNothing(t *testing.T) {
	w := newWorld()
	now := labelled(system, "m-a", a)
	now.Labels["zone"] = "1"
	elsewhere, ofCell := labelled("elsewhere", "m-a", b), labelled(system, "c1.red", a)
	ofCell.Labels[v1alpha1.TopologyLabel] = "cell"
	for _, change := range [][2]metav1.Object{{now, labelled(system, "m-a", a)}, {elsewhere, labelled("elsewhere", "m-a", a)}, {labelled(system, "c1.red", b), ofCell}} {
		if err := w.guard().Cluster(t.Context(), change[0], change[1]); err != nil || w.asked > 0 {
			t.Errorf("%s/%s: asked %d times, error %v", change[0].GetNamespace(), change[0].GetName(), w.asked, err)
		}
	}
}

func TestManyObjectsAreCountedAndThreeNamed(t *testing.T) {
	w := newWorld()
	w.objects[things.Resource] = nil
	for i := range 12 {
		w.objects[things.Resource] = append(w.objects[things.Resource], object("cluster", "red", fmt.Sprintf("o%02d", i), "m-a@m-a", "m-a2@m-a", "m-a3@m-a", "m-a4@m-a"))
	}
	err := w.guard().Namespace(t.Context(), labelled("", "red", b), labelled("", "red", a))
	if want := `12 federated objects would keep copies`; err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, want %s", err, want)
	}
	if want := `(FederatedThing red/o00 in m-a, m-a2, m-a3 and 1 more; FederatedThing red/o01 in m-a, m-a2, m-a3 and 1 more; FederatedThing red/o02 in m-a, m-a2, m-a3 and 1 more; and 9 more)`; !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// BenchmarkCluster is a member of 1,000 that changes hands, with 20,000 objects in ten members each.
func BenchmarkCluster(b *testing.B) {
	w := &world{tenants: map[string]tenancy.Tenant{"shop": a}, members: map[string]tenancy.Tenant{}, objects: map[string][]*typesv1beta2.FederatedObject{}}
	for i := range 1000 {
		w.members[fmt.Sprintf("m%d", i)] = a
	}
	for i := range 20_000 {
		targets := make([]string, 10)
		for j := range targets {
			targets[j] = fmt.Sprintf("m%[1]d@m%[1]d", (i+j*97)%1000)
		}
		w.objects[things.Resource] = append(w.objects[things.Resource], object("cluster", "shop", fmt.Sprintf("o%d", i), targets...))
	}
	for b.Loop() {
		if err := w.guard().Cluster(b.Context(), labelled(system, "m5", nobody), labelled(system, "m5", a)); err == nil {
			b.Fatal("not refused")
		}
	}
}
