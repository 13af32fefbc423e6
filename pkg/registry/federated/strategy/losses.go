package strategy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// A FederatedNamespace takes more away than itself: where it leaves, all that is in the namespace goes, and where it does not go,
// so do the objects that do. Who does that is told of it, and not kept from it: to take targets away is an order.

const (
	// lossesNamed is how many targets a warning names.
	lossesNamed = 3
	// maxRecords bounds how many records of objects are counted for a warning: it is no more than one.
	maxRecords = 100_000
)

// Contents knows the federated objects of a namespace.
type Contents interface {
	// InNamespace calls visit for each federated object in a namespace whose target kind is namespaced, as it was some milliseconds
	// ago, and whether its type is Disabled, until visit returns an error. Objects are shared.
	InNamespace(ctx context.Context, namespace string, visit func(o *typesv1beta2.FederatedObject, disabled bool) error) error
}

// Holdings count the federated objects of a namespace that targets have, by target: nil if that is not known.
type Holdings struct {
	// All are those of all types, which go with the namespace itself.
	All map[string]int
	// Moving are those of types that are not Disabled, which go where the namespace goes.
	Moving map[string]int
	// Off is that the type of FederatedNamespaces is Disabled: they take nothing away unless they are deleted.
	Off bool
}

// countHeld counts the objects of a namespace. What is not known, or dear, is not counted.
func countHeld(ctx context.Context, contents Contents, namespace, topologyType string) (held Holdings) {
	if contents == nil {
		return Holdings{}
	}
	held.All, held.Moving = map[string]int{}, map[string]int{}
	records := 0
	err := contents.InNamespace(ctx, namespace, func(o *typesv1beta2.FederatedObject, disabled bool) error {
		if o.Status != nil {
			records += len(o.Status.Targets)
		}
		if records > maxRecords {
			return errors.New("there are too many to count")
		}
		for _, target := range placement.HeldIn(o, topologyType) {
			if held.All[target]++; !disabled {
				held.Moving[target]++
			}
		}
		return nil
	})
	if err != nil {
		return Holdings{}
	}
	return held
}

// losses warns of what targets lose by a write of a FederatedNamespace: old is nil if it is created, o if it is deleted.
func (s strategy) losses(ctx context.Context, o, old *typesv1beta2.FederatedObject) []string {
	if s.placement == nil || !manifest.IsNamespace(s.kind.Target.Kind) || o != nil && old != nil && samePlacement(&o.Spec, &old.Spec) {
		return nil
	}
	one := o
	if one == nil {
		one = old
	}
	if one.Name != one.Namespace || one.DeletionTimestamp != nil {
		return nil // it goes nowhere, or from everywhere
	}
	held := countHeld(ctx, s.contents, one.Namespace, one.Spec.TopologyType)
	held.Off = s.disabled != nil && s.disabled()
	return s.placement.Losses(ctx, o, old, held, requestVersion(ctx))
}

func samePlacement(a, b *typesv1beta2.FederatedObjectSpec) bool {
	return reflect.DeepEqual(a.Placement, b.Placement) && reflect.DeepEqual(a.PlacementMask, b.PlacementMask)
}

// Losses implements PlacementChecker.
func (c placementChecker) Losses(ctx context.Context, o, old *typesv1beta2.FederatedObject, held Holdings, version string) (warnings []string) {
	one := o
	if one == nil {
		one = old
	}
	only, err := c.targets.OnlyNamespace(ctx)
	if err != nil || only != "" && only != one.Namespace {
		return nil
	}
	check := c.of(ctx, one)
	candidates, err := check.candidates()
	if err != nil {
		return nil
	}
	l := &losses{topologyType: one.Spec.TopologyType, namespace: one.Namespace, Holdings: held, version: version}
	var whole, contents map[string]bool
	if only == "" && (o == nil || !held.Off) { // else it is read, and not propagated
		whole = l.ofNamespace(o, old, candidates)
	}
	if only != "" || !held.Off {
		contents = l.ofContents(o, old, candidates)
	}
	maps.DeleteFunc(contents, func(target string, _ bool) bool { return whole[target] })
	if len(whole) > 0 {
		how := "spec.placement: by it"
		if o == nil {
			how = "with it"
		}
		warnings = append(warnings, fmt.Sprintf("%s namespace %q is deleted with all that is in it in %s", how, l.namespace, l.sayWhere(whole, held.All)))
	}
	if len(contents) > 0 {
		warnings = append(warnings, fmt.Sprintf("spec.placement: objects of namespace %q go only where it goes, and leave, as far as their masks let them, %s", l.namespace, l.sayWhere(contents, held.Moving)))
	}
	return warnings
}

// losses are what targets lose by one write of a FederatedNamespace.
type losses struct {
	topologyType, namespace, version string
	Holdings
}

// ofNamespace are the targets that the namespace itself leaves by the write.
func (l *losses) ofNamespace(o, old *typesv1beta2.FederatedObject, candidates []placement.Candidate) map[string]bool {
	if old == nil {
		return nil
	}
	holds, left := map[string]bool{}, map[string]bool{}
	for _, target := range placement.HeldIn(old, l.topologyType) {
		holds[target] = true
	}
	holders := slices.DeleteFunc(slices.Clone(candidates), func(c placement.Candidate) bool { return !holds[c.Name] })
	before, after := leaves(old, holders), leaves(o, holders)
	for _, c := range holders {
		if after[c.Name] && !before[c.Name] {
			left[c.Name] = true
		}
	}
	return left
}

// leaves are those of the holders that a FederatedNamespace leaves, nil if it is deleted: where it is not placed, and no mask keeps it. What does not
// parse leaves none, nor is anything done where it may not be.
func leaves(o *typesv1beta2.FederatedObject, holders []placement.Candidate) map[string]bool {
	left := map[string]bool{}
	for _, c := range holders {
		left[c.Name] = c.Refusal == ""
	}
	if o == nil {
		return left
	}
	placed, err := placement.Resolve(o.Spec.TopologyType, o.Spec.Placement, nil, holders)
	if err != nil {
		return nil
	}
	for _, t := range placed {
		left[t.Name] = false
	}
	mask, err := placement.NewMask(o.Spec.TopologyType, o.Spec.PlacementMask)
	if err != nil {
		return nil
	}
	for i := range holders {
		if c := &holders[i]; !mask.Allows(c.Name, c) {
			left[c.Name] = false
		}
	}
	return left
}

// ofContents are the targets that objects of the namespace leave by the write.
func (l *losses) ofContents(o, old *typesv1beta2.FederatedObject, candidates []placement.Candidate) map[string]bool {
	holders := slices.DeleteFunc(slices.Clone(candidates), func(c placement.Candidate) bool { return l.Moving[c.Name] == 0 })
	taken, err := placement.TakesAway(l.topologyType, holders, placement.Namespace{Name: l.namespace, Federated: old}, placement.Namespace{Name: l.namespace, Federated: o})
	if err != nil {
		return nil
	}
	left := map[string]bool{}
	for _, c := range taken {
		left[c.Name] = true
	}
	return left
}

// sayWhere says how many targets there are, and names the first with the federated objects that go from there, in the words of the client. count is
// nil if it is not known.
func (l *losses) sayWhere(targets map[string]bool, count map[string]int) string {
	base := topology.Base(l.topologyType)
	said, all := make([]string, 0, lossesNamed), 0
	for _, target := range slices.Sorted(maps.Keys(targets)) {
		all += count[target]
		if len(said) < lossesNamed {
			said = append(said, l.nameOf(target)+objects(target, count))
		}
	}
	text := fmt.Sprintf("1 %s: %s", base, strings.Join(said, ", "))
	if len(targets) > 1 {
		text = fmt.Sprintf("%d %ss: %s", len(targets), base, strings.Join(said, ", "))
	}
	if more := len(targets) - len(said); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
		if count != nil {
			text += fmt.Sprintf(", %d in all", all)
		}
	}
	return text
}

// nameOf is what the client calls a target.
func (l *losses) nameOf(target string) string {
	if l.version == federated.V1beta1.Version {
		return topology.ClusterName(l.topologyType, l.namespace, target)
	}
	return target
}

// objects says how many federated objects a target has, if that is known.
func objects(target string, count map[string]int) string {
	switch {
	case count == nil:
		return ""
	case count[target] == 1:
		return " (1 federated object)"
	}
	return fmt.Sprintf(" (%d federated objects)", count[target])
}

// warned adds to the checks of a deletion, which has not begun yet, a warning of what it takes away.
func (r *REST) warned(then rest.ValidateObjectFunc, options *metav1.DeleteOptions) rest.ValidateObjectFunc {
	return func(ctx context.Context, obj runtime.Object) error {
		if then != nil {
			if err := then(ctx, obj); err != nil {
				return err
			}
		}
		o := obj.(*typesv1beta2.FederatedObject)
		if orphans(o) || orphansDependents(o, options) {
			return nil
		}
		for _, sentence := range r.strategy.losses(ctx, nil, o) {
			warning.AddWarning(ctx, "", sentence)
		}
		return nil
	}
}
