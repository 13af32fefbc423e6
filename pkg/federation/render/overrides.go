package render

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// OverrideError says which override cannot be applied. It concerns the targets that the
// override is for.
type OverrideError struct {
	// Override and Patch are indexes into spec.overrides and its topologyOverrides.
	// Patch is -1 if the override itself is wrong.
	Override, Patch int
	// Path of the patch.
	Path string
	// Problem in words.
	Problem string
}

func (e *OverrideError) Error() string {
	if e.Patch < 0 {
		return fmt.Sprintf("spec.overrides[%d]: %s", e.Override, e.Problem)
	}
	return fmt.Sprintf("spec.overrides[%d].topologyOverrides[%d] (path %q): %s", e.Override, e.Patch, e.Path, e.Problem)
}

// checkEvery is how many steps of a loop are made before its context is looked at again.
const checkEvery = 256

// checkpoint returns the error of ctx at every checkEvery-th step of a loop.
func checkpoint(ctx context.Context, step int) error {
	if step%checkEvery != checkEvery-1 {
		return nil
	}
	return ctx.Err()
}

// overrides are those of a spec, such that those for a target are found without a look at
// all of them.
type overrides struct {
	// all is in the order of the spec; the others hold indexes into it, which rise.
	all        []*override
	byName     map[string][]int32
	bySelector []selected
}

// selected is an override by selector.
type selected struct {
	index    int32
	selector labels.Selector
}

// override is one of the spec. Its patches are made ready when a target needs them first.
type override struct {
	index   int
	patches []v1beta2.OverridePatch

	mu         sync.Mutex // guards what follows
	ready      bool
	operations []operation
	refused    *OverrideError
}

func sortOverrides(ctx context.Context, spec []v1beta2.Override) (overrides, error) {
	out := overrides{all: make([]*override, len(spec)), byName: make(map[string][]int32, len(spec))}
	for i := range spec {
		if err := checkpoint(ctx, i); err != nil {
			return overrides{}, err
		}
		o, index := &override{index: i, patches: spec[i].TopologyOverrides}, int32(i)
		out.all[i] = o
		if spec[i].TopologySelector == nil {
			out.byName[spec[i].TopologyName] = append(out.byName[spec[i].TopologyName], index)
			continue
		}
		selector, err := placement.OverrideSelector(spec[i].TopologySelector)
		if err != nil {
			// Nobody knows whom it is for: it fails every target.
			selector = labels.Everything()
			o.ready, o.refused = true, &OverrideError{Override: i, Patch: -1, Problem: "topologySelector: " + err.Error()}
		}
		out.bySelector = append(out.bySelector, selected{index, selector})
	}
	return out, nil
}

// match appends the indexes of the overrides for a target to set, in the order of the spec.
func (o *overrides) match(ctx context.Context, t Target, set []int32) ([]int32, error) {
	for i, s := range o.bySelector {
		if err := checkpoint(ctx, i); err != nil {
			return nil, err
		}
		if s.selector.Matches(labels.Set(t.Labels)) {
			set = append(set, s.index)
		}
	}
	named := o.byName[t.Name]
	if len(named) == 0 {
		return set, nil
	}
	set = append(set, named...)
	slices.Sort(set)
	return set, nil
}

// sizeBytes is about what they take in memory once all are ready.
func (o *overrides) sizeBytes() int64 {
	const (
		overrideBytes = 256
		patchBytes    = 256
		decoded       = 3 // times the JSON of a value
	)
	size := int64(0)
	for _, one := range o.all {
		size += overrideBytes
		for i := range one.patches {
			size += int64(patchBytes + 2*len(one.patches[i].Path) + decoded*len(one.patches[i].Value))
		}
	}
	return size
}

// operations lists the patches of a set of overrides, in the order they are written. It
// returns an *OverrideError if one cannot be applied to any template, or the error of ctx.
func (o *overrides) operations(ctx context.Context, set []int32, kind schema.GroupVersionKind) ([][]operation, error) {
	out := make([][]operation, 0, len(set))
	for _, i := range set {
		some, err := o.all[i].prepare(ctx, kind)
		if err != nil {
			return nil, err
		}
		out = append(out, some)
	}
	return out, nil
}

func (o *override) prepare(ctx context.Context, kind schema.GroupVersionKind) ([]operation, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ready {
		operations := make([]operation, 0, len(o.patches))
		for j := range o.patches {
			if err := checkpoint(ctx, j); err != nil {
				return nil, err
			}
			op, refused := newOperation(o.index, j, &o.patches[j], kind)
			if refused != nil {
				o.ready, o.refused = true, refused
				return nil, refused
			}
			if op != nil {
				operations = append(operations, *op)
			}
		}
		o.ready, o.operations = true, operations
	}
	if o.refused != nil {
		return nil, o.refused
	}
	return o.operations, nil
}

// operation is a patch that is ready to be applied.
type operation struct {
	override, index int
	op              string
	path            string
	steps           []string
	// value is shared by the manifests that it is set in.
	value any
}

func (o *operation) fail(problem string) *OverrideError {
	return &OverrideError{Override: o.override, Patch: o.index, Path: o.path, Problem: problem}
}

// newOperation asks what admission asks, too: objects may be older than its rules. It
// returns nil for what admission has said that it is not sent.
func newOperation(override, index int, patch *v1beta2.OverridePatch, kind schema.GroupVersionKind) (*operation, *OverrideError) {
	patch = &v1beta2.OverridePatch{Op: manifest.Operation(patch), Path: patch.Path, Value: manifest.Value(patch)}
	o := &operation{override: override, index: index, op: patch.Op, path: patch.Path}
	nowhere := func() *field.Path { return nil }
	errs := manifest.PatchErrors(patch, kind.GroupVersion().String(), nowhere)
	if len(errs) == 0 && manifest.IsNamespace(kind.Kind) {
		errs = manifest.NamespacePatchErrors(patch, nowhere)
	}
	if len(errs) > 0 {
		return nil, o.fail(errs[0].ErrorBody())
	}
	if manifest.PatchDrop(patch) != "" {
		return nil, nil
	}
	o.steps, _ = manifest.Steps(patch.Path)
	if o.op == manifest.OpRemove {
		return o, nil
	}
	var err error
	if o.value, err = decodeValue(patch.Value); err != nil {
		return nil, o.fail("value: " + err.Error())
	}
	if len(o.steps)+depthOf(o.value) > depthLimit {
		return nil, o.fail(fmt.Sprintf("puts more than %d objects and lists around one another", depthLimit))
	}
	return o, nil
}

// depthLimit is how many objects and lists encoding/json reads around one another.
const depthLimit = 10_000

// depthOf counts the objects and lists around one another.
func depthOf(tree any) int {
	deepest := 0
	switch v := tree.(type) {
	case map[string]any:
		for _, value := range v {
			deepest = max(deepest, depthOf(value))
		}
	case []any:
		for _, item := range v {
			deepest = max(deepest, depthOf(item))
		}
	default:
		return 0
	}
	return deepest + 1
}
