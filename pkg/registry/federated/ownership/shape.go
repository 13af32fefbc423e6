package ownership

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// Fields of the tracked shape that are spoken of here.
const (
	topologyTypeField = "topologyType"
	maskField         = "placementMask"
	overridesField    = "overrides"
	byNameField       = "topologyName"
	bySelectorField   = "topologySelector"
	orderField        = "order"
)

// orderSeparator is between the indices that orderField holds.
const orderSeparator = ","

// view is an object in the tracked shape: what the field manager works on. Its apiVersion is
// the version of the request, whose words its names are in.
type view struct{ unstructured.Unstructured }

// DeepCopyObject returns a copy.
func (v *view) DeepCopyObject() runtime.Object { return &view{*v.DeepCopy()} }

// newView shows an object to the field manager of version, without its managedFields.
func newView(obj *typesv1beta2.FederatedObject, version schema.GroupVersion) (*view, error) {
	bare := *obj
	if version == federated.V1beta1 {
		bare = *conversion.InClusterWords(obj)
	}
	bare.ManagedFields = nil
	tree, err := treeOf(&bare)
	if err != nil {
		return nil, err
	}
	tree["apiVersion"] = version.String()
	spec := child(tree, "spec")
	if list, ok := spec[overridesField].([]any); ok {
		spec[overridesField] = splitOverrides(list)
	}
	if version == federated.V1beta1 {
		hideUnsaid(spec)
	}
	return &view{unstructured.Unstructured{Object: tree}}, nil
}

// hideUnsaid takes out what v1beta1 does not say of an object: its type if that is cluster,
// that it has no overrides by selector, or that it has no others.
func hideUnsaid(spec map[string]any) {
	if spec[topologyTypeField] == typesv1beta2.TopologyCluster {
		delete(spec, topologyTypeField)
	}
	overrides := child(spec, overridesField)
	named, _ := overrides[byNameField].([]any)
	selecting, _ := overrides[bySelectorField].([]any)
	switch {
	case len(selecting) == 0:
		delete(overrides, bySelectorField)
		delete(overrides, orderField)
	case len(named) == 0:
		delete(overrides, byNameField)
	}
}

func treeOf(obj runtime.Object) (map[string]any, error) {
	var buf bytes.Buffer
	if _, err := wire.WriteJSON(obj, &buf); err != nil {
		return nil, err
	}
	var tree map[string]any
	return tree, utiljson.Unmarshal(buf.Bytes(), &tree)
}

// object returns what the view shows, with names in the words of the version that the view
// was made for, which APIVersion says.
func (v *view) object() (*typesv1beta2.FederatedObject, error) {
	tree := maps.Clone(v.Object)
	if spec := child(tree, "spec"); spec != nil {
		spec = maps.Clone(spec)
		tree["spec"] = spec
		if overrides, ok := spec[overridesField].(map[string]any); ok {
			spec[overridesField] = joinOverrides(overrides)
		}
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	out := &typesv1beta2.FederatedObject{}
	if err := json.Unmarshal(data, out); err != nil {
		return nil, fmt.Errorf("read %s %s/%s: %w", v.GetKind(), v.GetNamespace(), v.GetName(), err)
	}
	return out, nil
}

// splitOverrides turns the list of v1beta2 into the fields that are tracked.
func splitOverrides(list []any) map[string]any {
	named, selecting := []any{}, []any{}
	var order []string
	for i, item := range list {
		if fields, ok := item.(map[string]any); ok && fields["topologySelector"] != nil {
			selecting, order = append(selecting, item), append(order, strconv.Itoa(i))
		} else {
			named = append(named, item)
		}
	}
	return map[string]any{byNameField: named, bySelectorField: selecting, orderField: strings.Join(order, orderSeparator)}
}

// joinOverrides is the inverse. Where the order does not fit, since a part of the list was
// replaced or removed, overrides by selector go to the end. It returns nil if there is no
// list.
func joinOverrides(overrides map[string]any) any {
	named, hasNamed := overrides[byNameField].([]any)
	selecting, hasSelecting := overrides[bySelectorField].([]any)
	if !hasNamed && !hasSelecting {
		return nil
	}
	out := make([]any, 0, len(named)+len(selecting))
	text, _ := overrides[orderField].(string)
	for place := range strings.SplitSeq(text, orderSeparator) {
		index, err := strconv.Atoi(place)
		if err != nil || len(selecting) == 0 {
			break
		}
		before := max(0, min(index-len(out), len(named)))
		out, named = append(out, named[:before]...), named[before:]
		out, selecting = append(out, selecting[0]), selecting[1:]
	}
	return append(append(out, named...), selecting...)
}

// child returns a field that is an object, or nil.
func child(tree map[string]any, name string) map[string]any {
	c, _ := tree[name].(map[string]any)
	return c
}
