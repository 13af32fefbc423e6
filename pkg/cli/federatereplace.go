package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// Another placement takes away what it leaves out. Here is what keeps --replace from that, unless --delete-unplaced says so.

// refuseRemoval refuses to put the placement that is asked for in place of that of an object, if something would be deleted by
// it. What that is, is decided as plan decides it.
func (f *federating) refuseRemoval(ctx context.Context, item *federatedItem, have *v1beta2.FederatedObject) error {
	if f.DeleteUnplaced {
		return nil
	}
	removed, err := f.removedFrom(ctx, item, have)
	if err != nil {
		return fmt.Errorf("it is there already, and where another spec.placement would delete something is not known: %w; --delete-unplaced replaces it all the same", err)
	}
	if len(removed) == 0 {
		return nil
	}
	what := "the object"
	if reach.KindOf(&item.config.Spec).IsNamespace() {
		what = "the namespace with all that is in it"
	}
	var places []string
	for _, target := range slices.Sorted(maps.Keys(removed)) {
		place := target
		if objects := removed[target]; len(objects) > 0 {
			place += " (" + someNames(objects) + ")"
		}
		places = append(places, place)
	}
	return fmt.Errorf("it is there already, and%s would delete %s in %s: name these too, or say --delete-unplaced", f.placeFlags(), what, someNames(places))
}

// removedFrom returns the targets from which the object would go, and what else of a namespace would go with it, as far as it is
// federated.
func (f *federating) removedFrom(ctx context.Context, item *federatedItem, have *v1beta2.FederatedObject) (map[string][]string, error) {
	before, err := f.leaving(ctx, item, have)
	if err != nil {
		return nil, err
	}
	wanted := have.DeepCopy()
	wanted.Spec.TopologyType, wanted.Spec.Placement = f.topology, &f.placed
	removed, err := f.leaving(ctx, item, wanted)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(removed, func(target string, _ []string) bool { _, leaves := before[target]; return leaves })
	if !reach.KindOf(&item.config.Spec).IsNamespace() {
		return removed, nil
	}
	taken, err := f.takenAway(ctx, item.namespace, have)
	if err != nil {
		return nil, err
	}
	for target, names := range taken {
		slices.Sort(names)
		removed[target] = names
	}
	return removed, nil
}

// leaving returns the targets from which an object goes altogether: it stays in one that leaves only where its cell was.
func (f *federating) leaving(ctx context.Context, item *federatedItem, federated *v1beta2.FederatedObject) (map[string][]string, error) {
	l, err := look(ctx, f.hub, item.config, federated)
	if err != nil {
		return nil, err
	}
	targets := map[string][]string{}
	if l.problem != "" { // it goes nowhere, and from nowhere
		return targets, nil
	}
	stays := map[string]bool{}
	for _, a := range l.aims() {
		switch {
		case a.purpose != toLeave || a.held:
			stays[a.Name] = true
		case !l.isUnjoined(a.Member):
			targets[a.Name] = nil
		}
	}
	maps.DeleteFunc(targets, func(target string, _ []string) bool { return stays[target] })
	return targets, nil
}
