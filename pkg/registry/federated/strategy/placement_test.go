package strategy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// fleet has the clusters m1 and m2, m3 of tenant a, and m-open, where default may be used;
// and in namespace shop the cells rz00a, on m1, and lost, whose namespace is somebody
// else's.
type fleet struct{ asked, pages int }

func (*fleet) Cluster(_ context.Context, name string) (*corev1beta1.KubeFedCluster, error) {
	cluster := &corev1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
	switch name {
	case "m1", "m2":
	case "m-open":
		cluster.Spec.AllowedSystemNamespaces = []string{"default"}
	case "m3":
		cluster.Labels = map[string]string{federationv1alpha1.TenantLabel: "a"}
	case "rz00a.shop":
		cluster.Labels = map[string]string{
			federationv1alpha1.TopologyLabel: "cell", federationv1alpha1.TopologyNamespaceLabel: "shop",
			federationv1alpha1.TopologyNameLabel: "rz00a", federationv1alpha1.MemberLabel: "m1",
		}
		cluster.Annotations = map[string]string{federationv1alpha1.MemberNamespaceAnnotation: "shop-rz00a"}
	default:
		return nil, nil
	}
	return cluster, nil
}

func (*fleet) OnlyNamespace(context.Context) (string, error) { return "", nil }

func (*fleet) Unit(_ context.Context, _, namespace, name string) (*Unit, error) {
	switch namespace + "/" + name {
	case "shop/rz00a":
		return &Unit{Member: "m1", Namespace: "shop-rz00a"}, nil
	case "shop/lost":
		return &Unit{Member: "m2", Namespace: "taken"}, nil
	case "shop/foreign":
		return &Unit{Member: "m2", Namespace: "free", Labels: map[string]string{federationv1alpha1.TenantLabel: "b"}}, nil
	}
	return nil, nil
}

func (*fleet) LabelsOf(_ context.Context, topologyType, namespace string) (map[string]map[string]string, error) {
	switch {
	case topologyType == typesv1beta2.TopologyCluster:
		return map[string]map[string]string{
			"m1": {"zone": "a"}, "m2": {"zone": "b"}, "m-open": nil,
			"m3":         {"zone": "c", federationv1alpha1.TenantLabel: "a"},
			"rz00a.shop": {"zone": "d", federationv1alpha1.TopologyLabel: "cell"},
		}, nil
	case namespace == "shop":
		return map[string]map[string]string{"rz00a": {"city": "hangzhou", "zone": "a"}, "foreign": {"city": "shanghai", "zone": "b", federationv1alpha1.TenantLabel: "b"}}, nil
	}
	return nil, errors.New("it is not known")
}

func (f *fleet) NamespaceLabels(_ context.Context, name string) (map[string]string, error) {
	f.asked++
	if name == "" {
		return nil, errors.New("resource name may not be empty")
	}
	return nil, nil
}

func (f *fleet) Page(_ context.Context, namespace string) (*federationv1alpha1.MemberNamespace, error) {
	f.pages++
	page := ownership.NewPage(namespace)
	switch namespace {
	case "shop-rz00a":
		ownership.Claim(page, ownership.UnitOwner("cell", "shop", "rz00a"), []string{"m1"}, metav1.Now())
	case "taken":
		ownership.Claim(page, ownership.NamespaceOwner("taken"), []string{"m2"}, metav1.Now())
	default:
		return nil, nil
	}
	return page, nil
}

func placed(namespace string, names ...string) *typesv1beta2.FederatedObject {
	o := newOf(federated.Kind{Kind: "FederatedThing"})
	o.Namespace = namespace
	o.Spec.TopologyType = typesv1beta2.TopologyCluster
	o.Spec.Placement = &typesv1beta2.Placement{}
	for _, name := range names {
		o.Spec.Placement.Topologies = append(o.Spec.Placement.Topologies, typesv1beta2.TopologyReference{Name: name})
	}
	return o
}

func TestObjectsWithoutNamespaceArePlacedInClustersWithoutTenant(t *testing.T) {
	checker := NewPlacementChecker(&fleet{})
	if errs, _ := checker.CheckPlacement(t.Context(), placed("", "m1", "m2"), "v1beta2"); len(errs) > 0 {
		t.Errorf("got %v, want none", errs)
	}
	errs, _ := checker.CheckPlacement(t.Context(), placed("", "m1", "m3"), "v1beta2")
	var paths []string
	for _, e := range errs {
		paths = append(paths, e.Field)
	}
	if diff := cmp.Diff([]string{"spec.placement.topologies[1].name"}, paths); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

func TestTheHostIsAskedOncePerPlacement(t *testing.T) {
	f := &fleet{}
	NewPlacementChecker(f).CheckPlacement(t.Context(), placed("shop", "m1", "m2", "m1"), "v1beta2")
	if f.asked != 1 {
		t.Errorf("the labels of the namespace were asked for %d times, want once", f.asked)
	}
}

func TestANamespaceOfAMemberIsItsOwnersAlone(t *testing.T) {
	const (
		cells    = `namespace "shop-rz00a" of member "m1" belongs to cell shop/rz00a`
		toMember = `belongs to the member itself; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster "m1" names it`
	)
	for name, test := range map[string]struct {
		topologyType, namespace, target string
		want                            string
	}{
		"a namespace of the host that has the name of a cell's": {"cluster", "shop-rz00a", "m1", `"m1" is refused: ` + cells},
		"the same namespace in another member":                  {"cluster", "shop-rz00a", "m2", ""},
		"the cell's own":                                        {"cell", "shop", "rz00a", ""},
		"the cell's own, under its name as a cluster":           {"cluster", "shop", "rz00a.shop", ""},
		"the cell's, from another namespace":                    {"cluster", "other", "rz00a.shop", `"rz00a.shop" is a cell of namespace shop: only objects of that namespace may be placed there`},
		"a cell whose namespace is somebody else's":             {"cell", "shop", "lost", `"lost" is refused: namespace "taken" of member "m2" belongs to namespace taken of the host`},
		"a cell of another tenant":                              {"cell", "shop", "foreign", `"foreign" has the label federation.koinon.io/tenant=b, and namespace "shop" has none: both must be the same`},
		"default":                                               {"cluster", "default", "m1", `"m1" is refused: namespace "default" of member "m1" ` + toMember},
		"kube-system":                                           {"cluster", "kube-system", "m1", `"m1" is refused: namespace "kube-system" of member "m1" ` + toMember},
		"default, where the administrator allows it":            {"cluster", "default", "m-open", ""},
		"kube-system, where the administrator allows default":   {"cluster", "kube-system", "m-open", `"m-open" is refused: namespace "kube-system" of member "m-open" belongs to the member itself; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster "m-open" names it`},
	} {
		t.Run(name, func(t *testing.T) {
			o := placed(test.namespace, test.target)
			o.Spec.TopologyType = test.topologyType
			errs, _ := NewPlacementChecker(&fleet{}).CheckPlacement(t.Context(), o, "v1beta2")
			got := ""
			for _, e := range errs {
				got += e.Detail
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestGroupsThatNothingIsInAreWarnedAbout(t *testing.T) {
	none := func(path, group, base string) string {
		return fmt.Sprintf("%s: %q: there is no %s with the label zone=%s that the object may use; nothing happens until there is one", path, group, base, group)
	}
	for name, test := range map[string]struct {
		topologyType, namespace, version string
		groups                           []string
		want                             []string
	}{
		"a zone of cells that the namespace may use": {"cell:zone", "shop", "v1beta2", []string{"a"}, nil},
		"a zone of a cell of another tenant, and one that is none": {"cell:zone", "shop", "v1beta2", []string{"a", "b", "x"},
			[]string{none("spec.placement.topologies[1].name", "b", "cell"), none("spec.placement.topologies[2].name", "x", "cell")}},
		"in the words of v1beta1": {"cell:zone", "shop", "v1beta1", []string{"a", "x"},
			[]string{none("spec.placement.clusterSelector.matchExpressions[0].values[1]", "x", "cell")}},
		"clusters, without those of tenants and of cells": {"cluster:zone", "shop", "v1beta2", []string{"a", "c", "d"},
			[]string{none("spec.placement.topologies[1].name", "c", "cluster"), none("spec.placement.topologies[2].name", "d", "cluster")}},
		"an object without a namespace": {"cluster:zone", "", "v1beta2", []string{"a"}, nil},
		"a namespace that each member has for itself": {"cluster:zone", "default", "v1beta2", []string{"a"},
			[]string{`spec.placement.topologies: namespace "default" belongs to each member itself: nothing is placed there unless spec.allowedSystemNamespaces of the KubeFedCluster names it`}},
	} {
		t.Run(name, func(t *testing.T) {
			o := placed(test.namespace, test.groups...)
			o.Spec.TopologyType = test.topologyType
			errs, warnings := NewPlacementChecker(&fleet{}).CheckPlacement(t.Context(), o, test.version)
			if diff := cmp.Diff(test.want, warnings); diff != "" || len(errs) > 0 {
				t.Errorf("errors %v, warnings (-want +got):\n%s", errs, diff)
			}
		})
	}
}

func TestAPageIsReadOncePerPlacement(t *testing.T) {
	f := &fleet{}
	NewPlacementChecker(f).CheckPlacement(t.Context(), placed("shop", "m1", "m2", "m-open"), "v1beta2")
	if f.pages != 1 {
		t.Errorf("the page was read %d times, want once", f.pages)
	}
}

func TestASelectorForANamespaceOfTheMembersIsWarnedAbout(t *testing.T) {
	o := placed("default")
	o.Spec.Placement = &typesv1beta2.Placement{TopologySelector: &metav1.LabelSelector{}}
	errs, warnings := NewPlacementChecker(&fleet{}).CheckPlacement(t.Context(), o, "v1beta1")
	want := []string{`spec.placement.clusterSelector: namespace "default" belongs to each member itself: nothing is placed there unless spec.allowedSystemNamespaces of the KubeFedCluster names it`}
	if diff := cmp.Diff(want, warnings); diff != "" || len(errs) > 0 {
		t.Errorf("errors %v, warnings (-want +got):\n%s", errs, diff)
	}
}

func TestAnOverrideBySelectorThatIsForNobodyIsWarnedAbout(t *testing.T) {
	everywhere := &typesv1beta2.Placement{TopologySelector: &metav1.LabelSelector{}}
	nobody := func(count string) string {
		return `spec.overrides[0].topologySelector: "zone=c" matches none of the ` + count + ` targets that are placed now: the override has no effect until one has such labels`
	}
	for name, test := range map[string]struct {
		topologyType string // default: cluster
		namespace    string // default: shop
		version      string // default: v1beta2
		placement    *typesv1beta2.Placement
		key, value   string
		want         []string
	}{
		"one that is for a cluster":                     {placement: everywhere, key: "zone", value: "b"},
		"one that is for a cluster that is not placed":  {placement: placed("shop", "m1", "m2").Spec.Placement, key: "zone", value: "c", want: []string{nobody("2")}},
		"one that is for another tenant's cluster":      {placement: everywhere, key: "zone", value: "c", want: []string{nobody("3")}},
		"one of which only others have targets":         {placement: &typesv1beta2.Placement{TopologySelector: &metav1.LabelSelector{MatchLabels: map[string]string{"zone": "c"}}}, key: "zone", value: "b"},
		"one that is for the cluster of a cell by name": {placement: placed("shop", "rz00a.shop").Spec.Placement, key: "zone", value: "d"},
		"one that is for a cell":                        {topologyType: "cell", placement: everywhere, key: "city", value: "hangzhou"},
		"one that is for a cell of a zone":              {topologyType: "cell:zone", placement: placed("shop", "a").Spec.Placement, key: "city", value: "hangzhou"},
		"one that is for no cell of a zone":             {topologyType: "cell:zone", placement: placed("shop", "a").Spec.Placement, key: "zone", value: "c", want: []string{nobody("1")}},
		"one where nothing is placed yet":               {placement: placed("shop", "m9").Spec.Placement, key: "zone", value: "c"},
		"one without a placement":                       {key: "zone", value: "c"},
		"one whose targets are not known":               {topologyType: "cell", namespace: "other", placement: everywhere, key: "zone", value: "c"},
		"one that a writer of v1beta1 has nothing of":   {version: "v1beta1", placement: everywhere, key: "zone", value: "e"},
	} {
		t.Run(name, func(t *testing.T) {
			o := placed(either(test.namespace, "shop"))
			o.Spec.TopologyType, o.Spec.Placement = either(test.topologyType, "cluster"), test.placement
			o.Spec.Overrides = []typesv1beta2.Override{{TopologySelector: &metav1.LabelSelector{MatchLabels: map[string]string{test.key: test.value}}}}
			_, warnings := NewPlacementChecker(&fleet{}).CheckPlacement(t.Context(), o, either(test.version, "v1beta2"))
			warnings = slices.DeleteFunc(warnings, func(w string) bool { return !strings.HasPrefix(w, "spec.overrides") })
			if diff := cmp.Diff(test.want, warnings, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func either(value, otherwise string) string {
	if value != "" {
		return value
	}
	return otherwise
}
