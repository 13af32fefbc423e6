package ownership_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/validation"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

var (
	shop  = ownership.NamespaceOwner("shop-rz00a")
	cell  = ownership.UnitOwner("cell", "shop", "rz00a")
	unit  = ownership.UnitOwner("edgeunit", "shop", "rz00a")
	early = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	late  = metav1.NewTime(early.Add(time.Hour))
)

func TestTheOwnerOfATarget(t *testing.T) {
	for name, test := range map[string]struct {
		topologyType, namespace, target string
		want                            ownership.Owner
	}{
		"a whole cluster":                  {"cluster", "shop", "m1", ownership.NamespaceOwner("shop")},
		"a cell":                           {"cell", "shop", "rz00a", cell},
		"an edge unit":                     {"edgeunit", "shop", "rz00a", unit},
		"the cluster of a cell":            {"cluster", "shop", "rz00a.shop", cell},
		"the cluster of an edge unit":      {"cluster", "shop", "rz00a.shop.edgeunit", unit},
		"the cluster of somebody's cell":   {"cluster", "other", "rz00a.shop", cell},
		"an object that has no namespace":  {"cluster", "", "m1", ownership.NamespaceOwner("")},
		"a cell that is called edgeunit":   {"cluster", "shop", "edgeunit.shop", ownership.UnitOwner("cell", "shop", "edgeunit")},
		"a cell of a namespace of dashes":  {"cell", "a-b", "c", ownership.UnitOwner("cell", "a-b", "c")},
		"and its likeness is another cell": {"cell", "a", "b-c", ownership.UnitOwner("cell", "a", "b-c")},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ownership.OwnerOf(test.topologyType, test.namespace, test.target); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestOwnersAreToldApartByTheirMarks(t *testing.T) {
	owners := []ownership.Owner{
		shop, cell, unit, ownership.NamespaceOwner("shop"), ownership.UnitOwner("cell", "a", "b-c"), ownership.UnitOwner("cell", "a-b", "c"),
	}
	for _, one := range owners {
		for _, other := range owners {
			marked, refusal := ownership.Marked(ownership.Marks("f1", one), "f1", other)
			if same := one == other; marked != same || (refusal == "") != same {
				t.Errorf("marks of %v for %v: marked %v, refusal %q", one, other, marked, refusal)
			}
		}
	}
}

func TestMarks(t *testing.T) {
	for name, test := range map[string]struct {
		annotations map[string]string
		marked      bool
		refused     string
	}{
		"a namespace without marks": {annotations: map[string]string{"their": "own"}},
		"ours":                      {annotations: ownership.Marks("f1", cell), marked: true},
		"another owner's": {annotations: ownership.Marks("f1", shop),
			refused: `the annotation federation.koinon.io/owner says that it belongs to "namespace/shop-rz00a", and not to "cell/shop/rz00a"`},
		"the same owner's in another federation": {annotations: ownership.Marks("f2", cell),
			refused: `the annotation federation.koinon.io/federation says that it belongs to another federation, "f2"; this one is "f1"`},
		"half of the marks is not all of them": {annotations: map[string]string{v1alpha1.FederationAnnotation: "f1"}},
		"half of somebody else's is enough": {annotations: map[string]string{v1alpha1.OwnerAnnotation: "namespace/x"},
			refused: `the annotation federation.koinon.io/owner says that it belongs to "namespace/x", and not to "cell/shop/rz00a"`},
	} {
		t.Run(name, func(t *testing.T) {
			marked, refusal := ownership.Marked(test.annotations, "f1", cell)
			if marked != test.marked || refusal != test.refused {
				t.Errorf("got %v %q, want %v %q", marked, refusal, test.marked, test.refused)
			}
		})
	}
}

// claimed is a page on which owners have members, given in turn.
func claimed(t *testing.T, claims ...any) *v1alpha1.MemberNamespace {
	t.Helper()
	page := ownership.NewPage("shop-rz00a")
	for i := 0; i < len(claims); i += 2 {
		if taken, _ := ownership.Claim(page, claims[i].(ownership.Owner), claims[i+1].([]string), early); taken != nil {
			t.Fatalf("taken: %v", taken)
		}
	}
	return page
}

func TestClaim(t *testing.T) {
	for name, test := range map[string]struct {
		page    *v1alpha1.MemberNamespace
		owner   ownership.Owner
		members []string
		taken   map[string]ownership.Owner
		changed bool
		holders map[string]ownership.Owner
	}{
		"the first claim": {
			page: claimed(t), owner: cell, members: []string{"m1"}, changed: true,
			holders: map[string]ownership.Owner{"m1": cell}},
		"the same claim again changes nothing": {
			page: claimed(t, cell, []string{"m1"}), owner: cell, members: []string{"m1"},
			holders: map[string]ownership.Owner{"m1": cell}},
		"a namespace of the host does not get a cell's": {
			page: claimed(t, cell, []string{"m1"}), owner: shop, members: []string{"m1", "m2"}, changed: true,
			taken:   map[string]ownership.Owner{"m1": cell},
			holders: map[string]ownership.Owner{"m1": cell, "m2": shop}},
		"nor a cell a namespace's": {
			page: claimed(t, shop, []string{"m1"}), owner: cell, members: []string{"m1"},
			taken:   map[string]ownership.Owner{"m1": shop},
			holders: map[string]ownership.Owner{"m1": shop}},
		"an edge unit is not the cell of its name": {
			page: claimed(t, cell, []string{"m1"}), owner: unit, members: []string{"m1"},
			taken:   map[string]ownership.Owner{"m1": cell},
			holders: map[string]ownership.Owner{"m1": cell}},
		"one more member": {
			page: claimed(t, shop, []string{"m3", "m1"}), owner: shop, members: []string{"m2", "m1"}, changed: true,
			holders: map[string]ownership.Owner{"m1": shop, "m2": shop, "m3": shop}},
	} {
		t.Run(name, func(t *testing.T) {
			taken, changed := ownership.Claim(test.page, test.owner, test.members, late)
			if diff := cmp.Diff(test.taken, taken); diff != "" || changed != test.changed {
				t.Errorf("changed: %v, want %v; taken (-want +got):\n%s", changed, test.changed, diff)
			}
			if diff := cmp.Diff(test.holders, ownership.Holders(test.page)); diff != "" {
				t.Errorf("holders (-want +got):\n%s", diff)
			}
			for member, want := range test.holders {
				if got, held := ownership.Holder(test.page, member); !held || got != want {
					t.Errorf("%s: got %v, want %v", member, got, want)
				}
			}
			if got, held := ownership.Holder(test.page, "m9"); held {
				t.Errorf("m9: got %v, want nobody", got)
			}
			if errs := validation.MemberNamespace(test.page); len(errs) > 0 {
				t.Errorf("the page is not valid: %v", errs)
			}
			for _, entry := range test.page.Spec.Owners {
				if !slices.IsSorted(entry.Members) {
					t.Errorf("got members %v, want them sorted", entry.Members)
				}
			}
		})
	}
}

func TestRelease(t *testing.T) {
	page := claimed(t, cell, []string{"m1", "m2"}, shop, []string{"m3"})
	if ownership.Release(page, unit, "m1") || ownership.Release(page, cell, "m3") {
		t.Error("a claim was released that is somebody else's")
	}
	if !ownership.Release(page, cell, "m1") {
		t.Error("the claim was not released")
	}
	if diff := cmp.Diff(map[string]ownership.Owner{"m2": cell, "m3": shop}, ownership.Holders(page)); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
	if !ownership.Release(page, cell, "m2") || len(page.Spec.Owners) != 1 {
		t.Errorf("an owner without members is left: %v", page.Spec.Owners)
	}
}

func TestSystemNamespaces(t *testing.T) {
	cluster := func(change func(*corev1beta1.KubeFedCluster)) *corev1beta1.KubeFedCluster {
		c := &corev1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: "m1"}}
		if change != nil {
			change(c)
		}
		return c
	}
	joined := func(c *corev1beta1.KubeFedCluster) { c.Status.JoinNamespace = "fleet" }
	for name, test := range map[string]struct {
		cluster   *corev1beta1.KubeFedCluster
		namespace string
		refused   bool
	}{
		"a namespace of users":                       {cluster(nil), "shop", false},
		"default":                                    {cluster(nil), "default", true},
		"kube-system":                                {cluster(nil), "kube-system", true},
		"any kube-":                                  {cluster(nil), "kube-x", true},
		"a name that only begins like it":            {cluster(nil), "kubernetes-dashboard", false},
		"the join account's, as the token says":      {cluster(joined), "fleet", true},
		"the join account's, as the spec says":       {cluster(func(c *corev1beta1.KubeFedCluster) { c.Spec.JoinNamespace = "fleet" }), "fleet", true},
		"the spec does not hide what the token says": {cluster(func(c *corev1beta1.KubeFedCluster) { joined(c); c.Spec.JoinNamespace = "x" }), "fleet", true},
		"default, allowed":                           {cluster(func(c *corev1beta1.KubeFedCluster) { c.Spec.AllowedSystemNamespaces = []string{"default"} }), "default", false},
		"another one is not allowed with it":         {cluster(func(c *corev1beta1.KubeFedCluster) { c.Spec.AllowedSystemNamespaces = []string{"default"} }), "kube-system", true},
		"the join account's, allowed": {cluster(func(c *corev1beta1.KubeFedCluster) {
			joined(c)
			c.Spec.AllowedSystemNamespaces = []string{"fleet"}
		}), "fleet", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ownership.SystemNamespacesOf(test.cluster).Refusal(test.namespace); (got != "") != test.refused {
				t.Errorf("got refusal %q, want one: %v", got, test.refused)
			}
		})
	}
	want := `namespace "default" of member "m1" belongs to the member itself; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster "m1" names it`
	if got := ownership.SystemNamespacesOf(cluster(nil)).Refusal("default"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
