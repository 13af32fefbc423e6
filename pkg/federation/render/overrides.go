package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

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

// operation is a patch with the place it came from.
type operation struct {
	override, index int
	v1beta2.OverridePatch
}

func (o operation) fail(problem string) *OverrideError {
	return &OverrideError{Override: o.override, Patch: o.index, Path: o.Path, Problem: problem}
}

func applyOverrides(object map[string]any, in Input) (map[string]any, error) {
	operations, err := operationsFor(object, in)
	if err != nil || len(operations) == 0 {
		return object, err
	}
	data, err := encode(object)
	if err != nil {
		return nil, &TemplateError{err.Error()}
	}
	patched, err := apply(data, operations)
	if err != nil {
		return nil, err
	}
	object = map[string]any{}
	if err := decode(patched, &object); err != nil {
		return nil, &TemplateError{"is no object after the overrides: " + err.Error()}
	}
	return object, nil
}

// operationsFor lists the patches of object for one target, in the order they are written.
func operationsFor(object map[string]any, in Input) ([]operation, error) {
	var out []operation
	for i, override := range in.Overrides {
		var selector labels.Selector
		if override.TopologySelector != nil {
			var err error
			if selector, err = metav1.LabelSelectorAsSelector(override.TopologySelector); err != nil {
				return nil, &OverrideError{Override: i, Patch: -1, Problem: "topologySelector: " + err.Error()}
			}
		}
		if !selects(override, in.TargetName, selector, in.TargetLabels) {
			continue
		}
		for j, patch := range override.TopologyOverrides {
			op := operation{i, j, patch}
			if err := op.check(object, in.Kind); err != nil {
				return nil, err
			}
			if manifest.PatchDrop(&op.OverridePatch) == "" { // else admission has said that it is not sent
				out = append(out, op)
			}
		}
	}
	return out, nil
}

// check asks what admission asks, too: objects may be older than its rules.
func (o *operation) check(object map[string]any, kind schema.GroupVersionKind) error {
	o.Op, o.Value = manifest.Operation(&o.OverridePatch), manifest.Value(&o.OverridePatch)
	nowhere := func() *field.Path { return nil }
	errs := manifest.PatchErrors(&o.OverridePatch, kind.GroupVersion().String(), nowhere)
	if len(errs) == 0 && manifest.IsNamespace(kind.Kind) {
		errs = manifest.NamespacePatchErrors(&o.OverridePatch, nowhere)
	}
	if len(errs) > 0 {
		return o.fail(errs[0].ErrorBody())
	}
	return nil
}

// apply tries all patches at once, and one by one if that fails, to name the culprit.
func apply(data []byte, all []operation) ([]byte, error) {
	if patched, err := applySome(data, all); err == nil {
		return patched, nil
	}
	for _, op := range all {
		patched, err := applySome(data, []operation{op})
		if err != nil {
			return nil, op.fail(op.problem(err))
		}
		data = patched
	}
	return data, nil
}

// problem says why the patch cannot be applied. The library speaks of the steps that a replace
// is made of.
func (o operation) problem(err error) string {
	if !errors.Is(err, jsonpatch.ErrMissing) {
		return err.Error()
	}
	switch o.Op {
	case manifest.OpReplace:
		return "there is nothing to replace at this path; op: add sets what is not there (a patch without op replaces)"
	case manifest.OpRemove:
		return "there is nothing to remove at this path"
	default:
		return "what this path leads through is not there; add that first"
	}
}

func applySome(data []byte, some []operation) ([]byte, error) {
	patch := make(jsonpatch.Patch, 0, len(some))
	for _, op := range some {
		for _, step := range op.steps() {
			one, err := patchOperation(step, op.Path, op.Value)
			if err != nil {
				return nil, err
			}
			patch = append(patch, one)
		}
	}
	return patch.Apply(data)
}

// steps says which operations of the library do what op says. Its replace takes a
// missing member for an add; RFC 6902 and KubeFed refuse that, and so does a remove that
// comes first. An index from the end (KubeFed allows it) would move by that.
func (o operation) steps() []string {
	fromEnd := strings.HasPrefix(o.Path[strings.LastIndex(o.Path, "/")+1:], "-")
	if o.Op == "replace" && !fromEnd {
		return []string{"remove", "add"}
	}
	return []string{o.Op}
}

func patchOperation(op, path string, value []byte) (jsonpatch.Operation, error) {
	fields := map[string]any{"op": op, "path": path}
	if op != "remove" {
		fields["value"] = json.RawMessage(value)
	}
	out := jsonpatch.Operation{}
	for name, value := range fields {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		raw := json.RawMessage(data)
		out[name] = &raw
	}
	return out, nil
}
