package schema

import (
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// CompareAt compares a value, as rawjson.Value.Tree returns it, with the schema of the place
// in an object to which steps, those of a JSON pointer, lead. at is the path of the value, for
// errors. What is put where the schema says nothing, or has no such field, is not compared.
func CompareAt(t *Target, steps []string, value any, at *field.Path) field.ErrorList {
	if t == nil {
		return nil
	}
	w := walker{target: t}
	s := t.Schemas[t.Root]
	for _, step := range steps {
		if s = w.below(s, step); s == nil {
			return nil
		}
	}
	w.walk(&place{root: at}, value, s)
	return w.WrongTypes
}

// below is the schema of a field, or of the items of a list; nil if it is not known.
func (w *walker) below(s *spec.Schema, step string) *spec.Schema {
	shape := w.target.shape(s)
	if shape == nil {
		return nil
	}
	if property, ok := shape.properties[step]; ok {
		return property
	}
	if _, err := strconv.Atoi(step); shape.items != nil && (step == "-" || err == nil) {
		return shape.items
	}
	if shape.anyKey {
		return shape.values
	}
	return nil
}
