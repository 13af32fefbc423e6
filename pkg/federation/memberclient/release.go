package memberclient

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// ReleaseVersion takes our label and the given annotations from an object that is still the one with that
// UID, in that version, and leaves the rest as it is. It returns a Conflict if it is another one. It is no
// error if the object does not exist.
func (c *Conn) ReleaseVersion(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string, uid types.UID, version string, annotations ...string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	none := map[string]any{}
	for _, annotation := range annotations {
		none[annotation] = nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": uid, "resourceVersion": version, "labels": map[string]any{v1beta1.ManagedLabel: nil}, "annotations": none,
	}})
	if err != nil {
		return err
	}
	_, err = c.resource(c.Served(gvr), namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
	return unlessMissing(err, name)
}

// Managed returns the managed objects of a type as they are known, in no order, and whether the cache
// knows them all.
func (c *Conn) Managed(gvr schema.GroupVersionResource) (objects []*Live, synced bool) {
	c.mu.Lock()
	found := c.caches[gvr]
	c.mu.Unlock()
	if found == nil {
		return nil, false
	}
	return found.all()
}

func (c *Cache) all() (objects []*Live, synced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Synced {
		return nil, false
	}
	objects = make([]*Live, 0, len(c.objects))
	for key := range c.objects {
		if live := c.current(key); live != nil {
			objects = append(objects, live)
		}
	}
	return objects, true
}
