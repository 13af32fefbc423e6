package federated

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// refPrefix of references between schemas of OpenAPI v3.
const refPrefix = "#/components/schemas/"

// TargetSchema is the schema of a target kind, in OpenAPI v3. It is not modified once
// made.
type TargetSchema struct {
	// GVK is the kind that it is the schema of.
	GVK schema.GroupVersionKind
	// Root is the key of the kind's own schema in Schemas.
	Root string
	// Schemas are all that Root refers to, and what these refer to.
	Schemas map[string]*spec.Schema
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
	w.walk(field.NewPath("spec", "template"), tree, t.Schemas[t.Root])
	return w.errs
}

// walker compares a value with its schema.
type walker struct {
	target                     *TargetSchema
	reportUnknown, reportTypes bool
	errs                       field.ErrorList
}

func (w *walker) walk(path *field.Path, value any, s *spec.Schema) {
	s = w.target.resolve(s)
	if s == nil || value == nil {
		return
	}
	if allowed := typesOf(s); len(allowed) > 0 && !slices.ContainsFunc(allowed, func(t string) bool { return isOfType(value, t) }) {
		if w.reportTypes {
			w.errs = append(w.errs, field.Invalid(path, value, "must be "+article(allowed)))
		}
		return
	}
	switch v := value.(type) {
	case map[string]any:
		w.walkObject(path, v, s)
	case []any:
		if s.Items != nil && s.Items.Schema != nil {
			for i, item := range v {
				w.walk(path.Index(i), item, s.Items.Schema)
			}
		}
	}
}

func (w *walker) walkObject(path *field.Path, object map[string]any, s *spec.Schema) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		property, ok := s.Properties[key]
		switch {
		case ok:
			w.walk(path.Child(key), object[key], &property)
		case s.AdditionalProperties != nil:
			if s.AdditionalProperties.Schema != nil {
				w.walk(path.Key(key), object[key], s.AdditionalProperties.Schema)
			}
		case w.reportUnknown && len(s.Properties) > 0 && !preservesUnknown(s):
			w.errs = append(w.errs, field.Invalid(path.Child(key), short(object[key]), w.unknown(key, s)))
		}
	}
}

func (w *walker) unknown(key string, s *spec.Schema) string {
	sentence := fmt.Sprintf("%s %s has no such field", w.target.GVK.GroupVersion(), w.target.GVK.Kind)
	best, distance := "", 3
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
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
