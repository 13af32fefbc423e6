package strategy

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/rest"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/privilege"
)

// HostNamespaces knows the namespaces of the host.
type HostNamespaces interface {
	// CurrentLabels returns the labels of a namespace as they are now, nil if there is none.
	CurrentLabels(ctx context.Context, name string) (map[string]string, error)
}

// rights asks whether the user of a request may do in members what his write does there. It
// is asked after the strategy has prepared and checked the objects, with which a write of
// either version, an apply or a patch is the same thing, and before admission plugins.
//
// Writes of the status and of the scale change nothing of what is asked about.
type rights struct {
	authorizer authorizer.Authorizer
	namespaces HostNamespaces // nil if they are not known
	kind       federated.Kind
}

// Create stores a new object.
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	return r.REST.Create(ctx, obj, r.rights.creates(validate), options)
}

// Update changes an object. A server-side apply may create it.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, applies bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.REST.Update(ctx, name, info, r.rights.creates(createValidation), r.rights.updates(updateValidation), applies, options)
}

// Delete deletes an object.
func (r *REST) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	return r.REST.Delete(ctx, name, r.warned(r.rights.deletes(validate, options), options), options)
}

// DeleteCollection deletes objects, up to the first that may not be deleted.
func (r *REST) DeleteCollection(ctx context.Context, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions, list *metainternalversion.ListOptions) (runtime.Object, error) {
	return r.REST.DeleteCollection(ctx, r.warned(r.rights.deletes(validate, options), options), options, list)
}

func (r rights) creates(then rest.ValidateObjectFunc) rest.ValidateObjectFunc {
	return func(ctx context.Context, obj runtime.Object) error {
		if err := r.write(ctx, obj.(*typesv1beta2.FederatedObject), nil); err != nil || then == nil {
			return err
		}
		return then(ctx, obj)
	}
}

func (r rights) updates(then rest.ValidateObjectUpdateFunc) rest.ValidateObjectUpdateFunc {
	return func(ctx context.Context, obj, old runtime.Object) error {
		if err := r.write(ctx, obj.(*typesv1beta2.FederatedObject), old.(*typesv1beta2.FederatedObject)); err != nil || then == nil {
			return err
		}
		return then(ctx, obj, old)
	}
}

// deletes checks a deletion, which has not begun yet when this is asked.
func (r rights) deletes(then rest.ValidateObjectFunc, options *metav1.DeleteOptions) rest.ValidateObjectFunc {
	return func(ctx context.Context, obj runtime.Object) error {
		o := obj.(*typesv1beta2.FederatedObject)
		if manifest.IsNamespace(r.kind.Target.Kind) && !orphans(o) && !orphansDependents(o, options) {
			if err := r.needDeletion(ctx, o, "deleting it"); err != nil {
				return err
			}
		}
		if then == nil {
			return nil
		}
		return then(ctx, obj)
	}
}

// write checks what is created (old is nil) or changed.
func (r rights) write(ctx context.Context, o, old *typesv1beta2.FederatedObject) error {
	if verb := manifest.GrantVerb(r.kind.Target.Group, r.kind.Target.Kind); verb != "" {
		if old != nil && conversion.SameSpec(&o.Spec, &old.Spec) {
			return nil
		}
		return r.need(ctx, r.onObject(ctx, o, verb), o,
			fmt.Sprintf("a %s in a member gives rights there, and", r.kind.Target.Kind))
	}
	if manifest.IsNamespace(r.kind.Target.Kind) {
		return r.writeNamespace(ctx, o, old)
	}
	return nil
}

// writeNamespace checks what deletes namespaces in members as a deletion, and what takes a
// label away that the namespace has here. Those that are added are validated.
func (r rights) writeNamespace(ctx context.Context, o, old *typesv1beta2.FederatedObject) error {
	if why := deletesNamespaces(o, old); why != "" {
		if err := r.needDeletion(ctx, o, why); err != nil {
			return err
		}
	}
	if old == nil || r.namespaces == nil {
		return nil
	}
	template, was := treeOf(o), treeOf(old)
	if len(manifest.TakenLabels(template, was, manifest.NamespaceLabels(was))) == 0 {
		return nil // the host need not be asked
	}
	host, err := r.namespaces.CurrentLabels(ctx, o.Namespace)
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("read the labels of namespace %s: %w", o.Namespace, err))
	}
	if taken := manifest.TakenLabels(template, was, host); len(taken) > 0 {
		return r.need(ctx, r.onObject(ctx, o, manifest.VerbEscalate), o,
			fmt.Sprintf("spec.template.metadata.labels: taking %s away, which the namespace has here,", strings.Join(taken, ", ")))
	}
	return nil
}

// deletesNamespaces says, in words that "takes the right to" can follow, what of a write may
// delete namespaces in members; it is empty for a write that does not.
func deletesNamespaces(o, old *typesv1beta2.FederatedObject) string {
	var before typesv1beta2.FederatedObject
	if old != nil {
		before = *old
	}
	for _, owner := range o.OwnerReferences {
		if !slices.ContainsFunc(before.OwnerReferences, func(was metav1.OwnerReference) bool { return was.UID == owner.UID }) {
			return "metadata.ownerReferences: an owner, with whom it is deleted,"
		}
	}
	if o.DeletionTimestamp != nil && orphans(&before) && !orphans(o) {
		return fmt.Sprintf("metadata.annotations[%s]: taking it back", corev1beta1.OrphanAnnotation)
	}
	if removesTargets(before.Spec.Placement, o.Spec.Placement) {
		return "spec.placement: taking targets away"
	}
	return ""
}

// orphans reports whether members keep what there is of a deleted object.
func orphans(o *typesv1beta2.FederatedObject) bool {
	return o.Annotations[corev1beta1.OrphanAnnotation] == "true"
}

// removesTargets reports whether a target that is selected by old may not be by placement.
// Who a selector selects is not known here, so that any change of it may.
func removesTargets(old, placement *typesv1beta2.Placement) bool {
	if old == nil || reflect.DeepEqual(old, placement) {
		return false
	}
	if old.Topologies == nil {
		return old.TopologySelector != nil
	}
	var names []typesv1beta2.TopologyReference
	if placement != nil {
		names = placement.Topologies
	}
	kept := make(map[string]bool, len(names))
	for _, target := range names {
		kept[target.Name] = true
	}
	return slices.ContainsFunc(old.Topologies, func(target typesv1beta2.TopologyReference) bool { return !kept[target.Name] })
}

// treeOf is the template of an object; nil if it cannot be read.
func treeOf(o *typesv1beta2.FederatedObject) map[string]any {
	if !o.Spec.Template.IsObject() {
		return nil
	}
	tree, err := o.Spec.Template.Tree()
	if err != nil {
		return nil
	}
	template, _ := tree.(map[string]any)
	return template
}

func (r rights) onObject(ctx context.Context, o *typesv1beta2.FederatedObject, verb string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{
		Verb: verb, APIGroup: federated.GroupName, APIVersion: requestVersion(ctx), Resource: r.kind.Resource,
		Namespace: o.Namespace, Name: o.Name, ResourceRequest: true,
	}
}

// needDeletion asks for the right to delete the namespace of the host.
func (r rights) needDeletion(ctx context.Context, o *typesv1beta2.FederatedObject, what string) error {
	return r.need(ctx, authorizer.AttributesRecord{
		Verb: "delete", APIVersion: "v1", Resource: "namespaces", Namespace: o.Namespace, Name: o.Namespace, ResourceRequest: true,
	}, o, what+" deletes namespaces in members, which")
}

// need returns a Forbidden unless the user of the request may do what attributes say.
func (r rights) need(ctx context.Context, attributes authorizer.AttributesRecord, o *typesv1beta2.FederatedObject, why string) error {
	return privilege.Need(ctx, r.authorizer, attributes, privilege.Object{Resource: r.kind.GroupResource(), Name: o.Name}, why)
}

// foreignLabels validates the labels of a namespace that is written.
func (s strategy) foreignLabels(ctx context.Context, w *write) field.ErrorList {
	if s.namespaces == nil || !manifest.IsNamespace(s.kind.Target.Kind) || len(manifest.NamespaceLabels(w.template)) == 0 {
		return nil
	}
	path := field.NewPath("spec", "template")
	host, err := s.namespaces.CurrentLabels(ctx, w.obj.Namespace)
	if err != nil {
		return field.ErrorList{field.InternalError(path, fmt.Errorf("read the labels of namespace %s: %w", w.obj.Namespace, err))}
	}
	return manifest.ForeignLabels(w.template, host, path)
}
