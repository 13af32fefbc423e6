package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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

// reservedDomains are those whose labels say of a namespace what its members' API servers
// and the control plane act by: Pod Security, the tenant, its name.
var reservedDomains = []string{"kubernetes.io", "k8s.io", "kubefed.io", "koinon.io"}

// ReservedLabel reports whether a label of a namespace is not for everybody to set: its key
// is in one of the domains kubernetes.io, k8s.io, kubefed.io and koinon.io, or below. The
// label by which the control plane knows what it manages is none of them: it is set whatever
// a template says.
func ReservedLabel(key string) bool {
	domain, _, prefixed := strings.Cut(key, "/")
	if !prefixed || key == v1beta1.ManagedLabel {
		return false
	}
	return slices.ContainsFunc(reservedDomains, func(reserved string) bool {
		return domain == reserved || strings.HasSuffix(domain, "."+reserved)
	})
}

// ReservedLabels returns the reserved labels of the template of a namespace; nil if there
// are none. What is no string is not listed.
func ReservedLabels(template map[string]any) map[string]string {
	metadata, _ := template["metadata"].(map[string]any)
	return reservedOf(metadata)
}

func reservedOf(metadata map[string]any) map[string]string {
	labels, _ := metadata["labels"].(map[string]any)
	var out map[string]string
	for key, value := range labels {
		if text, ok := value.(string); ok && ReservedLabel(key) {
			if out == nil {
				out = map[string]string{}
			}
			out[key] = text
		}
	}
	return out
}

// ForeignLabels returns why the template of a FederatedNamespace may not be propagated: an
// error for each reserved label that the namespace of the host does not have with the same
// value. host has the labels of that namespace, at is the path of the template. Who labels
// namespaces of the host thereby says how those of members may be labelled.
func ForeignLabels(template map[string]any, host map[string]string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	reserved := ReservedLabels(template)
	for _, key := range slices.Sorted(maps.Keys(reserved)) {
		if value, there := host[key]; !there || value != reserved[key] {
			errs = append(errs, field.Forbidden(at.Child("metadata", "labels").Key(key), fmt.Sprintf(
				"%q may be set only as the namespace that is federated has it: label that namespace first; keys outside of %s are free",
				reserved[key], strings.Join(reservedDomains, ", "))))
		}
	}
	return errs
}

// TakenLabels lists the reserved labels that a change of a template takes away from a
// namespace although the host's still has them, sorted. Its name is none: API servers set
// that label themselves.
func TakenLabels(template, old map[string]any, host map[string]string) []string {
	now, was := ReservedLabels(template), ReservedLabels(old)
	maps.DeleteFunc(was, func(key, value string) bool {
		return now[key] == value || host[key] != value || key == corev1.LabelMetadataName
	})
	return slices.Sorted(maps.Keys(was))
}

// NamespacePatchErrors returns why a patch without errors may not be applied to the template
// of a namespace: it would change a reserved label for some targets. at is as in
// PatchErrors.
func NamespacePatchErrors(p *v1beta2.OverridePatch, template map[string]any, at func() *field.Path) field.ErrorList {
	const detail = "labels in the domains kubernetes.io, k8s.io, kubefed.io and koinon.io are the same in all targets, and are set in the template"
	tokens, ok := pointerTokens(p.Path)
	if !ok || tokens[0] != "metadata" || len(tokens) > 1 && tokens[1] != "labels" {
		return nil
	}
	if len(tokens) > 2 {
		if ReservedLabel(tokens[2]) {
			return field.ErrorList{field.Invalid(at().Child("path"), p.Path, detail)}
		}
		return nil
	}
	if patched := patchedMetadata(p, len(tokens) == 2); !maps.Equal(reservedOf(patched), ReservedLabels(template)) {
		return field.ErrorList{field.Invalid(at().Child("path"), p.Path, "changes labels that are not free: "+detail)}
	}
	return nil
}

// patchedMetadata is the metadata that a patch of all of it, or of all labels, leaves.
func patchedMetadata(p *v1beta2.OverridePatch, labels bool) map[string]any {
	if Operation(p) == OpRemove {
		return nil
	}
	value, err := Value(p).Tree()
	if err != nil {
		return nil
	}
	if labels {
		return map[string]any{"labels": value}
	}
	metadata, _ := value.(map[string]any)
	return metadata
}
