package ownership

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// TakenBy says that somebody else owns a namespace of a member.
func TakenBy(holder Owner, namespace, member string) string {
	return fmt.Sprintf("namespace %q of member %q belongs to %s", namespace, member, holder)
}

// Marks are the annotations that a namespace in a member carries: whose it is, in which
// federation.
func Marks(federation string, owner Owner) map[string]string {
	return map[string]string{v1alpha1.FederationAnnotation: federation, v1alpha1.OwnerAnnotation: owner.mark()}
}

// Marked reports whether a namespace in a member carries the marks of that owner. refusal
// says why it must be left alone: it carries those of somebody else. Without marks it is
// neither.
func Marked(annotations map[string]string, federation string, owner Owner) (marked bool, refusal string) {
	theirs, named := annotations[v1alpha1.FederationAnnotation]
	other, owned := annotations[v1alpha1.OwnerAnnotation]
	switch {
	case named && theirs != federation:
		return false, fmt.Sprintf("the annotation %s says that it belongs to another federation, %q; this one is %q", v1alpha1.FederationAnnotation, theirs, federation)
	case owned && other != owner.mark():
		return false, fmt.Sprintf("the annotation %s says that it belongs to %q, and not to %q", v1alpha1.OwnerAnnotation, other, owner.mark())
	}
	return named && owned, ""
}

// SystemNamespaces is what a member has for itself, and what of that may be used.
type SystemNamespaces struct {
	// Member is the name of its KubeFedCluster.
	Member string
	// Join are the namespaces that hold the join account, as far as they are known.
	Join []string
	// Allowed by the administrator.
	Allowed []string
}

// SystemNamespacesOf reads a KubeFedCluster.
func SystemNamespacesOf(cluster *corev1beta1.KubeFedCluster) SystemNamespaces {
	s := SystemNamespaces{Member: cluster.Name, Allowed: cluster.Spec.AllowedSystemNamespaces}
	for _, join := range []string{cluster.Spec.JoinNamespace, cluster.Status.JoinNamespace} {
		if join != "" {
			s.Join = append(s.Join, join)
		}
	}
	return s
}

// IsSystemName reports whether every cluster has a namespace of that name for itself.
func IsSystemName(namespace string) bool {
	return namespace == metav1.NamespaceDefault || strings.HasPrefix(namespace, "kube-")
}

// Refusal says why nothing may be placed in a namespace of the member; empty if it may.
func (s SystemNamespaces) Refusal(namespace string) string {
	if slices.Contains(s.Allowed, namespace) {
		return ""
	}
	why := ""
	switch {
	case slices.Contains(s.Join, namespace):
		why = "holds the account with which the member was joined"
	case IsSystemName(namespace):
		why = "belongs to the member itself"
	default:
		return ""
	}
	return fmt.Sprintf("namespace %q of member %q %s; nothing is placed there unless spec.allowedSystemNamespaces of KubeFedCluster %q names it",
		namespace, s.Member, why, s.Member)
}
