package simulation

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Populate puts the same objects into all members, which have none of their names yet: each is encoded
// once, and held once. So twenty thousand pods in each of a hundred members take no more memory than in
// one. They are as they were made long ago: who watches has to list anew.
//
// objects gives them one after the other, nil at the end, with their namespaces, which must exist. They have the
// same UIDs and versions in every member.
func (f *Fleet) Populate(gvr schema.GroupVersionResource, objects func() map[string]any) error {
	for _, m := range f.members {
		m.mu.Lock() // until all have them
		defer m.mu.Unlock()
	}
	revision := uint64(0)
	for _, m := range f.members {
		if m.registry[gvr] == nil {
			return fmt.Errorf("member %s has no type %s", m.name, gvr)
		}
		revision = max(revision, m.revision)
	}
	first := f.members[0]
	for object := objects(); object != nil; object = objects() {
		revision++
		o, err := first.settled(first.registry[gvr], object, revision)
		if err != nil {
			return err
		}
		for _, m := range f.members {
			m.registry[gvr].settle(o)
		}
	}
	for _, m := range f.members {
		m.revision = revision
		m.expire()
	}
	return nil
}

// settled makes what is stored of an object that was made at a version. m.mu is held.
func (m *Member) settled(of *registry, object map[string]any, revision uint64) (*stored, error) {
	meta := metadataOf(object)
	namespace := text(meta, "namespace")
	if err := m.identify(of, namespace, meta); err != nil {
		return nil, err
	}
	if err := m.mayHold(of, namespace, text(meta, "name")); err != nil {
		return nil, err
	}
	object["kind"], object["apiVersion"] = of.Kind, of.GroupVersion().String()
	meta["uid"], meta["creationTimestamp"], meta["resourceVersion"] = string(m.nextUID()), m.now(), strconv.FormatUint(revision, 10)
	u := unstructured.Unstructured{Object: object}
	return &stored{namespace: namespace, name: u.GetName(), uid: u.GetUID(), labels: u.GetLabels(), revision: revision, data: encode(object)}, nil
}

// settle has an object be there without telling watches.
func (r *registry) settle(o *stored) {
	if r.objects == nil {
		r.objects = map[string]*stored{}
	}
	r.objects[o.key()] = o
}
