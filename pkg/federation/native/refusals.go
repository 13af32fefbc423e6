package native

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// InEachCluster are resources whose objects are made in each cluster by itself.
var InEachCluster = map[schema.GroupResource]bool{
	{Resource: "endpoints"}:                                 true,
	{Group: "discovery.k8s.io", Resource: "endpointslices"}: true,
	{Resource: "events"}:                                    true,
	{Group: "events.k8s.io", Resource: "events"}:            true,
	{Group: "coordination.k8s.io", Resource: "leases"}:      true,
	{Group: "apps", Resource: "controllerrevisions"}:        true,
}

// RootCA is the ConfigMap that each cluster puts into each namespace.
const RootCA = "kube-root-ca.crt"

// WhyNot says why an object that nobody named is not federated, with the contents of a namespace or by its label; empty
// if it is.
func WhyNot(kind schema.GroupKind, object *unstructured.Unstructured, template map[string]any) string {
	switch {
	case object.GetDeletionTimestamp() != nil:
		return "being deleted"
	case metav1.GetControllerOf(object) != nil:
		return "made by a controller from another object"
	case object.GetAnnotations()[manifest.SourceAnnotation] != "":
		return "made by Koinon from a federated object"
	case kind == schema.GroupKind{Kind: "ConfigMap"} && object.GetName() == RootCA:
		return "in every namespace of every cluster"
	case kind == schema.GroupKind{Kind: "ServiceAccount"} && object.GetName() == "default" && len(template) == 0:
		return "in every namespace of every cluster"
	case kind == schema.GroupKind{Kind: "Secret"} && object.Object["type"] == string(corev1.SecretTypeServiceAccountToken):
		return "a token of a ServiceAccount, good in one cluster alone"
	}
	return ""
}

// ComesFrom refuses an object of a member that another federated object, or another federation, has made. source is the
// federated object that it is to become.
func ComesFrom(object *unstructured.Unstructured, source, federation string) error {
	annotations := object.GetAnnotations()
	if object.GetLabels()[v1beta1.ManagedLabel] != "true" || annotations[manifest.SourceAnnotation] == "" {
		return nil
	}
	if of := annotations[federationv1alpha1.FederationAnnotation]; of != "" && federation != "" && of != federation {
		return fmt.Errorf("it is an object of another federation, %q: it would be taken over from nobody", of)
	}
	if from := annotations[manifest.SourceAnnotation]; from != source {
		return fmt.Errorf("it was made from the federated object %q already", from)
	}
	return nil
}
