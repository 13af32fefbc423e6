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
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
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
		if kind := reach.KindOf(&item.config.Spec); f.topology == v1beta2.TopologyCluster && (kind.Namespaced || kind.IsNamespace()) {
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
		case err == nil:
			f.remarkNamespace(ctx, config, name)
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
	objects, err := f.inClusters(ctx, namespace)
	if err == nil && len(objects) > 0 {
		err = f.leaveStranded(ctx, namespace, objects)
	}
	if err != nil {
		s.unknown = err
		return s
	}
	if s.objects = objects; len(objects) > 0 {
		s.covering, s.unknown = f.covering(ctx, namespace, slices.Collect(maps.Keys(objects)))
	}
	return s
}

// inClusters are the objects of a namespace that clusters have, or may have, by cluster. One that is being deleted departs anyway.
func (f *federating) inClusters(ctx context.Context, namespace string) (map[string][]string, error) {
	found := map[string][]string{}
	for i := range f.types {
		config := &f.types[i]
		if !reach.KindOf(&config.Spec).Namespaced || f.unserved[config.Name] {
			continue
		}
		err := pages(ctx, f.hub, federatedPath(config, v1beta2.SchemeGroupVersion.Version, namespace, ""), func(items []v1beta2.FederatedObject) {
			for i := range items {
				o := &items[i]
				if topology.Base(reach.TopologyOf(o)) != v1beta2.TopologyCluster || o.DeletionTimestamp != nil || o.Status == nil {
					continue
				}
				for _, record := range o.Status.Targets {
					if record.Hash != "" || record.State == v1beta2.TargetPending {
						found[record.Name] = append(found[record.Name], rights.Target(config).String()+"/"+o.Name)
					}
				}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("list %s of namespace %q: %s", config.Spec.FederatedType.PluralName, namespace, sentence(err))
		}
	}
	return found, nil
}

// leaveStranded takes out of objects by cluster those that a FederatedNamespace of the placement that is asked for leaves there, as the
// controllers decide it. A cluster that there is not has nothing.
func (f *federating) leaveStranded(ctx context.Context, namespace string, objects map[string][]string) error {
	outside, err := f.outside(ctx, namespace, &f.placed)
	if err != nil {
		return err
	}
	maps.DeleteFunc(objects, func(cluster string, _ []string) bool { return !outside[cluster] })
	return nil
}

// outside are the clusters to which objects of a namespace do not go if its FederatedNamespace has a placement.
func (f *federating) outside(ctx context.Context, namespace string, placed *v1beta2.Placement) (map[string]bool, error) {
	candidates, err := f.clusterCandidates(ctx, namespace)
	if err != nil {
		return nil, err
	}
	var targets []placement.Target
	for _, c := range candidates {
		targets = append(targets, placement.Target{Candidate: c, Disposition: placement.Placed})
	}
	wanted := &v1beta2.FederatedObject{Spec: v1beta2.FederatedObjectSpec{TopologyType: v1beta2.TopologyCluster, Placement: placed}}
	targets, err = placement.Narrow(v1beta2.TopologyCluster, targets, placement.Namespace{Name: namespace, Federated: wanted})
	if err != nil {
		return nil, err
	}
	outside := map[string]bool{}
	for i := range targets {
		outside[targets[i].Name] = targets[i].Disposition == placement.Outside
	}
	return outside, nil
}

// clusterCandidates are the clusters, as objects of the namespace see them.
func (f *federating) clusterCandidates(ctx context.Context, namespace string) ([]placement.Candidate, error) {
	o := reach.Object{TopologyType: v1beta2.TopologyCluster, Namespace: namespace, Name: namespace}
	if there, err := f.hub.namespace(ctx, namespace); err == nil && there != nil {
		o.Tenant = tenancy.Of(there.Labels)
	}
	return f.hub.candidates(ctx, o)
}

// wantedTargets are the targets that are asked for.
func (f *federating) wantedTargets(ctx context.Context, namespace string) ([]placement.Target, error) {
	candidates, err := f.clusterCandidates(ctx, namespace)
	if err != nil {
		return nil, err
	}
	return placement.Resolve(v1beta2.TopologyCluster, &f.placed, nil, candidates)
}

// covering are the flags of a placement in what is asked for now, and in more clusters.
func (f *federating) covering(ctx context.Context, namespace string, more []string) (string, error) {
	names := slices.Concat(f.Clusters, more)
	if len(f.Clusters) == 0 {
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
	return " --clusters " + shellWord(strings.Join(slices.Compact(names), ",")), nil
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
		return fmt.Sprintf("which objects one with%s would delete in other clusters is not known: %s", f.placeFlags(), s.unknown)
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
		err = fmt.Errorf("namespace %q has no FederatedNamespace, and which objects one with%s would delete in other clusters is not known: %w; -o yaml prints it, for kubectl to make it if there are none",
			s.namespace, f.placeFlags(), s.unknown)
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
