package manifest

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// The verbs that RBAC has for who gives rights that he may not have himself.
const (
	VerbBind     = "bind"
	VerbEscalate = "escalate"
)

// grantKinds are the kinds of RBAC. They are told by their name whatever the group of a
// FederatedTypeConfig is: other groups serve the same objects under it, and an override may
// replace apiVersion.
var grantKinds = map[string]string{
	"Role":               VerbEscalate,
	"ClusterRole":        VerbEscalate,
	"RoleBinding":        VerbBind,
	"ClusterRoleBinding": VerbBind,
}

// GrantVerb returns the verb on a federated kind that who changes a spec of it needs beside
// create, update or patch, since the objects of the target kind give rights in members:
// "escalate" or "bind". It is empty for kinds that give none.
func GrantVerb(targetGroup, targetKind string) string {
	if verb, ok := grantKinds[targetKind]; ok {
		return verb
	}
	if targetGroup == rbacv1.GroupName {
		return VerbEscalate
	}
	return ""
}

// IsNamespace reports whether objects of a target kind are namespaces. Of a kind of that name
// in another group the same is asked: that costs little, and what is stored may be older than
// the rule that overrides cannot change the group.
func IsNamespace(targetKind string) bool { return targetKind == "Namespace" }

// NamespaceLabels returns the labels in the template of a namespace; nil if there are none.
// The one by which the control plane knows what it manages is not listed: it is set whatever
// a template says. Nor is what is no string.
func NamespaceLabels(template map[string]any) map[string]string {
	metadata, _ := template["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	var out map[string]string
	for key, value := range labels {
		if text, ok := value.(string); ok && key != v1beta1.ManagedLabel {
			if out == nil {
				out = map[string]string{}
			}
			out[key] = text
		}
	}
	return out
}

// ForeignLabels returns why the template of a FederatedNamespace may not be propagated: an
// error for each label that the namespace of the host does not have with the same value. host
// has the labels of that namespace, at is the path of the template. Who labels namespaces of
// the host thereby says how those of members are labelled: Pod Security, tenants, network
// policies and service meshes go by labels of namespaces, whatever their keys are.
func ForeignLabels(template map[string]any, host map[string]string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	labels := NamespaceLabels(template)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if value, there := host[key]; !there || value != labels[key] {
			errs = append(errs, field.Forbidden(at.Child("metadata", "labels").Key(key), fmt.Sprintf(
				"%q may be set only as the namespace that is federated has it: label that namespace first", labels[key])))
		}
	}
	return errs
}

// TakenLabels lists the labels that a change of a template takes away from a namespace
// although the host's still has them, sorted. Its name is none: API servers set that label
// themselves.
func TakenLabels(template, old map[string]any, host map[string]string) []string {
	now, was := NamespaceLabels(template), NamespaceLabels(old)
	maps.DeleteFunc(was, func(key, value string) bool {
		return now[key] == value || host[key] != value || key == corev1.LabelMetadataName
	})
	return slices.Sorted(maps.Keys(was))
}

// NamespacePatchErrors returns why a patch without errors may not be applied to a namespace: it
// may name another version, and nothing else. Labels and annotations are how clusters rule
// over namespaces; owners and finalizers delete them with all that is in them, or never. at is
// as in PatchErrors.
func NamespacePatchErrors(p *v1beta2.OverridePatch, at func() *field.Path) field.ErrorList {
	if tokens, ok := Steps(p.Path); ok && tokens[0] == "apiVersion" {
		return nil
	}
	return field.ErrorList{field.Invalid(at().Child("path"), p.Path, "a namespace is the same in all targets: what it has is set in the template")}
}

// NamespaceDrops lists what of the template of a namespace is not sent to members, beside what
// Drops lists.
func NamespaceDrops(template map[string]any) []Drop {
	if _, there := template["spec"]; !there {
		return nil
	}
	return []Drop{{[]string{"spec"}, "is not sent to members: it holds finalizers, which their control planes set"}}
}
