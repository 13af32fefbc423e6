package strategy

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/schema"
)

// request is what the strategy keeps during one request. The library calls it several
// times for one write; what is dear is done once.
type request struct {
	// fieldValidation is one of metav1.FieldValidation... or nothing.
	fieldValidation string
	// write is the last one. A write that meets a conflict is tried with another object, so
	// there may be several, one after the other.
	write atomic.Pointer[write]
}

type requestKey struct{}

// ForRequest returns the context of a request in which a federated object is written.
// fieldValidation is what the client wants done about unknown fields, one of
// metav1.FieldValidation... or nothing: the library keeps that to itself, and cannot look
// into templates.
func ForRequest(ctx context.Context, fieldValidation string) context.Context {
	return context.WithValue(ctx, requestKey{}, &request{fieldValidation: fieldValidation})
}

func fieldValidationFrom(ctx context.Context) string {
	if r, ok := ctx.Value(requestKey{}).(*request); ok && r.fieldValidation != "" {
		return r.fieldValidation
	}
	return metav1.FieldValidationWarn
}

// write is one object that is about to be stored, and what was found out about it.
type write struct {
	// obj is prepared: restored and canonical. old is nil when it is created.
	obj, old *typesv1beta2.FederatedObject
	// template is what the template says; nil if that is no object, cannot be read, or is
	// the one that is stored.
	template map[string]any
	// restoreErr is why a write of the cluster shape cannot be made whole.
	restoreErr *field.Error

	// changed, problems and placement are found out when they are asked for.
	changed   *bool
	problems  *schema.Problems
	placement *placementAnswer
}

type placementAnswer struct {
	refused field.ErrorList
	missing []string
}

// write returns what is known of the write of obj in this request. It prepares obj if it
// was not seen before: without ForRequest, that is at every call.
func (s strategy) write(ctx context.Context, obj, old *typesv1beta2.FederatedObject) *write {
	r, _ := ctx.Value(requestKey{}).(*request)
	if r != nil {
		if w := r.write.Load(); w != nil && w.obj == obj && w.old == old {
			return w
		}
	}
	w := &write{obj: obj, old: old}
	if old != nil && requestVersion(ctx) == federated.V1beta1.Version {
		// Other errors than these do not occur.
		errors.As(conversion.Restore(old, obj, ""), &w.restoreErr)
	}
	w.canonicalize()
	if r != nil {
		r.write.Store(w)
	}
	return w
}

// canonicalize makes equal templates and override values equal as bytes, so that a
// client that writes the keys in another order changes nothing. What cannot be read is
// left for validation to refuse, and what is stored already is left as it is.
func (w *write) canonicalize() {
	spec := &w.obj.Spec
	if w.old == nil || !bytes.Equal(spec.Template, w.old.Spec.Template) {
		w.parseTemplate()
	}
	if w.old != nil && reflect.DeepEqual(spec.Overrides, w.old.Spec.Overrides) {
		return
	}
	for i := range spec.Overrides {
		patches := spec.Overrides[i].TopologyOverrides
		for j := range patches {
			if v, err := patches[j].Value.Canonical(); err == nil {
				patches[j].Value = v
			}
		}
	}
}

// parseTemplate reads a template, the only time in a request that this is done.
func (w *write) parseTemplate() {
	spec := &w.obj.Spec
	if spec.Template == nil || len(spec.Template) > typesv1beta2.MaxPayloadBytes {
		return
	}
	tree, err := spec.Template.Tree()
	if err != nil {
		return
	}
	canonical, err := rawjson.FromTree(tree)
	if err != nil {
		return
	}
	spec.Template = canonical
	if w.old == nil || !bytes.Equal(canonical, w.old.Spec.Template) {
		w.template, _ = tree.(map[string]any)
	}
}

func (w *write) specChanged() bool {
	if w.changed == nil {
		changed := w.old == nil || !conversion.SameSpec(&w.obj.Spec, &w.old.Spec)
		w.changed = &changed
	}
	return *w.changed
}

func (w *write) placementChanged() bool {
	return w.old == nil || !reflect.DeepEqual(w.obj.Spec.Placement, w.old.Spec.Placement)
}

// saysMoreThanV1beta1 reports whether there is a mask or an override by selector.
func (w *write) saysMoreThanV1beta1() bool {
	return w.obj.Spec.PlacementMask != nil || slices.ContainsFunc(w.obj.Spec.Overrides, func(o typesv1beta2.Override) bool { return o.TopologySelector != nil })
}

// compare compares the template with the schema of its kind.
func (w *write) compare(s strategy) schema.Problems {
	if w.problems == nil {
		problems := schema.Compare(s.schema(), w.template)
		w.problems = &problems
	}
	return *w.problems
}

// checkPlacement asks about the targets.
func (w *write) checkPlacement(ctx context.Context, s strategy) (refused field.ErrorList, missing []string) {
	if s.placement == nil {
		return nil, nil
	}
	if w.placement == nil {
		refused, missing := s.placement.CheckPlacement(ctx, w.obj, requestVersion(ctx))
		w.placement = &placementAnswer{refused, missing}
	}
	return w.placement.refused, w.placement.missing
}
