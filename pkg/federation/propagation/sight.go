package propagation

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// Sight is one federated object with every target that it is in or may be in, for those who
// decide where to place it. Nothing of it may be modified.
type Sight struct {
	Federated *v1beta2.FederatedObject
	// Topology is the topology type, defaulted, and Resource what members have.
	Topology string
	Resource schema.GroupVersionResource
	// Source is how members name the object.
	Source string
	// Targets are those of the object's tenant, and those that the object names or was in.
	Targets []SightTarget
}

// SightTarget is one target of a Sight.
type SightTarget struct {
	placement.Candidate
	// InNamespace is the namespace of the object in the member, and there its name is InName.
	InNamespace, InName string
	// Known: what the member is now is known. It is not right after a start.
	Known bool
	// Member is nil if there is none.
	Member *membership.Member
	// Outside: the namespace of the object does not go there, or the target is being deleted. Unfederated says why nothing new goes there, and what is
	// there stays as it is; empty if that is not so. See placement.Narrow.
	Outside     bool
	Unfederated string
	// Forbidden says why the object may not be in its namespace there; empty if it may.
	Forbidden string
	// Held: the object is there, or may be, in the Version that was written last.
	Held    bool
	Version string
	// Seen is the resourceVersion that the member's cache shows; empty if it shows none.
	Seen string
}

// Kind returns the name of the FederatedTypeConfig of a federated kind that propagates; empty if
// there is none, or it is paused. It is not known while there is a FederatedTypeConfig of the kind that
// the engine has not looked at yet, as right after a start.
func (e *Engine) Kind(federatedKind string) (name string, known bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for other, k := range e.kinds {
		if k.spec.FederatedType.Kind == federatedKind && !k.paused && (name == "" || other < name) {
			name = other // there is one: isServed sees to that
		}
	}
	if name != "" {
		return name, true
	}
	all, err := e.Types.List(labels.Everything())
	if err != nil {
		return "", false
	}
	return "", !slices.ContainsFunc(all, func(ftc *v1beta1.FederatedTypeConfig) bool {
		return ftc.Spec.FederatedType.Kind == federatedKind && !e.looked[ftc.Name]
	})
}

// Synced reports whether all objects of a kind are known.
func (e *Engine) Synced(kindName string) bool {
	k := e.kind(kindName)
	return k != nil && k.informer.HasSynced()
}

// Get returns an object from the cache, nil if there is none.
func (e *Engine) Get(kindName, namespace, name string) *v1beta2.FederatedObject {
	k := e.kind(kindName)
	if k == nil {
		return nil
	}
	return k.get(objectKey{kindName, namespace, name})
}

// InTargets returns the targets that have, or may have, objects of a namespace, by name, as objects of the namespace see them: of
// objects whose topology type has the same base, such as cluster and cluster:zone. One that there is no more has nothing. It is not known while
// not all objects of all kinds are, nor the namespace.
func (e *Engine) InTargets(namespace, topologyType string) (targets []placement.Candidate, known bool) {
	names, known := e.namesOfTargets(namespace, topologyType)
	if !known || len(names) == 0 {
		return nil, known
	}
	there, err := e.Namespaces.Get(namespace)
	if err != nil {
		return nil, false
	}
	seenBy := reach.Object{TopologyType: topologyType, Namespace: namespace, Name: namespace, Tenant: tenancy.Of(there.Labels)}
	for _, name := range names {
		switch c, there, err := e.candidate(seenBy, name); {
		case err != nil:
			return nil, false
		case there:
			targets = append(targets, c)
		}
	}
	return targets, true
}

// namesOfTargets names the targets that have, or may have, objects of a namespace, sorted.
func (e *Engine) namesOfTargets(namespace, topologyType string) (names []string, known bool) {
	kinds, unlisted := e.listing()
	if len(unlisted) > 0 {
		return nil, false
	}
	for _, k := range kinds {
		if !k.target.Namespaced {
			continue
		}
		if !k.informer.HasSynced() {
			return nil, false
		}
		objects, err := k.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
		if err != nil {
			return nil, false // never: the index is there from the start
		}
		for _, object := range objects {
			names = append(names, placement.HeldIn(object.(*v1beta2.FederatedObject), topologyType)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

// Patch sends a JSON merge patch of an object in the name of a field manager.
func (e *Engine) Patch(ctx context.Context, kindName, namespace, name, manager string, patch []byte) error {
	k := e.kind(kindName)
	if k == nil {
		return fmt.Errorf("%s does not propagate", kindName)
	}
	_, err := k.factory.Resource(k.plural, namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	return err
}

// Look returns an object and its targets as the caches have them. It is nil if there is no such
// object, or its namespace is gone: nothing is placed anew then. While it is not known where its namespace
// goes, it returns placement.ErrNamespaceUnknown.
func (e *Engine) Look(kindName, namespace, name string) (*Sight, error) {
	key := objectKey{kindName, namespace, name}
	k := e.kind(kindName)
	if k == nil {
		return nil, nil
	}
	federated := k.get(key)
	if federated == nil {
		return nil, nil
	}
	memory := e.recall(key)
	if memory == nil || memory.uid != federated.UID {
		return nil, fmt.Errorf("the engine has not looked at %s yet", key)
	}
	v := &view{key: key, kind: k, federated: federated, memory: memory}
	var err error
	if v.tenant, v.departed, err = e.tenantOf(federated); err != nil || v.departed {
		return nil, err
	}
	candidates, err := e.candidates(v)
	if err != nil {
		return nil, err
	}
	if v.problem != "" {
		return nil, fmt.Errorf("look for targets: %s", v.problem)
	}
	v.namespace = e.namespaceOf(v)
	narrowed, err := v.narrow(candidates)
	if err != nil {
		return nil, fmt.Errorf("look for targets: %w", err)
	}
	mask, err := placement.NewMask(v.topologyOf(), federated.Spec.PlacementMask)
	if err != nil {
		return nil, fmt.Errorf("look for targets: %w", err)
	}
	sight := &Sight{
		Federated: federated, Topology: v.topologyOf(), Resource: k.target.Resource,
		Source: key.source(), Targets: make([]SightTarget, len(candidates)),
	}
	for i, c := range candidates {
		at := viewTarget{Candidate: c}
		if !mask.Allows(c.Name, &c) {
			at = v.heldBack(at)
		}
		t := e.sightTarget(v, at)
		t.Outside = c.Leaving != ""
		switch narrowed[i].Disposition {
		case placement.Outside:
			t.Outside = true
		case placement.Unfederated:
			t.Unfederated = narrowed[i].Message
		}
		sight.Targets[i] = t
	}
	return sight, nil
}

// narrow returns for each candidate, in their order, what the namespace of the object says of it.
func (v *view) narrow(candidates []placement.Candidate) ([]placement.Target, error) {
	targets := make([]placement.Target, len(candidates))
	for i, c := range candidates {
		if targets[i].Candidate = c; c.Refusal != "" {
			targets[i].Disposition = placement.NotFound
		}
	}
	if !v.kind.isNarrowed() {
		return targets, nil
	}
	return placement.Narrow(v.topologyOf(), targets, v.namespace)
}

// heldBack is a masked target where the object is: a mask keeps it in the place that its cell has left.
func (v *view) heldBack(t viewTarget) viewTarget {
	if record := v.memory.record(t.Name); v.kind.ofReach().Moved(v.object(), t.Candidate, record) {
		t.Member, t.Namespace, t.recorded = record.Cluster, record.Namespace, true
	}
	return t
}

func (e *Engine) sightTarget(v *view, at viewTarget) SightTarget {
	c := at.Candidate
	t := SightTarget{Candidate: c}
	if c.Refusal != "" {
		t.Known = true
		return t
	}
	o := e.observe(v, at)
	t.Member, t.Known, t.Forbidden = o.member, o.member != nil || !o.unchecked, o.homeRefusal
	if o.member != nil && o.member.Health == membership.Unknown {
		t.Known = false
	}
	if t.Refusal = o.memberRefusal; t.Refusal != "" {
		return t
	}
	t.InNamespace, t.InName = v.place(c)
	t.Held, t.Version = o.record.Hash != "" || o.live != nil, o.record.Version
	if o.live != nil {
		t.Seen = o.live.ResourceVersion
	}
	return t
}
