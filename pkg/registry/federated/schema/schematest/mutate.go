package schematest

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Mutate changes a few things at random in the schemas of a document: values are removed, moved
// into others and replaced by what does not belong there.
func Mutate(random *rand.Rand, document []byte) []byte {
	var tree map[string]any
	if err := json.Unmarshal(document, &tree); err != nil {
		panic(err) // the caller's document is none
	}
	for range 1 + random.IntN(3) {
		places := placesIn(tree["components"].(map[string]any)["schemas"], nil)
		if len(places) == 0 {
			break
		}
		at := places[random.IntN(len(places))]
		from := places[random.IntN(len(places))]
		value := from.value
		if random.IntN(3) != 0 {
			value = strange[random.IntN(len(strange))]
		}
		at.set(copied(value))
	}
	data, err := json.Marshal(tree)
	if err != nil {
		panic(err) // what was read can be written
	}
	return data
}

// remove is for a place that shall be empty.
type remove struct{}

// strange are values that may stand anywhere.
var strange = []any{
	remove{}, nil, "", "object", "array", "string", "null", true, -1.0, 1e300, "x\u0000\uFFFD", strings.Repeat("long", 100),
	[]any{}, []any{nil}, []any{"a", "b"}, []any{"name"}, []any{map[string]any{}}, map[string]any{}, map[string]any{"": nil},
	map[string]any{"type": ""}, map[string]any{"type": []any{}}, map[string]any{"type": "array"}, map[string]any{"items": []any{}}, map[string]any{"additionalProperties": nil},
	map[string]any{"$ref": ""}, map[string]any{"$ref": "#/components/schemas/nope"}, map[string]any{"$ref": "#/components/schemas/com.example.v1.Widget"},
	map[string]any{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}, map[string]any{"$ref": "%zz"},
	map[string]any{"allOf": []any{map[string]any{"$ref": "#/components/schemas/com.example.v1.Tree"}}},
	map[string]any{"x-kubernetes-list-type": "map"}, map[string]any{"x-kubernetes-group-version-kind": "x"},
	[]any{map[string]any{"group": "types.kubefed.io", "version": "v1beta2", "kind": "FederatedDeployment"}},
}

// place is where a value is, and how to put another there.
type place struct {
	value any
	put   func(any)
}

func (p place) set(value any) { p.put(value) }

// placesIn lists all values inside one, in an order that is always the same.
func placesIn(value any, out []place) []place {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out = placesIn(v[key], append(out, place{v[key], func(value any) {
				if _, ok := value.(remove); ok {
					delete(v, key)
				} else {
					v[key] = value
				}
			}}))
		}
	case []any:
		for i := range v {
			out = placesIn(v[i], append(out, place{v[i], func(value any) {
				if _, ok := value.(remove); !ok {
					v[i] = value
				}
			}}))
		}
	}
	return out
}

// copied is a copy, so that no value comes to be inside itself, and no change of a document is one
// of what may stand in the next.
func copied(value any) any {
	if _, ok := value.(remove); ok {
		return value
	}
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // what was read can be written
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return out
}
