package host

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	api "k8s.io/kubernetes/pkg/apis/core"
)

// namespaceChanges has the extension decide on updates of namespaces.
type namespaceChanges struct{ extension *Extension }

var _ admission.ValidationInterface = namespaceChanges{}

// Handles implements admission.Interface.
func (n namespaceChanges) Handles(operation admission.Operation) bool {
	return operation == admission.Update && n.extension != nil && n.extension.NamespaceChange != nil
}

// Validate implements admission.ValidationInterface. Labels may change with any subresource.
func (n namespaceChanges) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetResource().GroupResource() != api.Resource("namespaces") {
		return nil
	}
	var objects [2]metav1.Object
	for i, object := range []any{a.GetObject(), a.GetOldObject()} {
		var err error
		if objects[i], err = meta.Accessor(object); err != nil {
			return err
		}
	}
	return n.extension.NamespaceChange(ctx, objects[0], objects[1])
}
