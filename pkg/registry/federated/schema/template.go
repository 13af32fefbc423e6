package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/apis/names"
)

const (
	// maxProblems is how many problems of one sort are told, as many as sigs.k8s.io/json tells.
	maxProblems = 100
	// maxGuesses is for how many of them a field is looked for that may have been meant: each
	// is compared with all fields that there are.
	maxGuesses = 10
)

// Problems is what a template has that its kind does not. Errors are at paths below
// spec.template, in the order of the keys.
type Problems struct {
	// UnknownFields are fields that the kind does not have.
	UnknownFields field.ErrorList
	// WrongTypes are values that are not of the type the kind wants.
	WrongTypes field.ErrorList
}

// Compare compares a template, as rawjson.Value.Tree returns it, with its schema. A kind
// whose schema is not known, for which t is nil, takes any template.
func Compare(t *Target, template map[string]any) Problems {
	if t == nil || template == nil {
		return Problems{}
	}
	w := walker{target: t}
	w.walk(nil, template, t.Schemas[t.Root])
	return w.Problems
}

// walker compares a value with its schema.
type walker struct {
	target *Target
	Problems
}

// place is where in a template the walker is. It becomes a path only for an error.
type place struct {
	parent *place // nil for the root
	root   *field.Path
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
	if p.root != nil {
		return p.root
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
		if len(w.WrongTypes) < maxProblems {
			w.WrongTypes = append(w.WrongTypes, field.Invalid(at.path(), short(value), "must be "+article(shape.types)))
		}
		return
	}
	if rule := unfit(value, shape.format); rule != "" {
		if len(w.WrongTypes) < maxProblems {
			w.WrongTypes = append(w.WrongTypes, field.Invalid(at.path(), short(value), rule))
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
		case len(w.UnknownFields) < maxProblems && len(shape.properties) > 0 && !shape.keepsUnknown:
			path := (&place{parent: at, key: key}).path()
			w.UnknownFields = append(w.UnknownFields, field.Invalid(path, short(object[key]), w.unknown(key, shape)))
		}
	}
}

func (w *walker) unknown(key string, s *shape) string {
	sentence := fmt.Sprintf("%s %s has no such field", w.target.GVK.GroupVersion(), w.target.GVK.Kind)
	if len(w.UnknownFields) >= maxGuesses {
		return sentence
	}
	if name := resembling(key, s); name != "" {
		sentence += fmt.Sprintf("; did you mean %q?", name)
	}
	return sentence
}

// resembling returns the property that a key is most likely meant to be; "" if there is
// none. The cost is that of the two lengths multiplied, so keys that are longer than any
// name of a field are not looked at.
func resembling(key string, s *shape) string {
	const maxKeyBytes, tooFar = 64, 3
	if len(key) > maxKeyBytes {
		return ""
	}
	best, distance := "", tooFar
	for _, name := range slices.Sorted(maps.Keys(s.properties)) {
		if far := len(name) - len(key); far >= distance || -far >= distance {
			continue
		}
		if d := names.Distance(strings.ToLower(key), strings.ToLower(name)); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// short keeps a whole subtree, or a long text, out of an error message.
func short(value any) any {
	const limitBytes = 64
	switch v := value.(type) {
	case map[string]any:
		return "{...}"
	case []any:
		return "[...]"
	case string:
		if len(v) > limitBytes {
			return strings.ToValidUTF8(v[:limitBytes], "") + "..."
		}
	}
	return value
}

func isOfType(value any, jsonType string) bool {
	switch value.(type) {
	case map[string]any:
		return jsonType == "object"
	case []any:
		return jsonType == "array"
	case string:
		return jsonType == "string"
	case bool:
		return jsonType == "boolean"
	case int64:
		return jsonType == "number" || jsonType == "integer"
	case float64:
		return jsonType == "number"
	}
	return false
}

func article(types []string) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = "a " + t
		if strings.IndexAny(t, "aeiou") == 0 {
			words[i] = "an " + t
		}
	}
	return strings.Join(words, " or ")
}
