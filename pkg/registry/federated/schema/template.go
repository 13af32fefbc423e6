package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// UnknownFields lists the fields of a template that its kind does not have. Errors are at
// paths below spec.template, in the order of the keys. A kind whose schema is not known,
// for which t is nil, takes any template.
func UnknownFields(t *Target, template rawjson.Value) field.ErrorList {
	return walkTemplate(t, template, func(w *walker) { w.reportUnknown = true })
}

// WrongTypes lists the values of a template that are not of the type the kind wants, like
// UnknownFields.
func WrongTypes(t *Target, template rawjson.Value) field.ErrorList {
	return walkTemplate(t, template, func(w *walker) { w.reportTypes = true })
}

func walkTemplate(t *Target, template rawjson.Value, set func(*walker)) field.ErrorList {
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
	target                     *Target
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
