package federated

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// refPrefix of references between schemas of OpenAPI v3.
const refPrefix = "#/components/schemas/"

// TargetSchema is the schema of a target kind, in OpenAPI v3. It is not modified once
// made, and not copied.
type TargetSchema struct {
	// GVK is the kind that it is the schema of.
	GVK schema.GroupVersionKind
	// Root is the key of the kind's own schema in Schemas.
	Root string
	// Schemas are all that Root refers to, and what these refer to.
	Schemas map[string]*spec.Schema

	shapes sync.Map // *spec.Schema to *shape, of those that a template had values for
}

// shape is what a template's value is compared with: a schema with its references
// followed. Its parts are taken out once, as copying a schema costs more than to look at
// the value.
type shape struct {
	types        []string // allowed JSON types; empty means any
	properties   map[string]*spec.Schema
	items        *spec.Schema
	anyKey       bool         // keys that are no properties are allowed
	values       *spec.Schema // of such keys, nil if anything goes
	keepsUnknown bool
}

// shape returns the shape of a schema of t, or of what it refers to; nil if that is not
// known.
func (t *TargetSchema) shape(s *spec.Schema) *shape {
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
	out := &shape{types: typesOf(s), properties: make(map[string]*spec.Schema, len(s.Properties)), keepsUnknown: preservesUnknown(s)}
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

// SchemaSource knows the schemas of target kinds.
type SchemaSource interface {
	// TargetSchemas returns the schemas of those of the kinds that it knows. It may take
	// some 100 ms for all of them, and is asked for all at once.
	TargetSchemas(kinds []schema.GroupVersionKind) map[schema.GroupVersionKind]*TargetSchema
}

// resolve follows references until there is something to look at. It returns nil for
// what is not known.
func (t *TargetSchema) resolve(s *spec.Schema) *spec.Schema {
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

// isScalable reports whether the kind has spec.replicas.
func (t *TargetSchema) isScalable() bool {
	if t == nil {
		return false
	}
	root := t.resolve(t.Schemas[t.Root])
	if root == nil {
		return false
	}
	specSchema, ok := root.Properties["spec"]
	if !ok {
		return false
	}
	resolved := t.resolve(&specSchema)
	if resolved == nil {
		return false
	}
	replicas, ok := resolved.Properties["replicas"]
	return ok && replicas.Type.Contains("integer")
}

// unknownFields lists the fields of a template that its kind does not have.
func unknownFields(t *TargetSchema, template rawjson.Value) field.ErrorList {
	return walkTemplate(t, template, func(w *walker) { w.reportUnknown = true })
}

// wrongTypes lists the values of a template that are not of the type the kind wants.
func wrongTypes(t *TargetSchema, template rawjson.Value) field.ErrorList {
	return walkTemplate(t, template, func(w *walker) { w.reportTypes = true })
}

func walkTemplate(t *TargetSchema, template rawjson.Value, set func(*walker)) field.ErrorList {
	if t == nil || !template.IsObject() {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(template))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "template"), string(template), err.Error())}
	}
	w := walker{target: t}
	set(&w)
	w.walk(nil, tree, t.Schemas[t.Root])
	return w.errs
}

// walker compares a value with its schema.
type walker struct {
	target                     *TargetSchema
	reportUnknown, reportTypes bool
	errs                       field.ErrorList
}

// place is where in a template the walker is. It becomes a path only for an error.
type place struct {
	parent *place // nil for the template itself
	key    string
	index  int
	kind   placeKind
}

type placeKind int

const (
	atField placeKind = iota
	atKey
	atIndex
)

func (p *place) path() *field.Path {
	if p == nil {
		return field.NewPath("spec", "template")
	}
	parent := p.parent.path()
	switch p.kind {
	case atKey:
		return parent.Key(p.key)
	case atIndex:
		return parent.Index(p.index)
	default:
		return parent.Child(p.key)
	}
}

func (w *walker) walk(at *place, value any, s *spec.Schema) {
	if value == nil {
		return
	}
	shape := w.target.shape(s)
	if shape == nil {
		return
	}
	if len(shape.types) > 0 && !slices.ContainsFunc(shape.types, func(t string) bool { return isOfType(value, t) }) {
		if w.reportTypes {
			w.errs = append(w.errs, field.Invalid(at.path(), value, "must be "+article(shape.types)))
		}
		return
	}
	switch v := value.(type) {
	case map[string]any:
		w.walkObject(at, v, shape)
	case []any:
		if shape.items != nil {
			for i, item := range v {
				w.walk(&place{parent: at, index: i, kind: atIndex}, item, shape.items)
			}
		}
	}
}

func (w *walker) walkObject(at *place, object map[string]any, shape *shape) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		property, ok := shape.properties[key]
		switch {
		case ok:
			w.walk(&place{parent: at, key: key}, object[key], property)
		case shape.anyKey:
			if shape.values != nil {
				w.walk(&place{parent: at, key: key, kind: atKey}, object[key], shape.values)
			}
		case w.reportUnknown && len(shape.properties) > 0 && !shape.keepsUnknown:
			path := (&place{parent: at, key: key}).path()
			w.errs = append(w.errs, field.Invalid(path, short(object[key]), w.unknown(key, shape)))
		}
	}
}

func (w *walker) unknown(key string, s *shape) string {
	sentence := fmt.Sprintf("%s %s has no such field", w.target.GVK.GroupVersion(), w.target.GVK.Kind)
	best, distance := "", 3
	for _, name := range slices.Sorted(maps.Keys(s.properties)) {
		if d := editDistance(strings.ToLower(key), strings.ToLower(name)); d < distance {
			best, distance = name, d
		}
	}
	if best != "" {
		sentence += fmt.Sprintf("; did you mean %q?", best)
	}
	return sentence
}

// short keeps a whole subtree out of an error message.
func short(value any) any {
	switch value.(type) {
	case map[string]any:
		return "{...}"
	case []any:
		return "[...]"
	}
	return value
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
			types = append(types, a.Type...)
		}
	}
	return types
}

func isOfType(value any, jsonType string) bool {
	switch v := value.(type) {
	case map[string]any:
		return jsonType == "object"
	case []any:
		return jsonType == "array"
	case string:
		return jsonType == "string"
	case bool:
		return jsonType == "boolean"
	case json.Number:
		return jsonType == "number" || jsonType == "integer" && !strings.ContainsAny(v.String(), ".eE")
	}
	return false
}

func article(types []string) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = "a " + t
		if strings.ContainsRune("aeiou", rune(t[0])) {
			words[i] = "an " + t
		}
	}
	return strings.Join(words, " or ")
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
