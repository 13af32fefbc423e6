package render

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// variant is what the targets with one set of overrides have in common. It has no tree: a
// thousand variants of a large template would be too much to keep.
type variant struct {
	// set is indexes into spec.overrides.
	set []int32
	// err is the *OverrideError of all these targets; nothing below is set then.
	err error

	// digest stands for what is sent, without what the target says.
	digest              [sha256.Size]byte
	version             schema.GroupVersion
	labels, annotations map[string]string
	// pods leads to what the node selector of a target goes into; nil if there are no pods.
	pods []string
	// namedByLabel: the label kubernetes.io/metadata.name is sent. API servers set it to the name,
	// whatever is sent.
	namedByLabel bool
}

// variant returns what comes of a set of overrides: remembered, or made. The error is that
// of ctx.
func (b *Base) variant(ctx context.Context, set []int32) (*variant, error) {
	var few [64]byte
	key := few[:0]
	for _, i := range set {
		key = binary.BigEndian.AppendUint32(key, uint32(i))
	}
	if v := b.variants.get(key); v != nil {
		return v, nil
	}
	v, err := b.newVariant(ctx, append([]int32(nil), set...))
	if err != nil {
		return nil, err
	}
	b.variants.put(key, v)
	return v, nil
}

func (b *Base) newVariant(ctx context.Context, set []int32) (*variant, error) {
	v := &variant{set: set}
	operations, err := b.overrides.operations(ctx, set, b.kind)
	if err == nil {
		var tree map[string]any
		if tree, err = patched(ctx, b.template, operations); err == nil {
			b.describe(v, b.withoutCopied(b.identified(tree)), operations)
		}
	}
	var refused *OverrideError
	if err != nil && !errors.As(err, &refused) {
		return nil, err // of ctx: it says nothing of the overrides
	}
	v.err = err
	return v, nil
}

// describe fills in what is known of a variant by its tree.
func (b *Base) describe(v *variant, tree map[string]any, operations [][]operation) {
	metadata := tree["metadata"].(map[string]any)
	v.labels, v.annotations = b.labels, b.annotations
	if changesMetadata(operations) {
		v.labels, v.annotations = stringMap(metadata["labels"]), b.marked(metadata)
	}
	_, labelled := v.labels[corev1.LabelMetadataName]
	v.namedByLabel = labelled && manifest.IsNamespace(b.kind.Kind)
	v.version, v.pods = b.versionOf(tree), podsOf(tree)
	v.digest = digest(tree, b.retainReplicas)
}

// withoutCopied returns a tree without what the template was copied with, and modifies nothing.
func (b *Base) withoutCopied(tree map[string]any) map[string]any {
	if len(b.copied) == 0 {
		return tree
	}
	tree = runtime.DeepCopyJSON(tree)
	manifest.TakeOut(tree, b.copied)
	return tree
}

func changesMetadata(operations [][]operation) bool {
	for _, some := range operations {
		for i := range some {
			if some[i].steps[0] == "metadata" {
				return true
			}
		}
	}
	return false
}

// versionOf is the kind's version, unless an override has set another one.
func (b *Base) versionOf(tree map[string]any) schema.GroupVersion {
	apiVersion, _ := tree["apiVersion"].(string)
	if version, err := schema.ParseGroupVersion(apiVersion); err == nil {
		return version
	}
	return b.kind.GroupVersion()
}

// identified returns a tree with what no template and no override may change, but for what
// the target says. The version is one that an override may. It shares with tree all but the
// maps that it sets something in, and modifies nothing.
func (b *Base) identified(tree map[string]any) map[string]any {
	tree = maps.Clone(tree)
	metadata := cloneMap(tree, "metadata")
	manifest.Remove(tree, manifest.ServerFields(tree))
	tree["kind"] = b.kind.Kind
	for _, key := range []string{"name", "namespace", "generateName"} {
		delete(metadata, key)
	}
	marks := cloneMap(metadata, "labels")
	marks[v1beta1.ManagedLabel] = "true"
	if _, there := marks[corev1.LabelMetadataName]; there && manifest.IsNamespace(b.kind.Kind) {
		marks[corev1.LabelMetadataName] = "" // the target's
	}
	annotations := cloneMap(metadata, "annotations")
	annotations[SourceAnnotation] = b.source
	delete(annotations, federationv1alpha1.FederationAnnotation) // no part of the hash; see marked
	delete(annotations, v1beta1.AdoptedAnnotation)               // said by who adopts
	if list, ok := metadata["finalizers"].([]any); ok && len(list) == 0 {
		delete(metadata, "finalizers")
	}
	return tree
}

// cloneMap puts a copy of the map in a field, or a new one if it is none, and returns it.
func cloneMap(parent map[string]any, field string) map[string]any {
	m, _ := parent[field].(map[string]any)
	if m = maps.Clone(m); m == nil {
		m = map[string]any{}
	}
	parent[field] = m
	return m
}

// marked returns the annotations in metadata, and that of the federation.
func (b *Base) marked(metadata map[string]any) map[string]string {
	annotations := stringMap(metadata["annotations"])
	if b.federation != "" {
		annotations[federationv1alpha1.FederationAnnotation] = b.federation
	}
	return annotations
}

// podsOf leads to the pods of a workload, a CronJob or a Pod; nil for kinds without pods.
func podsOf(tree map[string]any) []string {
	for _, steps := range [][]string{
		{"spec", "template", "spec"},
		{"spec", "jobTemplate", "spec", "template", "spec"},
	} {
		if child(tree, steps...) != nil {
			return steps
		}
	}
	if pod := child(tree, "spec"); pod != nil && pod["containers"] != nil {
		return []string{"spec"}
	}
	return nil
}

// memoLimitBytes bounds what a base remembers: some 40,000 sets of overrides.
const memoLimitBytes = 16 << 20

// memo remembers variants by the overrides that they are of.
type memo struct {
	mu        sync.Mutex // guards what follows
	variants  map[string]*variant
	sizeBytes int64
}

func (m *memo) get(key []byte) *variant {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.variants[string(key)]
}

// put remembers a variant. What has no room any more is forgotten in no order: the targets of an
// object come round and round, so that the oldest would be the next to be asked for.
func (m *memo) put(key []byte, v *variant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.variants == nil {
		m.variants = map[string]*variant{}
	}
	if _, there := m.variants[string(key)]; there {
		return // somebody else made it, too
	}
	for other, old := range m.variants {
		if m.sizeBytes+v.sizeBytes() <= memoLimitBytes {
			break
		}
		delete(m.variants, other)
		m.sizeBytes -= old.sizeBytes()
	}
	m.variants[string(key)] = v
	m.sizeBytes += v.sizeBytes()
}

func (m *memo) size() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sizeBytes
}

// sizeBytes is about what a variant takes in a memo. Strings are shared with the template and the
// overrides.
func (v *variant) sizeBytes() int64 {
	const variantBytes, indexBytes, entryBytes = 320, 8, 48
	size := variantBytes + indexBytes*len(v.set) + entryBytes*(len(v.labels)+len(v.annotations))
	if v.err != nil {
		size += len(v.err.Error())
	}
	return int64(size)
}
