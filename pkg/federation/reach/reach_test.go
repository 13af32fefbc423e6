package reach

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestWhereAnObjectIsInATarget(t *testing.T) {
	object := func(topologyType string) Object {
		return Object{TopologyType: topologyType, Namespace: "shop", Name: "web"}
	}
	deployments := Kind{schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, true}
	namespaces := Kind{schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, false}
	roles := Kind{schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}, false}
	cluster := object("cluster").Cluster(&v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: "m1"}})
	cell := object("cell").Cell(&federationv1alpha1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "rz00a"}, Spec: federationv1alpha1.CellSpec{ClusterName: "m1"}})
	asCluster := object("cluster").Cluster(&v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{
		Name:        "rz00a.shop",
		Labels:      map[string]string{federationv1alpha1.TopologyLabel: "cell", federationv1alpha1.TopologyNamespaceLabel: "shop", federationv1alpha1.MemberLabel: "m1"},
		Annotations: map[string]string{federationv1alpha1.MemberNamespaceAnnotation: "inner"},
	}})
	for name, c := range map[string]struct {
		kind            Kind
		of              Object
		in              placement.Candidate
		namespace, name string
	}{
		"in a cluster, in the namespace of the same name": {deployments, object("cluster"), cluster, "shop", "web"},
		"in a cell, in its namespace of the member":       {deployments, object("cell"), cell, "shop-rz00a", "web"},
		"in what a cell appears as, in the same":          {deployments, object("cluster"), asCluster, "inner", "web"},
		"a namespace is that of its cell":                 {namespaces, object("cell"), cell, "", "shop-rz00a"},
		"what has no namespace has its own name":          {roles, object("cell"), cell, "", "web"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace, name := c.kind.Place(c.of, c.in)
			if namespace != c.namespace || name != c.name {
				t.Errorf("it is %s/%s, want %s/%s", namespace, name, c.namespace, c.name)
			}
			if c.in.Member != "m1" {
				t.Errorf("it is in the member %q", c.in.Member)
			}
		})
	}
}

func TestAnEdgeUnitWithoutASelectorHasTheNodesThatNameIt(t *testing.T) {
	object := Object{TopologyType: "edgeunit", Namespace: "shop", Name: "web"}
	unit := &edgev1alpha1.EdgeUnit{ObjectMeta: metav1.ObjectMeta{Name: "store7"}}
	if diff := cmp.Diff(map[string]string{edgev1alpha1.UnitLabel: "store7"}, object.EdgeUnit(unit).NodeSelector); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatATenantMayNotUseIsRefused(t *testing.T) {
	bank := map[string]string{federationv1alpha1.TenantLabel: "bank"}
	shop := Object{TopologyType: "cluster", Namespace: "shop", Name: "web", Tenant: tenancy.Of(map[string]string{federationv1alpha1.TenantLabel: "shop"})}
	for name, refusal := range map[string]string{
		"a cluster of another tenant": shop.Cluster(&v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: "m1", Labels: bank}}).Refusal,
		"a cell whose labels say so":  shop.Cell(&federationv1alpha1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "m1", Labels: bank}}).Refusal,
		"its member":                  shop.MemberRefusal(placement.Candidate{Member: "m1", Owner: ownership.UnitOwner("cell", "shop", "rz00a")}, bank),
	} {
		if !strings.Contains(refusal, `has the label federation.koinon.io/tenant=bank, and namespace "shop" has shop`) {
			t.Errorf("%s: %q", name, refusal)
		}
	}
	if refusal := shop.MemberRefusal(placement.Candidate{Member: "m1", Owner: ownership.UnitOwner("cell", "shop", "rz00a")}, nil); refusal != "" {
		t.Errorf("a cell in nobody's member: %q", refusal)
	}
}

func TestWhatIsThereAlreadyIsTakenOverUnlessItIsSomebodyElses(t *testing.T) {
	marks := Marks{Source: "shop/web", Federation: "here", UnmarkedIsOurs: true}
	now := metav1.Now()
	annotated := func(source, federation string) map[string]string {
		return map[string]string{"federation.koinon.io/federated-object": source, federationv1alpha1.FederationAnnotation: federation}
	}
	managed := func(value string) map[string]string { return map[string]string{v1beta1.ManagedLabel: value} }
	for name, c := range map[string]struct {
		there metav1.ObjectMeta
		adopt bool
		want  v1beta2.TargetState
		ours  bool
	}{
		"our own":                             {metav1.ObjectMeta{Labels: managed("true"), Annotations: annotated("shop/web", "here")}, false, v1beta2.TargetOK, true},
		"what KubeFed made":                   {metav1.ObjectMeta{Labels: managed("true")}, false, v1beta2.TargetOK, true},
		"another object's":                    {metav1.ObjectMeta{Labels: managed("true"), Annotations: annotated("shop/api", "here")}, true, v1beta2.TargetAlreadyExists, false},
		"another federation's":                {metav1.ObjectMeta{Labels: managed("true"), Annotations: annotated("shop/web", "there")}, true, v1beta2.TargetAlreadyExists, false},
		"nobody's, if it may be adopted":      {metav1.ObjectMeta{}, true, v1beta2.TargetOK, false},
		"nobody's, if it may not":             {metav1.ObjectMeta{}, false, v1beta2.TargetAlreadyExists, false},
		"what says that it wants nobody":      {metav1.ObjectMeta{Labels: managed("false")}, true, v1beta2.TargetManagedLabelFalse, false},
		"an original that is followed":        {metav1.ObjectMeta{Labels: map[string]string{v1beta1.FederateLabel: "true"}}, true, v1beta2.TargetAlreadyExists, false},
		"one that is followed no longer":      {metav1.ObjectMeta{Labels: map[string]string{v1beta1.FederateLabel: "false"}}, true, v1beta2.TargetOK, false},
		"our own, if somebody labels it":      {metav1.ObjectMeta{Labels: map[string]string{v1beta1.ManagedLabel: "true", v1beta1.FederateLabel: "true"}, Annotations: annotated("shop/web", "here")}, true, v1beta2.TargetOK, true},
		"what is being deleted is waited for": {metav1.ObjectMeta{DeletionTimestamp: &now}, true, v1beta2.TargetWaitingForRemoval, false},
	} {
		t.Run(name, func(t *testing.T) {
			if state, why := marks.Refuses(&c.there, nil, c.adopt); state != c.want || (why == "") != (state == "" || state == v1beta2.TargetWaitingForRemoval) {
				t.Errorf("it is %q (%s), want %q", state, why, c.want)
			}
			if got := marks.Ours(c.there.Labels, c.there.Annotations); got != c.ours {
				t.Errorf("ours: %t, want %t", got, c.ours)
			}
		})
	}
}

func TestATargetMovedOnlyIfSomethingWasWrittenElsewhere(t *testing.T) {
	kind := Kind{schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, true}
	object := Object{TopologyType: "cell", Namespace: "shop", Name: "web"}
	now := placement.Candidate{Name: "rz00a", Member: "m2", Namespace: "inner"}
	for name, c := range map[string]struct {
		record v1beta2.TargetStatus
		want   bool
	}{
		"the same place":         {v1beta2.TargetStatus{Hash: "x", Cluster: "m2", Namespace: "inner"}, false},
		"another member":         {v1beta2.TargetStatus{Hash: "x", Cluster: "m1", Namespace: "inner"}, true},
		"another namespace":      {v1beta2.TargetStatus{Hash: "x", Cluster: "m2", Namespace: "outer"}, true},
		"it was given up there":  {v1beta2.TargetStatus{State: v1beta2.TargetAbandoned, Cluster: "m1", Namespace: "inner"}, true},
		"nothing was written":    {v1beta2.TargetStatus{Cluster: "m1", Namespace: "inner"}, false},
		"the record says naught": {v1beta2.TargetStatus{Hash: "x"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := kind.Moved(object, now, c.record); got != c.want {
				t.Errorf("moved: %t, want %t", got, c.want)
			}
		})
	}
}
