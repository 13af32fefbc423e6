package strategy

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"

	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/ownership"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// ScaleREST is the scale subresource: spec.template.spec.replicas, the number that each
// target gets unless an override says otherwise.
type ScaleREST struct{ object *REST }

var (
	_ rest.Patcher                  = &ScaleREST{}
	_ rest.GroupVersionKindProvider = &ScaleREST{}
)

// GroupVersionKind is autoscaling/v1 Scale.
func (*ScaleREST) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return wire.ScaleKind
}

// New makes an empty Scale.
func (*ScaleREST) New() runtime.Object { return &autoscalingv1.Scale{} }

// Destroy does nothing: the storage is the REST's.
func (*ScaleREST) Destroy() {}

// Get returns the scale of an object.
func (r *ScaleREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	obj, err := r.object.Get(ctx, name, options)
	if err != nil {
		return nil, err
	}
	return scaleOf(obj.(*typesv1beta2.FederatedObject))
}

// Update sets the replicas of the template.
func (r *ScaleREST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	transform := func(ctx context.Context, _, old runtime.Object) (runtime.Object, error) {
		return r.scaled(ctx, old.(*typesv1beta2.FederatedObject), info, updateValidation)
	}
	// The validation of the caller is for the Scale, and was run on it.
	updated, _, err := r.object.Store.Update(ctx, name, rest.DefaultUpdatedObjectInfo(nil, transform), createValidation, rest.ValidateAllObjectUpdateFunc, false, options)
	if err != nil {
		return nil, false, err
	}
	scale, err := scaleOf(updated.(*typesv1beta2.FederatedObject))
	return scale, false, err
}

// scaled returns a copy of the object with the replicas that the caller asks for, and with
// the caller as their owner.
func (r *ScaleREST) scaled(ctx context.Context, o *typesv1beta2.FederatedObject, info rest.UpdatedObjectInfo, validate rest.ValidateObjectUpdateFunc) (runtime.Object, error) {
	owners := ownership.NewScaleOwners(o.ManagedFields, schema.GroupVersion{Group: federated.GroupName, Version: requestVersion(ctx)})
	old, err := scaleOf(o)
	if err != nil {
		return nil, err
	}
	if old.ManagedFields, err = owners.Scale(); err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("read the owners of the replicas of %s %s/%s: %w", o.Kind, o.Namespace, o.Name, err))
	}
	obj, err := info.UpdatedObject(ctx, old)
	if err != nil {
		return nil, err
	}
	scale, ok := obj.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("expected a Scale, got %T", obj))
	}
	if validate != nil {
		if err := validate(ctx, scale, old); err != nil {
			return nil, err
		}
	}
	if scale.Spec.Replicas < 0 {
		return nil, apierrors.NewInvalid(wire.ScaleKind.GroupKind(), o.Name, field.ErrorList{
			field.Invalid(field.NewPath("spec", "replicas"), scale.Spec.Replicas, "must be at least 0")})
	}
	if scale.ResourceVersion != "" && scale.ResourceVersion != o.ResourceVersion {
		return nil, apierrors.NewConflict(r.object.kind.GroupResource(), o.Name, fmt.Errorf("it was changed since resource version %s", scale.ResourceVersion))
	}
	out := o.DeepCopy()
	if out.ManagedFields, err = owners.Object(scale.ManagedFields); err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("note the owner of the replicas of %s %s/%s: %w", o.Kind, o.Namespace, o.Name, err))
	}
	out.Spec.Template, err = withReplicas(o.Spec.Template, scale.Spec.Replicas)
	return out, err
}

func scaleOf(o *typesv1beta2.FederatedObject) (*autoscalingv1.Scale, error) {
	var template struct {
		Spec struct{ Replicas *int32 }
	}
	if o.Spec.Template != nil {
		if err := json.Unmarshal(o.Spec.Template, &template); err != nil {
			return nil, apierrors.NewInternalError(fmt.Errorf("read replicas of %s %s/%s: %w", o.Kind, o.Namespace, o.Name, err))
		}
	}
	scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{
		Name: o.Name, Namespace: o.Namespace, UID: o.UID, ResourceVersion: o.ResourceVersion, CreationTimestamp: o.CreationTimestamp,
	}}
	scale.Spec.Replicas = 1 // what a member takes if the template is silent
	if template.Spec.Replicas != nil {
		scale.Spec.Replicas = *template.Spec.Replicas
	}
	scale.Status.Replicas = runningReplicas(o.Status)
	return scale, nil
}

// runningReplicas are those of all targets: what our engine has added up, or the replicas of the statuses
// that another one has collected.
func runningReplicas(status *typesv1beta2.FederatedObjectStatus) int32 {
	if status == nil {
		return 0
	}
	if status.Workload != nil {
		return int32(max(min(status.Workload.Replicas, math.MaxInt32), 0))
	}
	var sum int64
	for _, t := range status.Targets {
		var remote struct{ Replicas int64 }
		if t.RemoteStatus != nil && json.Unmarshal(t.RemoteStatus, &remote) == nil {
			sum += remote.Replicas
		}
	}
	return int32(min(sum, math.MaxInt32))
}

// withReplicas sets spec.replicas and leaves the rest of the template as it is.
func withReplicas(template rawjson.Value, replicas int32) (rawjson.Value, error) {
	fields := map[string]json.RawMessage{}
	if template.IsObject() {
		if err := json.Unmarshal(template, &fields); err != nil {
			return nil, err
		}
	}
	spec := map[string]json.RawMessage{}
	if raw, ok := fields["spec"]; ok {
		if err := json.Unmarshal(raw, &spec); err != nil {
			return nil, err
		}
	}
	spec["replicas"] = json.RawMessage(fmt.Sprint(replicas))
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	fields["spec"] = data
	return json.Marshal(fields)
}
