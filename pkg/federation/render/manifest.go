package render

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// SourceAnnotation is on every object in a member that we wrote, and names the federated
// object that it came from: <namespace>/<name>, or <name> for cluster-scoped ones.
const SourceAnnotation = manifest.SourceAnnotation

// NoSource is the value of SourceAnnotation on a namespace that was made because objects
// were placed in it, not because a FederatedNamespace says so. No object has this name.
const NoSource = manifest.NoSource

// Manifest is what a target should run.
type Manifest struct {
	// Hash is 16 hexadecimal digits that stand for what is sent: the same object gives the
	// same, whatever the way it was written. That retainReplicas is set counts as well, the
	// annotation of Spec.Federation does not.
	Hash string
	// Version is the kind's, unless an override has another one for a member that does not
	// serve that.
	Version schema.GroupVersion
	// Labels and Annotations are those of the object. Manifests share them: never modify them.
	Labels, Annotations map[string]string

	base           *Base
	variant        *variant
	target         Target
	kind           schema.GroupVersionKind
	retainReplicas bool
}

// manifest adds the target to a variant.
func (b *Base) manifest(v *variant, t Target) *Manifest {
	m := &Manifest{
		Hash: placed(v, t), Version: v.version, Labels: v.labels, Annotations: v.annotations,
		base: b, variant: v, target: t, kind: b.kind, retainReplicas: b.retainReplicas,
	}
	if v.namedByLabel {
		m.Labels = maps.Clone(m.Labels)
		m.Labels[corev1.LabelMetadataName] = t.ObjectName
	}
	if len(t.Annotations) > 0 {
		m.Annotations = maps.Clone(m.Annotations)
		maps.Copy(m.Annotations, t.Annotations)
	}
	return m
}

// Object returns the object to send, a tree of its own: numbers are json.Number, the rest is
// as encoding/json decodes it. It costs as much as the template is large, and applies the
// overrides again.
func (m *Manifest) Object() map[string]any {
	object := runtime.DeepCopyJSON(m.base.identified(m.tree()))
	manifest.TakeOut(object, m.base.copied)
	metadata := makeMap(object, "metadata")
	metadata["name"] = m.target.ObjectName
	if m.target.Namespace != "" {
		metadata["namespace"] = m.target.Namespace
	}
	if m.variant.namedByLabel {
		makeMap(metadata, "labels")[corev1.LabelMetadataName] = m.target.ObjectName
	}
	annotations := makeMap(metadata, "annotations")
	if m.base.federation != "" {
		annotations[federationv1alpha1.FederationAnnotation] = m.base.federation
	}
	for key, value := range m.target.Annotations {
		annotations[key] = value
	}
	if m.variant.pods != nil && len(m.target.NodeSelector) > 0 {
		nodeSelector := makeMap(child(object, m.variant.pods...), "nodeSelector")
		for key, value := range m.target.NodeSelector {
			nodeSelector[key] = value
		}
	}
	return object
}

// tree is the template with the overrides. It shares with the template.
func (m *Manifest) tree() map[string]any {
	if len(m.variant.set) == 0 {
		return m.base.template
	}
	// For has applied them already, to the same template.
	ctx := context.Background()
	operations, err := m.base.overrides.operations(ctx, m.variant.set, m.base.kind)
	if err != nil {
		panic(fmt.Sprintf("render: %v, which had no error before", err))
	}
	tree, err := patched(ctx, m.base.template, operations)
	if err != nil {
		panic(fmt.Sprintf("render: %v, which had no error before", err))
	}
	return tree
}

// Has reports whether an object with these labels and annotations carries those of the
// manifest. Further ones belong to the member. The annotation of Spec.Federation is not
// asked for: objects that an older release wrote have none.
func (m *Manifest) Has(liveLabels, liveAnnotations map[string]string) bool {
	for key, value := range m.Annotations {
		if got, there := liveAnnotations[key]; there && got == value {
			continue
		}
		if _, marks := m.target.Annotations[key]; key != federationv1alpha1.FederationAnnotation || marks {
			return false
		}
	}
	return contains(liveLabels, m.Labels)
}

func contains(have, want map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// child walks down maps; nil if there is none at the end.
func child(object map[string]any, steps ...string) map[string]any {
	for _, step := range steps {
		object, _ = object[step].(map[string]any)
	}
	return object
}

// stringMap returns the strings in a map.
func stringMap(value any) map[string]string {
	m, _ := value.(map[string]any)
	out := make(map[string]string, len(m)+1)
	for key, v := range m {
		if s, ok := v.(string); ok {
			out[key] = s
		}
	}
	return out
}
