package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// SourceAnnotation is on every object in a member that we wrote, and names the federated
// object that it came from: <namespace>/<name>, or <name> for cluster-scoped ones.
const SourceAnnotation = "federation.koinon.io/federated-object"

// RecordAnnotation says of an object in a member which labels, annotations and finalizers are of
// the manifest, so that they go when the manifest has them no longer, while those of others
// stay: {"labels":["app"],"finalizers":["example.com/guard"]}, sorted, what is empty left out. The
// label and the annotation that every object of ours has are not listed. Beside them are
// the "fields" that the manifest sets of those that members decide where it does not, such as
// /spec/ingressClassName.
//
// managedFields do not tell. What admission adds to our requests, such as the finalizer
// kubernetes.io/pvc-protection or what webhooks put in, is recorded there as ours, and
// what somebody else had set to the same value before as theirs.
const RecordAnnotation = "federation.koinon.io/manifest-metadata"

// Drop is a part of a template that is not sent to members.
type Drop struct {
	// Steps are the keys that lead to it from the template: up to three, the last one of
	// which is then a label or an annotation.
	Steps []string
	// Reason is what is said of it: a sentence whose subject is the field.
	Reason string
}

// Path returns where the part is in a template with the given path. Labels and
// annotations are keys of a map.
func (d Drop) Path(template *field.Path) *field.Path {
	path := template.Child(d.Steps[0], d.Steps[1:min(2, len(d.Steps))]...)
	if len(d.Steps) == 3 {
		path = path.Key(d.Steps[2])
	}
	return path
}

const (
	reasonName       = "is ignored: what objects in members are called follows from the federated object and where it is placed"
	reasonNamespace  = "is ignored: the namespace in members follows from the federated object and where it is placed"
	reasonServer     = "is not sent to members: their API servers set it"
	reasonStatus     = "is not sent to members: the status is theirs"
	reasonFinalizers = "are not sent to members: they are for controllers of this cluster"
	reasonOwners     = "are not sent to members: they name their owners by UIDs that only this cluster knows"
	reasonAnnotation = "is not sent to members: no pattern in spec.propagatingAnnotations of the FederatedTypeConfig matches it"
	reasonUnknown    = "is not sent to members: of the metadata they get labels, and annotations that propagate"
	reasonOurs       = "is not sent to members: the control plane sets it"
)

// metadataReasons has what templates copied from running objects hold.
var metadataReasons = map[string]string{
	"name":            reasonName,
	"generateName":    reasonName,
	"namespace":       reasonNamespace,
	"finalizers":      reasonFinalizers,
	"ownerReferences": reasonOwners,
}

// serverMetadata is set by API servers alone. Overrides cannot set it either.
var serverMetadata = []string{
	"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation",
	"managedFields", "resourceVersion", "selfLink", "uid",
}

func init() {
	for _, key := range serverMetadata {
		metadataReasons[key] = reasonServer
	}
}

// Drops lists what of a template is not sent to members, sorted by path. propagates says
// of an annotation whether it is sent; nil means that this is not known, and no annotation
// is listed.
//
// What holds nothing (null, an empty list, map or string) is listed too; see IsEmpty.
func Drops(template map[string]any, propagates func(annotation string) bool) []Drop {
	var out []Drop
	metadata, _ := template["metadata"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		switch key {
		case "labels":
			if labels, ok := metadata[key].(map[string]any); ok && labels[v1beta1.ManagedLabel] != nil && labels[v1beta1.ManagedLabel] != "true" {
				out = append(out, Drop{[]string{"metadata", key, v1beta1.ManagedLabel}, reasonOurs})
			}
		case "annotations":
			out = append(out, annotationDrops(metadata[key], propagates)...)
		default:
			reason, ok := metadataReasons[key]
			if !ok {
				reason = reasonUnknown
			}
			out = append(out, Drop{[]string{"metadata", key}, reason})
		}
	}
	if _, there := template["status"]; there {
		out = append(out, Drop{[]string{"status"}, reasonStatus})
	}
	return out
}

func annotationDrops(value any, propagates func(string) bool) (out []Drop) {
	annotations, _ := value.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		switch {
		case isOurs("annotations", key):
			out = append(out, Drop{[]string{"metadata", "annotations", key}, reasonOurs})
		case propagates != nil && !propagates(key):
			out = append(out, Drop{[]string{"metadata", "annotations", key}, reasonAnnotation})
		}
	}
	return out
}

// Value returns what is dropped.
func (d Drop) Value(template map[string]any) any {
	parent := template
	for _, step := range d.Steps[:len(d.Steps)-1] {
		parent, _ = parent[step].(map[string]any)
	}
	return parent[d.Steps[len(d.Steps)-1]]
}

// IsEmpty reports whether a value holds nothing, so that nothing is lost with it:
// encoders write creationTimestamp: null and status: {} of their own accord.
func IsEmpty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case map[string]any:
		for _, inner := range v {
			if !IsEmpty(inner) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	}
	return false
}

// PatchDrop returns why what a patch sets is not sent to members, and else "". The patch
// is one without errors. Of a patch of all metadata only parts are not sent: see
// MetadataDrops.
func PatchDrop(p *v1beta2.OverridePatch) string {
	tokens, ok := Steps(p.Path)
	if !ok {
		return ""
	}
	switch {
	case tokens[0] == "status":
		return reasonStatus
	case len(tokens) > 1 && tokens[0] == "metadata" && slices.Contains(serverMetadata, tokens[1]):
		return reasonServer
	case len(tokens) == 3 && tokens[0] == "metadata" && isOurs(tokens[1], tokens[2]):
		return reasonOurs
	}
	return ""
}

// ourAnnotations are those that the control plane sets on objects in members.
var ourAnnotations = []string{SourceAnnotation, RecordAnnotation, federationv1alpha1.FederationAnnotation, v1beta1.AdoptedAnnotation}

// Marks are the annotations that tell an object of ours in a member, beside the managed label: they
// go when it is released.
func Marks() []string { return slices.Clone(ourAnnotations) }

func isOurs(field, key string) bool {
	return field == "labels" && key == v1beta1.ManagedLabel || field == "annotations" && slices.Contains(ourAnnotations, key)
}

// ServerFields lists what no manifest may hold, with or without overrides: the fields that
// members set.
func ServerFields(object map[string]any) []Drop {
	var out []Drop
	metadata, _ := object["metadata"].(map[string]any)
	for _, key := range serverMetadata {
		if _, there := metadata[key]; there {
			out = append(out, Drop{[]string{"metadata", key}, reasonServer})
		}
	}
	if _, there := object["status"]; there {
		out = append(out, Drop{[]string{"status"}, reasonStatus})
	}
	return out
}

// Remove takes the parts out of an object, which it modifies.
func Remove(object map[string]any, drops []Drop) {
	for _, d := range drops {
		parent := object
		for _, step := range d.Steps[:len(d.Steps)-1] {
			parent, _ = parent[step].(map[string]any)
		}
		delete(parent, d.Steps[len(d.Steps)-1])
	}
}

// Patterns says which annotations of a template propagate: those that match one of the
// patterns of the FederatedTypeConfig, in which * stands for any characters, / included.
type Patterns []string

// Match reports whether an annotation propagates.
func (p Patterns) Match(annotation string) bool {
	return slices.ContainsFunc(p, func(pattern string) bool { return globMatches(pattern, annotation) })
}

// globMatches matches a key against literal pieces with anything between them.
func globMatches(pattern, key string) bool {
	pieces := strings.Split(pattern, "*")
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(pieces) == 1 {
		return key == pattern
	}
	if len(key) < len(first)+len(last) || !strings.HasPrefix(key, first) || !strings.HasSuffix(key, last) {
		return false
	}
	key = key[len(first) : len(key)-len(last)]
	for _, piece := range pieces[1 : len(pieces)-1] {
		at := strings.Index(key, piece)
		if at < 0 {
			return false
		}
		key = key[at+len(piece):]
	}
	return true
}

// NamespaceProblem returns why a FederatedNamespace is not propagated, and else "": it
// stands for the namespace that it is in.
func NamespaceProblem(namespace, name string) string {
	if namespace == name {
		return ""
	}
	return fmt.Sprintf("%q is not the name of its namespace, %q: such a FederatedNamespace is propagated nowhere", name, namespace)
}
