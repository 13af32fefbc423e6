package schema

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Target is the schema of a target kind, in OpenAPI v3. It is not modified once
// made, and not copied.
type Target struct {
	// GVK is the kind that it is the schema of.
	GVK schema.GroupVersionKind
	// Root is the key of the kind's own schema in Schemas.
	Root string
	// Schemas are all that Root refers to, and what these refer to.
	Schemas map[string]*spec.Schema

	shapes sync.Map // *spec.Schema to *shape, of those that a template had values for
}

// saysAs reports whether two schemas of a kind, either of which may be nil, are the same.
// What was derived from one since it was made does not count.
func (t *Target) saysAs(other *Target) bool {
	if t == nil || other == nil {
		return t == other
	}
	return t.GVK == other.GVK && t.Root == other.Root && reflect.DeepEqual(t.Schemas, other.Schemas)
}

// shape is what a template's value is compared with: a schema with its references
// followed. Its parts are taken out once, as copying a schema costs more than to look at
// the value.
type shape struct {
	types        []string // allowed JSON types; empty means any
	format       string   // of such a value, see unfit
	properties   map[string]*spec.Schema
	items        *spec.Schema
	anyKey       bool         // keys that are no properties are allowed
	values       *spec.Schema // of such keys, nil if anything goes
	keepsUnknown bool
}

// shape returns the shape of a schema of t, or of what it refers to; nil if that is not
// known.
func (t *Target) shape(s *spec.Schema) *shape {
	if known, ok := t.shapes.Load(s); ok {
		return known.(*shape)
	}
	var out *shape
	if resolved := t.resolve(s); resolved == s && s != nil {
		out = newShape(s)
	} else if resolved != nil {
		out = t.shape(resolved)
	}
	known, _ := t.shapes.LoadOrStore(s, out)
	return known.(*shape)
}

func newShape(s *spec.Schema) *shape {
	out := &shape{types: typesOf(s), format: s.Format, properties: make(map[string]*spec.Schema, len(s.Properties)), keepsUnknown: preservesUnknown(s)}
	for name, property := range s.Properties {
		out.properties[name] = &property
	}
	if s.Items != nil {
		out.items = s.Items.Schema
	}
	if s.AdditionalProperties != nil {
		out.anyKey, out.values = true, s.AdditionalProperties.Schema
	}
	return out
}

// resolve follows references until there is something to look at. It returns nil for
// what is not known.
func (t *Target) resolve(s *spec.Schema) *spec.Schema {
	for range 8 { // longer chains of references do not occur
		switch {
		case s == nil:
			return nil
		case s.Ref.String() != "":
			s = t.Schemas[strings.TrimPrefix(s.Ref.String(), refPrefix)]
		case len(s.AllOf) == 1 && len(s.Properties) == 0:
			s = &s.AllOf[0]
		default:
			return s
		}
	}
	return nil
}

func preservesUnknown(s *spec.Schema) bool {
	preserve, _ := s.Extensions.GetBool("x-kubernetes-preserve-unknown-fields")
	return preserve
}

// typesOf lists the JSON types that a schema allows; empty means any.
func typesOf(s *spec.Schema) []string {
	if intOrString, _ := s.Extensions.GetBool("x-kubernetes-int-or-string"); intOrString || s.Format == "int-or-string" {
		return []string{"integer", "string"}
	}
	if len(s.Type) > 0 {
		return s.Type
	}
	var types []string
	for _, alternatives := range [][]spec.Schema{s.OneOf, s.AnyOf} {
		for _, a := range alternatives {
			for _, t := range a.Type {
				if !slices.Contains(types, t) {
					types = append(types, t)
				}
			}
		}
	}
	return types
}
