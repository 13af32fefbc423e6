package conversion

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// stashPath is where a v1beta1 client finds the stash.
var stashPath = field.NewPath("metadata", "annotations").Key(v1beta1.TopologyAnnotation)

// plainStashes are the stashes of objects that have nothing but a topologyType: nearly
// all of them, so they are neither encoded nor decoded.
var plainStashes = map[string]string{
	v1beta2.TopologyCell:     `{"topologyType":"cell"}`,
	v1beta2.TopologyEdgeUnit: `{"topologyType":"edgeunit"}`,
}

// Stash returns the value of v1beta1.TopologyAnnotation for the object: "" if the
// cluster shape can say all of it.
func Stash(in *v1beta2.FederatedObject) (string, error) {
	topologyType := in.Spec.TopologyType
	if topologyType == v1beta2.TopologyCluster {
		topologyType = ""
	}
	selectors := selectorOverrides(in.Spec.Overrides)
	if in.Spec.PlacementMask == nil && selectors == nil {
		if topologyType == "" {
			return "", nil
		}
		if plain, ok := plainStashes[topologyType]; ok {
			return plain, nil
		}
	}
	// Raw values must come back byte by byte, so nothing is escaped for HTML.
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v1beta1.TopologyStash{
		TopologyType:      topologyType,
		PlacementMask:     in.Spec.PlacementMask,
		SelectorOverrides: selectors,
	})
	if err != nil {
		return "", fmt.Errorf("encode annotation %s: %w", v1beta1.TopologyAnnotation, err)
	}
	return string(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), nil
}

func selectorOverrides(overrides []v1beta2.Override) []v1beta1.IndexedOverride {
	var out []v1beta1.IndexedOverride
	for i := range overrides {
		if overrides[i].TopologySelector != nil {
			out = append(out, v1beta1.IndexedOverride{Index: i, Override: overrides[i]})
		}
	}
	return out
}

// readStash decodes the annotation's value. Fields that it does not know are refused:
// they would be lost.
func readStash(value string) (v1beta1.TopologyStash, *field.Error) {
	var stash v1beta1.TopologyStash
	for topologyType, plain := range plainStashes {
		if value == plain {
			stash.TopologyType = topologyType
			return stash, nil
		}
	}
	d := json.NewDecoder(bytes.NewReader([]byte(value)))
	d.DisallowUnknownFields()
	err := d.Decode(&stash)
	if err == nil {
		if _, rest := d.Token(); !errors.Is(rest, io.EOF) {
			err = errors.New("more than one JSON value")
		}
	}
	if err != nil {
		// The value is left out: it may hold overrides of a Secret, and refusals are audited.
		return stash, field.Invalid(stashPath, field.OmitValueType{},
			fmt.Sprintf("must be the JSON that this server wrote there, with topologyType, placementMask, selectorOverrides: %v", err))
	}
	for i := range stash.SelectorOverrides {
		if stash.SelectorOverrides[i].Override.TopologySelector == nil {
			return stash, field.Required(stashPath.Child("selectorOverrides").Index(i).Child("override", "topologySelector"),
				"an override by name belongs in spec.overrides")
		}
	}
	return stash, nil
}

// ReadStash decodes the value of v1beta1.TopologyAnnotation. The error, a *field.Error, says
// what is wrong with one that this server did not write.
func ReadStash(value string) (v1beta1.TopologyStash, error) {
	stash, err := readStash(value)
	if err != nil {
		return stash, err
	}
	return stash, nil
}

// HasStash reports whether a write through v1beta1 carries the topology itself, so that
// nothing needs to be restored.
func HasStash(in *v1beta1.FederatedObject) bool {
	_, ok := in.Annotations[v1beta1.TopologyAnnotation]
	return ok
}

// withAnnotation returns annotations with the stash set, or without it if it is empty.
// The given map is copied if it has to change, else shared.
func withAnnotation(annotations map[string]string, stash string) map[string]string {
	if _, there := annotations[v1beta1.TopologyAnnotation]; !there && stash == "" {
		return annotations
	}
	out := make(map[string]string, len(annotations)+1)
	maps.Copy(out, annotations)
	delete(out, v1beta1.TopologyAnnotation)
	if stash != "" {
		out[v1beta1.TopologyAnnotation] = stash
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// insertSelectorOverrides puts overrides by selector back among named, each at its
// index in the whole list. Where the list has become shorter they go to its end; the
// order among themselves, and among named, stays. named is not modified.
func insertSelectorOverrides(named []v1beta2.Override, selectors []v1beta1.IndexedOverride) []v1beta2.Override {
	if len(selectors) == 0 {
		return named
	}
	selectors = slices.Clone(selectors)
	slices.SortStableFunc(selectors, func(a, b v1beta1.IndexedOverride) int { return cmp.Compare(a.Index, b.Index) })
	out := make([]v1beta2.Override, 0, len(named)+len(selectors))
	for _, s := range selectors {
		for len(out) < s.Index && len(named) > 0 {
			out = append(out, named[0])
			named = named[1:]
		}
		out = append(out, s.Override)
	}
	return append(out, named...)
}
