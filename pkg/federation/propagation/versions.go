package propagation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
)

// A manifest is written in its own version. A member that does not serve that one gets it in the version
// that it serves, with nothing changed but apiVersion, if it knows every field in that version: it
// is asked to refuse what it does not know, so that nothing is dropped in silence.

// delivery is how a manifest was written, or was to be.
type delivery struct {
	written memberclient.Written
	// sent is the manifest, in the version that it was sent in last.
	sent map[string]any
	// instead is the version that it was sent in since the member does not serve its own; empty if it
	// does.
	instead schema.GroupVersionResource
	// put is what was made of sent to replace an object that is there.
	put map[string]any
	// kept are sentences on fields that put leaves as they are, since it cannot be told whether they are the member's.
	kept []string
	// refused is why it was not sent, since others own fields that it changes; nil if it was. outrun is as for
	// writeOnce.
	refused *result
	outrun  bool
}

// deliver creates the object, or replaces existing if that is not nil.
func (s spot) deliver(ctx context.Context, o observation, gvr schema.GroupVersionResource, existing *unstructured.Unstructured) (d delivery, err error) {
	d.sent = o.manifest.Object()
	err = s.put(ctx, o, &d, gvr, existing)
	if !errors.Is(err, memberclient.ErrTypeNotServed) {
		return d, err
	}
	served := s.conn.Served(gvr)
	if served == gvr {
		return d, err
	}
	d.instead = served
	d.sent["apiVersion"] = served.GroupVersion().String()
	err = s.put(memberclient.RefuseUnknown(ctx), o, &d, served, existing)
	return d, err
}

// put writes d.sent in a version, unless that takes fields from others and the policy is to abort.
func (s spot) put(ctx context.Context, o observation, d *delivery, gvr schema.GroupVersionResource, existing *unstructured.Unstructured) (err error) {
	if existing == nil {
		d.written, err = s.conn.Create(ctx, gvr, s.namespace, s.name, compose.ForCreate(d.sent, s.kind.gvk), s.home)
		return err
	}
	d.put, d.kept = compose.ForUpdate(d.sent, existing.Object, s.kind.gvk, s.rules), compose.Kept(d.sent, existing.Object, s.rules)
	if o.adopts(existing) {
		markAdopted(d.put)
	}
	d.refused, d.outrun, err = s.refuseConflicts(ctx, o, gvr, existing, d.put)
	if d.refused != nil || err != nil {
		return err
	}
	d.written, err = s.conn.Update(ctx, gvr, s.namespace, s.name, d.put)
	return err
}

// wroteAs says in which version a manifest was written, if not in its own; else it is empty.
func (d delivery) wroteAs(own schema.GroupVersionResource) string {
	if d.instead.Empty() {
		return ""
	}
	return fmt.Sprintf("written as %s, since the member does not serve %s", d.instead.GroupVersion(), own.GroupVersion())
}

// unknownFields says that a member does not serve the version of the manifest, and does not know all of
// it in the one that it serves.
func (o observation) unknownFields(d delivery, own schema.GroupVersionResource, fields []string) result {
	return o.failed(v1beta2.TargetTypeNotServed, fmt.Sprintf("the member does not serve %s in %s, which the manifest is for, and %s, which it serves, does not know %s",
		own.Resource, own.GroupVersion(), d.instead.GroupVersion(), strings.Join(fields, ", ")))
}
