package strategy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// inShop are the objects of namespace shop; the type FederatedDisabled is Disabled.
type inShop []*typesv1beta2.FederatedObject

func (s inShop) InNamespace(_ context.Context, namespace string, visit func(o *typesv1beta2.FederatedObject, disabled bool) error) error {
	for _, o := range s {
		if o.Namespace != namespace {
			continue
		}
		if err := visit(o, o.Kind == "FederatedDisabled"); err != nil {
			return err
		}
	}
	return nil
}

// in is an object that is placed in targets, which have it; those with ? have it not.
func in(topologyType, namespace string, targets ...string) *typesv1beta2.FederatedObject {
	o := placed(namespace)
	o.Spec.TopologyType = topologyType
	o.Status = &typesv1beta2.FederatedObjectStatus{}
	for _, target := range targets {
		name, missing := strings.CutPrefix(target, "?")
		o.Spec.Placement.Topologies = append(o.Spec.Placement.Topologies, typesv1beta2.TopologyReference{Name: name})
		record := typesv1beta2.TargetStatus{Name: name, Hash: "h"}
		if missing {
			record.Hash = ""
		}
		o.Status.Targets = append(o.Status.Targets, record)
	}
	return o
}

// goesTo is the FederatedNamespace of shop, which is in those targets.
func goesTo(topologyType string, targets ...string) *typesv1beta2.FederatedObject {
	o := in(topologyType, "shop", targets...)
	o.Name = "shop"
	return o
}

// namespaceStrategy is that of FederatedNamespaces of a fleet.
func namespaceStrategy(contents Contents) strategy {
	return strategy{kind: federated.Kind{Kind: "FederatedNamespace", Target: schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}},
		placement: NewPlacementChecker(&fleet{}), contents: contents}
}

func TestWhatAFederatedNamespaceTakesAwayIsSaid(t *testing.T) {
	contents := inShop{
		in("cluster", "shop", "m1", "m2", "m3"), in("cluster:zone", "shop", "m2", "?m-open"), in("cell", "shop", "rz00a"), in("cluster", "elsewhere", "m1"),
	}
	placedIn := func(o *typesv1beta2.FederatedObject, targets ...string) *typesv1beta2.FederatedObject {
		o = o.DeepCopy()
		o.Spec.Placement = placed("shop", targets...).Spec.Placement
		return o
	}
	selecting := func(o *typesv1beta2.FederatedObject, zone string) *typesv1beta2.FederatedObject {
		o = o.DeepCopy()
		o.Spec.Placement = &typesv1beta2.Placement{TopologySelector: &metav1.LabelSelector{MatchLabels: map[string]string{"zone": zone}}}
		return o
	}
	masked := func(o *typesv1beta2.FederatedObject, targets ...string) *typesv1beta2.FederatedObject {
		o = o.DeepCopy()
		o.Spec.PlacementMask = placed("shop", targets...).Spec.Placement
		return o
	}
	both, cell := goesTo("cluster", "m1", "m2"), goesTo("cell", "rz00a")
	one := goesTo("cluster", "m1", "?m2")
	foreign := goesTo("cluster", "m1", "m3")
	for name, c := range map[string]struct {
		now, old *typesv1beta2.FederatedObject
		want     []string
	}{
		"one that is narrowed":                       {placedIn(both, "m1"), both, []string{`spec.placement: by it namespace "shop" is deleted with all that is in it in 1 cluster: m2 (2 federated objects)`}},
		"one that goes nowhere":                      {placedIn(both), both, []string{`spec.placement: by it namespace "shop" is deleted with all that is in it in 2 clusters: m1 (1 federated object), m2 (2 federated objects)`}},
		"one by labels":                              {selecting(both, "a"), both, []string{`spec.placement: by it namespace "shop" is deleted with all that is in it in 1 cluster: m2 (2 federated objects)`}},
		"one that is widened":                        {placedIn(both, "m1", "m2", "m-open"), both, nil},
		"one that is deleted":                        {nil, both, []string{`with it namespace "shop" is deleted with all that is in it in 2 clusters: m1 (1 federated object), m2 (2 federated objects)`}},
		"one that is in no target and deleted":       {nil, goesTo("cluster", "?m1"), nil},
		"a first one":                                {placedIn(both, "m1"), nil, []string{`spec.placement: objects of namespace "shop" go only where it goes, and leave, as far as their masks let them, 1 cluster: m2 (2 federated objects)`}},
		"a first one that goes to all":               {both, nil, nil},
		"one in cells":                               {placedIn(cell), cell, []string{`spec.placement: by it namespace "shop" is deleted with all that is in it in 1 cell: rz00a (1 federated object)`}},
		"one that a mask keeps, and not its objects": {masked(placedIn(both, "m1"), "m1"), both, []string{`spec.placement: objects of namespace "shop" go only where it goes, and leave, as far as their masks let them, 1 cluster: m2 (2 federated objects)`}},
		"a mask that is taken off":                   {placedIn(both, "m1"), masked(placedIn(both, "m1"), "m1"), []string{`spec.placement: by it namespace "shop" is deleted with all that is in it in 1 cluster: m2 (2 federated objects)`}},
		"one that had not arrived":                   {placedIn(one, "m1"), one, []string{`spec.placement: objects of namespace "shop" go only where it goes, and leave, as far as their masks let them, 1 cluster: m2 (2 federated objects)`}},
		"a cluster of another tenant, untold":        {placedIn(foreign), foreign, []string{`spec.placement: by it namespace "shop" is deleted with all that is in it in 1 cluster: m1 (1 federated object)`}},
		"one whose placement stays":                  {both, both, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := namespaceStrategy(contents).losses(t.Context(), c.now, c.old)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// Nobody is warned of what does not happen: a type that is Disabled, and a FederatedNamespace that is only read, take away less.
func TestWhatStaysInMembersIsNotSaidToBeTakenAway(t *testing.T) {
	disabled := in("cluster", "shop", "m2")
	disabled.Kind = "FederatedDisabled"
	contents := inShop{disabled, in("cluster", "shop", "m1", "m2")}
	both := goesTo("cluster", "m1", "m2")
	narrowed := both.DeepCopy()
	narrowed.Spec.Placement = placed("shop", "m1").Spec.Placement
	const (
		whole  = `spec.placement: by it namespace "shop" is deleted with all that is in it in 1 cluster: m2 (2 federated objects)`
		leaves = `spec.placement: objects of namespace "shop" go only where it goes, and leave, as far as their masks let them, 1 cluster: m2 (1 federated object)`
		ends   = `with it namespace "shop" is deleted with all that is in it in 2 clusters: m1 (1 federated object), m2 (2 federated objects)`
	)
	for name, c := range map[string]struct {
		only     string // the namespace whose objects alone are propagated
		disabled bool   // FederatedNamespaces are
		now, old *typesv1beta2.FederatedObject
		want     []string
	}{
		"a namespace goes with the objects of disabled types in it": {now: narrowed, old: both, want: []string{whole}},
		"objects of disabled types do not leave by themselves":      {now: narrowed, want: []string{leaves}},
		"disabled namespaces stay, and so do their objects":         {disabled: true, now: narrowed, old: both},
		"a first one says nothing where they are disabled":          {disabled: true, now: narrowed},
		"one that is deleted goes although they are disabled":       {disabled: true, old: both, want: []string{ends}},
		"one that is only read narrows its objects":                 {only: "shop", now: narrowed, old: both, want: []string{leaves}},
		"and does so whether they are disabled or not":              {only: "shop", disabled: true, now: narrowed, old: both, want: []string{leaves}},
		"one that is only read takes nothing with it":               {only: "shop", old: both},
		"nothing is propagated of other namespaces":                 {only: "system", now: narrowed, old: both},
	} {
		t.Run(name, func(t *testing.T) {
			s := namespaceStrategy(contents)
			s.placement, s.disabled = NewPlacementChecker(scoped{&fleet{}, c.only}), func() bool { return c.disabled }
			if diff := cmp.Diff(c.want, s.losses(t.Context(), c.now, c.old)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// scoped is a fleet in which only objects of one namespace are propagated.
type scoped struct {
	*fleet
	only string
}

func (s scoped) OnlyNamespace(context.Context) (string, error) { return s.only, nil }

func TestOfManyTargetsTheFirstAreNamed(t *testing.T) {
	l := &losses{topologyType: "cluster", namespace: "shop"}
	targets := map[string]bool{"a": true, "b": true, "c": true, "d": true, "e": true}
	if got, want := l.sayWhere(targets, map[string]int{"a": 1, "d": 4}), "5 clusters: a (1 federated object), b (0 federated objects), c (0 federated objects) and 2 more, 5 in all"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := l.sayWhere(targets, nil), "5 clusters: a, b, c and 2 more"; got != want {
		t.Errorf("where nobody could count: got %q, want %q", got, want)
	}
}

func TestV1beta1IsToldOfCellsAsClusters(t *testing.T) {
	cell := goesTo("cell", "rz00a")
	got := NewPlacementChecker(&fleet{}).Losses(t.Context(), nil, cell, Holdings{}, "v1beta1")
	if want := []string{`with it namespace "shop" is deleted with all that is in it in 1 cell: rz00a.shop`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A warning is not worth counting for ever, nor an error.
func TestWhatCannotBeCountedIsNamedAllTheSame(t *testing.T) {
	large := in("cluster", "shop")
	large.Status.Targets = make([]typesv1beta2.TargetStatus, maxRecords+1)
	for name, contents := range map[string]Contents{"too many": inShop{large}, "an error": broken{}, "nobody knows them": nil} {
		got := namespaceStrategy(contents).losses(t.Context(), nil, goesTo("cluster", "m1"))
		if want := []string{`with it namespace "shop" is deleted with all that is in it in 1 cluster: m1`}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

type broken struct{}

func (broken) InNamespace(context.Context, string, func(*typesv1beta2.FederatedObject, bool) error) error {
	return errors.New("the store is away")
}

// thousands has a fleet of clusters, of which it says no more than their labels.
type thousands struct{ Targets }

func (thousands) LabelsOf(context.Context, string, string) (map[string]map[string]string, error) {
	known := map[string]map[string]string{}
	for i := range 5000 {
		known[fmt.Sprintf("m%d", i)] = map[string]string{"zone": "a"}
	}
	return known, nil
}

func (thousands) OnlyNamespace(context.Context) (string, error) { return "", nil }

func (thousands) NamespaceLabels(context.Context, string) (map[string]string, error) { return nil, nil }

// A warning asks for labels only, whatever targets there are: nobody is asked of each of them.
func TestAWarningAsksOnlyForLabels(t *testing.T) {
	var names []string
	for i := range 5000 {
		names = append(names, fmt.Sprintf("m%d", i))
	}
	all := goesTo("cluster", names...)
	narrowed := all.DeepCopy()
	narrowed.Spec.Placement.Topologies = narrowed.Spec.Placement.Topologies[:1]
	got := NewPlacementChecker(thousands{}).Losses(t.Context(), narrowed, all, Holdings{All: map[string]int{}}, "v1beta2")
	if len(got) != 1 || !strings.Contains(got[0], "in 4999 clusters: m1 (0 federated objects), m10 (0") {
		t.Errorf("got %q", got)
	}
}
