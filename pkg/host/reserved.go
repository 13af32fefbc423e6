package host

import (
	"context"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/registry/generic"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// reservedGroups are the API groups whose objects are kept under GROUP/RESOURCE by another
// server of the chain, which is where custom resources are kept too. No custom resource may be
// of one: its CRD is refused at admission, one that the store has from before is hidden from
// all that serves CRDs, and custom resources get no storage there. See ADR 10.
type reservedGroups struct{ names sets.Set[string] }

// newReservedGroups returns the groups of the extension, and those of the native kinds that
// are kept in this way: Kubernetes itself protects them in the deletion of CRDs only.
func newReservedGroups(extension *Extension) reservedGroups {
	names := sets.New(apiextensionsv1.GroupName, apiregistrationv1.GroupName)
	if extension != nil {
		for gv := range extension.GroupVersions {
			names.Insert(gv.Group)
		}
	}
	return reservedGroups{names}
}

// Reasons of the conditions NamesAccepted and Established of a CRD that is not served.
const reasonServedByServer = "ServedByServer"

// refusal says what to do instead of installing the CRD of a group.
func refusal(group string) string {
	return fmt.Sprintf("this server serves the group %s itself, so there is nothing to install: leave the CustomResourceDefinition out (helm: --skip-crds); a further federated kind is made by a FederatedTypeConfig alone", group)
}

// Handles implements admission.Interface.
func (reservedGroups) Handles(operation admission.Operation) bool {
	return operation == admission.Create || operation == admission.Update
}

// Validate implements admission.ValidationInterface. What is stored may lose finalizers and
// its status may change, so that it can be deleted; nothing else is taken.
func (r reservedGroups) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetResource().GroupResource() != apiextensions.Resource("customresourcedefinitions") || a.GetSubresource() != "" {
		return nil
	}
	crd, ok := a.GetObject().(*apiextensions.CustomResourceDefinition)
	if !ok || !r.names.Has(crd.Spec.Group) {
		return nil
	}
	if old, ok := a.GetOldObject().(*apiextensions.CustomResourceDefinition); ok && a.GetOperation() == admission.Update {
		if old.DeletionTimestamp != nil || len(crd.Finalizers) < len(old.Finalizers) {
			return nil
		}
	}
	return apierrors.NewInvalid(apiextensions.Kind("CustomResourceDefinition"), crd.Name,
		field.ErrorList{field.Forbidden(field.NewPath("spec", "group"), refusal(crd.Spec.Group))})
}

// hide is the transform of the informer that everything in the API server learns of CRDs
// from. A CRD of a reserved group looks as if it had never been accepted: so it is in no
// discovery and no OpenAPI, its custom resources are not served, and its deletion deletes
// none.
func (r reservedGroups) hide(object any) (any, error) {
	crd, ok := object.(*apiextensionsv1.CustomResourceDefinition)
	if !ok || !r.names.Has(crd.Spec.Group) {
		return object, nil
	}
	for i := range crd.Spec.Versions {
		crd.Spec.Versions[i].Served = false
	}
	setRefused(crd)
	return crd, nil
}

// restOptions gives custom resources no storage in the reserved groups. Nothing asks for it
// while hide works; it is here so that no way past it reaches the objects of others.
func (r reservedGroups) restOptions(inner generic.RESTOptionsGetter) generic.RESTOptionsGetter {
	return unreserved{inner, r}
}

type unreserved struct {
	generic.RESTOptionsGetter
	reserved reservedGroups
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (u unreserved) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	if u.reserved.names.Has(resource.Group) {
		return generic.RESTOptions{}, fmt.Errorf("custom resources %s cannot be stored: the group is served by another API server of the chain", resource)
	}
	return u.RESTOptionsGetter.GetRESTOptions(resource, example)
}
