package render

import (
	"context"
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// Spec is what the manifests of an object are made of, whatever the target.
type Spec struct {
	Template  rawjson.Value
	Overrides []v1beta2.Override
	// PropagatingAnnotations are the patterns of the FederatedTypeConfig.
	PropagatingAnnotations []string
	RetainReplicas         bool
	// Kind of the object in members.
	Kind schema.GroupVersionKind
	// Source is the value of SourceAnnotation.
	Source string
	// Federation is the value of the annotation that names the federation, and empty if
	// objects do not carry it.
	Federation string
}

// Target is what differs between the targets of an object. Manifests keep it: its maps must not
// be modified afterwards.
type Target struct {
	// Name is what overrides call the target by. It and Labels pick those that are for it.
	Name   string
	Labels map[string]string
	// NodeSelector is set in pod templates; nil leaves them alone.
	NodeSelector map[string]string
	// Annotations are set whatever the template and the overrides say: the marks of a
	// namespace.
	Annotations map[string]string
	// ObjectName and Namespace are those of the object in the member. Namespace is empty for
	// cluster-scoped kinds.
	ObjectName, Namespace string
}

// TemplateError says that a template is not a manifest. It concerns every target.
type TemplateError struct{ Problem string }

func (e *TemplateError) Error() string { return "spec.template: " + e.Problem }

// Base makes the manifests of one generation of an object. Make one with Compile; it may
// be used concurrently.
type Base struct {
	kind           schema.GroupVersionKind
	source         string
	federation     string
	retainReplicas bool

	// template is what is sent without overrides, but for the identity. Manifests share it: it
	// is never modified.
	template  map[string]any
	overrides overrides
	// copied is what the template has of the place that it was copied from. It is taken out after the
	// overrides: they may be written against it.
	copied []manifest.Copied
	// labels and annotations are those of manifests whose overrides leave the metadata alone.
	labels, annotations map[string]string
	sizeBytes           int64

	variants memo
}

// Compile reads the template and sorts the overrides. It keeps the overrides of spec,
// which must not be modified afterwards. It returns a *TemplateError, which concerns every
// target and stays until the spec changes, or the error of ctx. What is wrong with an
// override For says, to the targets that it is for.
func Compile(ctx context.Context, spec Spec) (*Base, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	template, err := decodeObject(spec.Template)
	if err != nil {
		return nil, err
	}
	copied := manifest.CopiedFields(template, spec.Kind.GroupKind())
	prepare(template, spec)
	b := &Base{
		copied: copied,
		kind:   spec.Kind, source: spec.Source, federation: spec.Federation, retainReplicas: spec.RetainReplicas,
		template: template,
	}
	if b.overrides, err = sortOverrides(ctx, spec.Overrides); err != nil {
		return nil, err
	}
	metadata := b.identified(template)["metadata"].(map[string]any)
	b.labels, b.annotations = stringMap(metadata["labels"]), b.marked(metadata)
	b.sizeBytes = sizeOf(template) + b.overrides.sizeBytes()
	return b, nil
}

// For returns the manifest of a target: an *OverrideError if one of the overrides that are
// for it cannot be applied, which stays until the spec changes, or the error of ctx.
func (b *Base) For(ctx context.Context, t Target) (*Manifest, error) {
	var few [16]int32
	set, err := b.overrides.match(ctx, t, few[:0])
	if err != nil {
		return nil, err
	}
	v, err := b.variant(ctx, set)
	if err != nil {
		return nil, err
	}
	if v.err != nil {
		return nil, v.err
	}
	return b.manifest(v, t), nil
}

// SizeBytes is about what the base holds in memory, with what it remembers by now, which is
// bounded. It does not count the manifests that For returned.
func (b *Base) SizeBytes() int64 {
	return b.sizeBytes + b.variants.size()
}

// decodeObject reads a template; none at all is an empty object, as a FederatedNamespace
// needs none.
func decodeObject(template rawjson.Value) (map[string]any, error) {
	if len(template) == 0 || string(template) == "null" {
		return map[string]any{}, nil
	}
	if !template.IsObject() {
		return nil, &TemplateError{"must be a JSON object"}
	}
	object := map[string]any{}
	if err := decode(template, &object); err != nil {
		return nil, &TemplateError{err.Error()}
	}
	return object, nil
}

// prepare takes out what is not sent to members, says what the object is, and makes the
// lists and maps that an override may want to add to.
func prepare(object map[string]any, spec Spec) {
	manifest.Remove(object, manifest.Drops(object, manifest.Patterns(spec.PropagatingAnnotations).Match))
	if manifest.IsNamespace(spec.Kind.Kind) {
		manifest.Remove(object, manifest.NamespaceDrops(object))
	}
	metadata := makeMap(object, "metadata")
	makeMap(metadata, "labels")
	makeMap(metadata, "annotations")
	metadata["finalizers"] = []any{}
	object["apiVersion"], object["kind"] = spec.Kind.ToAPIVersionAndKind()
}

// makeMap returns the map in a field, which becomes one if it is none.
func makeMap(parent map[string]any, field string) map[string]any {
	m, ok := parent[field].(map[string]any)
	if !ok {
		m = map[string]any{}
		parent[field] = m
	}
	return m
}

// sizeOf is about what a tree takes in memory.
func sizeOf(tree any) int64 {
	const (
		word     = 8
		anyBytes = 2 * word
		mapBytes = 6 * word
	)
	switch v := tree.(type) {
	case map[string]any:
		size := int64(anyBytes + mapBytes)
		for key, value := range v {
			size += int64(2*anyBytes+len(key)) + sizeOf(value)
		}
		return size
	case []any:
		size := int64(anyBytes + 3*word)
		for _, item := range v {
			size += sizeOf(item)
		}
		return size
	case string:
		return int64(2*anyBytes + len(v))
	case json.Number:
		return int64(2*anyBytes + len(v))
	}
	return anyBytes
}

// Overrides returns the indexes into Spec.Overrides of those that are for a target, in the order in which they are
// applied, or the error of ctx.
func (b *Base) Overrides(ctx context.Context, t Target) ([]int32, error) {
	return b.overrides.match(ctx, t, nil)
}
