package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// A FederatedNamespace takes away, too: while a namespace has none its objects stay where they are, and with one they depart from where
// it does not go. Here is what keeps a new one from that.

// stranded is what of a namespace would depart if its FederatedNamespace had the placement that is asked for.
type stranded struct {
	namespace string
	// objects are by the cluster that they would depart from.
	objects map[string][]string
	// covering are the flags of a placement from which nothing departs.
	covering string
	// unknown is why it is not known what would depart; nil if it is.
	unknown error
}

// String names the clusters and the objects.
func (s *stranded) String() string {
	var said []string
	for _, cluster := range slices.Sorted(maps.Keys(s.objects)) {
		said = append(said, cluster+" ("+someNames(s.objects[cluster])+")")
	}
	return someNames(said)
}

// namespaces finds the namespaces of objects that have no FederatedNamespace, and adds one if that is asked for, and takes nothing away. It
// returns those that have none afterwards.
func (f *federating) namespaces(ctx context.Context) (without []stranded, err error) {
	names := map[string]bool{}
	for _, item := range f.items {
		if kind := reach.KindOf(&item.config.Spec); kind.IsNamespace() || kind.Namespaced && f.topology == v1beta2.TopologyCluster {
			names[item.namespace] = true
		}
	}
	if err := f.hostNamespaces(ctx); err != nil {
		return nil, err
	}
	config := typeConfigFor(f.types, schema.GroupResource{Resource: "namespaces"})
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if config == nil {
			without = append(without, f.strandedBy(ctx, name))
			continue
		}
		_, err := readFederated(ctx, f.hub, config, name, name)
		added := f.seen[objectKey{rights.Target(config), name, name}]
		switch {
		case err == nil && f.topology == v1beta2.TopologyCluster:
			f.remarkNamespace(ctx, config, name)
		case err == nil:
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("look for the FederatedNamespace of %q: %s", name, sentence(err))
		case added || f.WithNamespace:
			if err := f.refuseStranded(f.strandedBy(ctx, name)); err != nil {
				return nil, err
			}
			f.addNamespace(config, name, nil)
		default:
			without = append(without, f.strandedBy(ctx, name))
		}
	}
	return without, nil
}

// strandedBy finds what would depart with a FederatedNamespace of the placement that is asked for.
func (f *federating) strandedBy(ctx context.Context, namespace string) stranded {
	s := stranded{namespace: namespace, covering: f.placeFlags()}
	if f.All {
		return s
	}
	objects, err := f.takenAway(ctx, namespace, nil)
	if err != nil {
		s.unknown = err
		return s
	}
	if s.objects = objects; len(objects) > 0 {
		s.covering, s.unknown = f.covering(ctx, namespace, slices.Collect(maps.Keys(objects)))
	}
	return s
}

// inTargets are the objects of a namespace that clusters have, or may have, by cluster; those that cells have, if the placement that is asked
// for is in cells.
func (f *federating) inTargets(ctx context.Context, namespace string) (map[string][]string, error) {
	found := map[string][]string{}
	for i := range f.types {
		config := &f.types[i]
		if !reach.KindOf(&config.Spec).Namespaced || f.unserved[config.Name] {
			continue
		}
		err := pages(ctx, f.hub, federatedPath(config, v1beta2.SchemeGroupVersion.Version, namespace, ""), func(items []v1beta2.FederatedObject) {
			for i := range items {
				for _, target := range placement.HeldIn(&items[i], f.topology) {
					found[target] = append(found[target], rights.Target(config).String()+"/"+items[i].Name)
				}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("list %s of namespace %q: %s", config.Spec.FederatedType.PluralName, namespace, sentence(err))
		}
	}
	return found, nil
}

// takenAway are the objects of a namespace that would be deleted if its FederatedNamespace, nil if there is none, had the placement that is asked for,
// by the cluster or cell that they depart from. One that there is no more has nothing.
func (f *federating) takenAway(ctx context.Context, namespace string, have *v1beta2.FederatedObject) (map[string][]string, error) {
	objects, err := f.inTargets(ctx, namespace)
	if err != nil || len(objects) == 0 {
		return nil, err
	}
	candidates, err := f.candidates(ctx, namespace)
	if err != nil {
		return nil, err
	}
	holders := slices.DeleteFunc(candidates, func(c placement.Candidate) bool { return len(objects[c.Name]) == 0 })
	wanted := &v1beta2.FederatedObject{Spec: v1beta2.FederatedObjectSpec{TopologyType: f.topology, Placement: &f.placed}}
	left, err := placement.TakesAway(f.topology, holders, placement.Namespace{Name: namespace, Federated: have}, placement.Namespace{Name: namespace, Federated: wanted})
	if err != nil {
		return nil, err
	}
	taken := map[string][]string{}
	for _, c := range left {
		taken[c.Name] = objects[c.Name]
	}
	return taken, nil
}

// candidates are the clusters, or cells, as objects of the namespace see them.
func (f *federating) candidates(ctx context.Context, namespace string) ([]placement.Candidate, error) {
	o := reach.Object{TopologyType: f.topology, Namespace: namespace, Name: namespace}
	there, err := f.hub.namespace(ctx, namespace)
	if err != nil {
		return nil, err // whose it is decides where its objects are
	}
	if there != nil {
		o.Tenant = tenancy.Of(there.Labels)
	}
	return f.hub.candidates(ctx, o)
}

// wantedTargets are the targets that are asked for.
func (f *federating) wantedTargets(ctx context.Context, namespace string) ([]placement.Target, error) {
	candidates, err := f.candidates(ctx, namespace)
	if err != nil {
		return nil, err
	}
	return placement.Resolve(f.topology, &f.placed, nil, candidates)
}

// covering are the flags of a placement in what is asked for now, and in more clusters or cells.
func (f *federating) covering(ctx context.Context, namespace string, more []string) (string, error) {
	names := slices.Concat(f.Clusters, f.Cells, more)
	if len(f.Clusters)+len(f.Cells) == 0 {
		targets, err := f.wantedTargets(ctx, namespace)
		if err != nil {
			return "", err
		}
		for i := range targets {
			if targets[i].Disposition == placement.Placed {
				names = append(names, targets[i].Name)
			}
		}
	}
	slices.Sort(names)
	return " --" + f.topology + "s " + shellWord(strings.Join(slices.Compact(names), ",")), nil
}

// namespaceCommand makes the FederatedNamespace, with a placement from which nothing departs.
func (f *federating) namespaceCommand(s stranded) string {
	command := "kubectl koinon federate namespaces/" + s.namespace + s.covering + f.flags.givenIn(f.System)
	if typeConfigFor(f.types, schema.GroupResource{Resource: "namespaces"}) == nil {
		command += " --enable-type"
	}
	return command
}

// advice says how a FederatedNamespace is made.
func (f *federating) advice(s stranded) string {
	switch {
	case s.unknown != nil:
		return fmt.Sprintf("which objects one with%s would delete in other %ss is not known: %s", f.placeFlags(), f.topology, s.unknown)
	case len(s.objects) > 0:
		return fmt.Sprintf("one with%s would delete objects in %s, and the command below leaves them", f.placeFlags(), &s)
	}
	return "--with-namespace makes it"
}

// refuseStranded refuses a FederatedNamespace that takes something away, or that may. Where nothing is made, it is said.
func (f *federating) refuseStranded(s stranded) error {
	var err error
	switch {
	case s.unknown != nil:
		err = fmt.Errorf("namespace %q has no FederatedNamespace, and which objects one with%s would delete in other %ss is not known: %w; -o yaml prints it, for kubectl to make it if there are none",
			s.namespace, f.placeFlags(), f.topology, s.unknown)
	case len(s.objects) > 0:
		err = fmt.Errorf("namespace %q has no FederatedNamespace, and one with%s would delete objects in %s: \"%s\" makes one that leaves them",
			s.namespace, f.placeFlags(), &s, f.namespaceCommand(s))
	}
	if err != nil && f.Output != "" {
		fmt.Fprintf(f.ErrOut, "Warning: %s\n", err)
		return nil
	}
	return err
}

// remarkNamespace says where the FederatedNamespace that there is keeps objects from going. Where that may not be read, it is not said.
func (f *federating) remarkNamespace(ctx context.Context, config *v1beta1.FederatedTypeConfig, name string) {
	where, known, err := f.hub.whereNamespaceGoesOf(ctx, f.types, name)
	if err != nil || !known {
		return
	}
	targets, err := f.wantedTargets(ctx, name)
	if err == nil {
		targets, err = placement.Narrow(v1beta2.TopologyCluster, targets, where)
	}
	if err != nil {
		return
	}
	var outside []string
	for i := range targets {
		switch targets[i].Disposition {
		case placement.Unfederated:
			fmt.Fprintf(f.ErrOut, "Warning: %s\n", targets[i].Message)
			return // it is the same for all
		case placement.Outside:
			outside = append(outside, targets[i].Name)
		}
	}
	if len(outside) > 0 {
		federated := config.Spec.FederatedType
		fmt.Fprintf(f.ErrOut, "Warning: objects of namespace %q do not go to %s before spec.placement of its FederatedNamespace selects them: kubectl edit %s.%s %s -n %s%s\n",
			name, someNames(outside), federated.PluralName, federated.Group, name, name, f.flags.given())
	}
}
