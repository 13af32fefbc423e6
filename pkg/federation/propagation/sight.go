package propagation

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
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
	// Forbidden says why the object may not be in its namespace there; empty if it may.
	Forbidden string
	// Held: the object is there, or may be, in the Version that was written last.
	Held    bool
	Version string
	// Seen is the resourceVersion that the member's cache shows; empty if it shows none.
	Seen string
}

// Kind returns the name of the FederatedTypeConfig of a federated kind that propagates; empty if
// there is none.
func (e *Engine) Kind(federatedKind string) string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	names := []string{}
	for name, k := range e.kinds {
		if k.spec.FederatedType.Kind == federatedKind {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names) // there is one: isServed sees to that
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
// object, or its namespace is gone: nothing is placed anew then.
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
	sight := &Sight{
		Federated: federated, Topology: v.topologyOf(), Resource: k.target.Resource,
		Source: key.source(), Targets: make([]SightTarget, len(candidates)),
	}
	for i, c := range candidates {
		sight.Targets[i] = e.sightTarget(v, c)
	}
	return sight, nil
}

func (e *Engine) sightTarget(v *view, c placement.Candidate) SightTarget {
	t := SightTarget{Candidate: c}
	if c.Refusal != "" {
		t.Known = true
		return t
	}
	o := e.observe(v, viewTarget{Candidate: c})
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
