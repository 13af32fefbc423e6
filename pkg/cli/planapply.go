package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/validation"
)

// applied is what applying a document would make of a federated object.
type applied struct {
	ftc   *v1beta1.FederatedTypeConfig
	after *v1beta2.FederatedObject
	// warnings are the server's.
	warnings []string
	// unchecked is why the server was not asked what it makes of it; empty if it was.
	unchecked string
}

// dryRun applies a document as a dry run, as kubectl would.
func (o *planOptions) dryRun(ctx context.Context, h *hub, ftc *v1beta1.FederatedTypeConfig, d document) (*applied, error) {
	if err := o.place(d, ftc.Spec.FederatedType.Scope == v1beta1.NamespaceScoped); err != nil {
		return nil, err
	}
	before, err := readFederated(ctx, h, ftc, d.GetNamespace(), d.GetName())
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read %s %q: %s", d.GetKind(), d.GetName(), sentence(err))
	}
	version := d.GroupVersionKind().Version
	request, err := o.request(ctx, h, federatedIn(ftc, version), d, before != nil)
	if err != nil {
		return nil, err
	}
	result := &applied{ftc: ftc, after: before}
	if request == nil { // nothing changes
		return result, nil
	}
	answer, warnings, err := h.do(ctx, *request)
	if result.unchecked = h.notYet(err, ftc, d); result.unchecked != "" {
		result.after, err = takenAsWritten(ftc, d)
		return result, err
	}
	if err != nil {
		return nil, notTaken(err)
	}
	result.warnings = warnings
	if result.after, err = readAnswer(answer, version, before); err != nil {
		return nil, fmt.Errorf("read the answer to the dry run: %w", err)
	}
	return result, nil
}

// notYet says why a server cannot check an object before what is planned with it is made: its type, or its namespace. It is empty
// if err has another reason.
func (h *hub) notYet(err error, ftc *v1beta1.FederatedTypeConfig, d document) string {
	types := schema.GroupVersionResource{Group: typeKind.Group, Version: v1beta1.SchemeGroupVersion.Version, Resource: "federatedtypeconfigs"}
	switch {
	case isNamespaceMissing(err) && h.comes(namespacePath(d.GetNamespace())):
		return "its namespace is made first"
	case isNoType(err) && h.comes(pathOf(types, ftc.Namespace, ftc.Name)):
		return "its type is enabled first"
	}
	return ""
}

// takenAsWritten is what a document would be stored as, as far as that is known without the server.
func takenAsWritten(ftc *v1beta1.FederatedTypeConfig, d document) (*v1beta2.FederatedObject, error) {
	data, err := json.Marshal(d.Object)
	if err != nil {
		return nil, err
	}
	object, err := readAnswer(data, d.GroupVersionKind().Version, nil)
	if err != nil {
		return nil, err
	}
	// What a server drops when something is created, as a copy from another one has it.
	object.Status, object.UID, object.ResourceVersion, object.DeletionTimestamp = nil, "", "", nil
	conversion.SetDefaults(object)
	target := ftc.Spec.TargetType
	return object, validation.ValidateObject(object, validation.Options{
		TargetKind: target.Kind, TargetAPIVersion: schema.GroupVersion{Group: target.Group, Version: target.Version}.String(),
		Namespaced: ftc.Spec.FederatedType.Scope == v1beta1.NamespaceScoped, RequestedVersion: d.GroupVersionKind().Version,
	}).ToAggregate()
}

// typeIfFederated finds the type of a federated object. It is nil for others.
func typeIfFederated(ctx context.Context, h *hub, d document) (*v1beta1.FederatedTypeConfig, error) {
	all, err := h.types(ctx)
	if err != nil {
		return nil, err
	}
	kind := d.GroupVersionKind()
	for i := range all {
		if f := all[i].Spec.FederatedType; f.Group != kind.Group || f.Kind != kind.Kind {
			continue
		}
		if kind.Version != typesv1beta1.SchemeGroupVersion.Version && kind.Version != v1beta2.SchemeGroupVersion.Version {
			return nil, fmt.Errorf("apiVersion is %q: %s is served as %s and %s", d.GetAPIVersion(), kind.Kind,
				schema.GroupVersion{Group: kind.Group, Version: v1beta2.SchemeGroupVersion.Version}, schema.GroupVersion{Group: kind.Group, Version: typesv1beta1.SchemeGroupVersion.Version})
		}
		return &all[i], nil
	}
	return nil, nil
}

// namespaceOf is where an object goes: --namespace says it, or the object itself, or the context.
func (o *planOptions) namespaceOf(namespaced bool, d document) (string, error) {
	own := d.GetNamespace()
	switch {
	case !namespaced:
		return "", nil
	case own == "":
		return o.source.namespace, nil
	case o.source.given && own != o.source.namespace:
		return "", fmt.Errorf("metadata.namespace is %q, and --namespace %q: they must be the same", own, o.source.namespace)
	}
	return own, nil
}

// request is the dry run of applying a document; nil if that changes nothing.
func (o *planOptions) request(ctx context.Context, h *hub, gvr schema.GroupVersionResource, d document, exists bool) (*sent, error) {
	body, err := json.Marshal(d.Object)
	if err != nil {
		return nil, err
	}
	query := map[string]string{"dryRun": metav1.DryRunAll, "fieldManager": o.FieldManager, "fieldValidation": metav1.FieldValidationStrict}
	path := pathOf(gvr, d.GetNamespace(), d.GetName())
	switch {
	case o.ServerSide:
		query["force"] = strconv.FormatBool(o.ForceConflicts)
		return &sent{verb: http.MethodPatch, path: path, query: query, body: body, content: string(types.ApplyYAMLPatchType)}, nil
	case !exists:
		return &sent{verb: http.MethodPost, path: pathOf(gvr, d.GetNamespace(), ""), query: query, body: body}, nil
	}
	current, _, err := h.do(ctx, sent{verb: http.MethodGet, path: path})
	if err != nil {
		return nil, fmt.Errorf("read %s %q: %s", d.GetKind(), d.GetName(), sentence(err))
	}
	patch, err := applyPatch(current, body)
	if err != nil || string(patch) == "{}" {
		return nil, err
	}
	return &sent{verb: http.MethodPatch, path: path, query: query, body: patch, content: string(types.MergePatchType)}, nil
}

// applyPatch is what kubectl sends to apply an object of a kind that it has no type of.
func applyPatch(current, modified []byte) ([]byte, error) {
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(current, &meta); err != nil {
		return nil, err
	}
	last := meta.Annotations[corev1.LastAppliedConfigAnnotation]
	if last == "" { // it was made in another way: nothing goes
		return jsonmergepatch.CreateThreeWayJSONMergePatch(nil, modified, current)
	}
	var object unstructured.Unstructured
	if err := json.Unmarshal(modified, &object.Object); err != nil {
		return nil, err
	}
	// As kubectl, which has the annotation in both: else all annotations would go with the last of its own.
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[corev1.LastAppliedConfigAnnotation] = last
	object.SetAnnotations(annotations)
	modified, err := json.Marshal(object.Object)
	if err != nil {
		return nil, err
	}
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch([]byte(last), modified, current)
	if err != nil {
		return nil, fmt.Errorf("compare it with the annotation %s: %w", corev1.LastAppliedConfigAnnotation, err)
	}
	return patch, nil
}

// readFederated reads a federated object as it is stored.
func readFederated(ctx context.Context, h *hub, ftc *v1beta1.FederatedTypeConfig, namespace, name string) (*v1beta2.FederatedObject, error) {
	answer, _, err := h.do(ctx, sent{verb: http.MethodGet, path: federatedPath(ftc, v1beta2.SchemeGroupVersion.Version, namespace, name)})
	if err != nil {
		return nil, err
	}
	object := &v1beta2.FederatedObject{}
	return object, json.Unmarshal(answer, object)
}

// readAnswer reads what a write would have stored. before is what is stored, nil if nothing is: what the
// older version cannot say of it would stay as it is.
func readAnswer(answer []byte, version string, before *v1beta2.FederatedObject) (*v1beta2.FederatedObject, error) {
	after := &v1beta2.FederatedObject{}
	if version == v1beta2.SchemeGroupVersion.Version {
		if err := json.Unmarshal(answer, after); err != nil {
			return nil, err
		}
	} else {
		var old typesv1beta1.FederatedObject
		if err := json.Unmarshal(answer, &old); err != nil {
			return nil, err
		}
		converted, err := conversion.ToV1beta2(&old)
		if err != nil {
			return nil, err
		}
		after = converted
		if before != nil {
			if err := conversion.Restore(before, after, ""); err != nil {
				return nil, err
			}
		}
	}
	if before != nil {
		after.Status = before.Status
	}
	return after, nil
}
