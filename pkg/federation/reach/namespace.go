package reach

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// untouchedNamespaces are never propagated as namespaces, nor is the system namespace.
var untouchedNamespaces = []string{"default", "kube-system", "kube-public", "kube-node-lease"}

// RefuseNamespace returns why a FederatedNamespace cannot be propagated at all, empty if it can. systemNamespace
// is that of KubeFedClusters, and hostLabels are those that its namespace has in the host.
func (o Object) RefuseNamespace(federated *v1beta2.FederatedObject, systemNamespace string, hostLabels map[string]string) string {
	switch {
	case o.Namespace != o.Name:
		return fmt.Sprintf("metadata.name: a FederatedNamespace must have the name of its namespace, %q", o.Namespace)
	case o.Name == systemNamespace || slices.Contains(untouchedNamespaces, o.Name):
		return fmt.Sprintf("metadata.name: namespace %q is never propagated", o.Name)
	}
	return foreignLabels(federated, hostLabels)
}

// foreignLabels returns which labels of a namespace keep it from being propagated. Members
// then keep those that they have: what is not sent any more would be taken off.
func foreignLabels(federated *v1beta2.FederatedObject, host map[string]string) string {
	tree, err := federated.Spec.Template.Tree()
	if err != nil {
		return "" // none, or one that render refuses
	}
	template, _ := tree.(map[string]any)
	if len(manifest.NamespaceLabels(template)) == 0 {
		return ""
	}
	if errs := manifest.ForeignLabels(template, host, field.NewPath("spec", "template")); len(errs) > 0 {
		return errs[0].Error()
	}
	return ""
}

// Belongs reports whether an object was made in this namespace, and not in an earlier one of the name. One of
// which nobody wrote that down belongs to the namespace of the name.
func Belongs(federated *v1beta2.FederatedObject, namespace *corev1.Namespace) bool {
	uid := types.UID(federated.Annotations[federationv1alpha1.NamespaceUIDAnnotation])
	return uid == "" || uid == namespace.UID
}
