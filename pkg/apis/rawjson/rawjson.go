// Package rawjson holds one JSON value as the bytes it was written in.
//
// A federated object carries whole manifests of other kinds. Decoding them into
// maps costs several times their size and has to be paid again for every copy, so
// they stay bytes until somebody looks inside. Values are immutable: never modify
// the bytes of a Value, assign a new one.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"

	kjson "sigs.k8s.io/json"
)

// Value is one JSON value. nil means absent; Value("null") is an explicit null.
//
// A Value that was decoded is compact: it holds no white space between tokens.
type Value []byte

// MarshalJSON returns the bytes as they are; nil is written as null.
func (v Value) MarshalJSON() ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	return v, nil
}

// UnmarshalJSON stores a compact copy of data.
func (v *Value) UnmarshalJSON(data []byte) error {
	if v == nil {
		return errors.New("rawjson: UnmarshalJSON on nil pointer")
	}
	var buf bytes.Buffer
	buf.Grow(len(data))
	if err := json.Compact(&buf, data); err != nil {
		return err
	}
	*v = buf.Bytes()
	return nil
}

// DeepCopyInto shares the bytes: a Value is immutable.
func (v *Value) DeepCopyInto(out *Value) { *out = *v }

// DeepCopy shares the bytes: a Value is immutable.
func (v Value) DeepCopy() Value { return v }

// OpenAPISchemaType makes the generated OpenAPI definition "any value".
func (Value) OpenAPISchemaType() []string { return nil }

// OpenAPISchemaFormat is empty: any value has no format.
func (Value) OpenAPISchemaFormat() string { return "" }

// IsObject reports whether the value is a JSON object.
func (v Value) IsObject() bool { return len(v) > 0 && v[0] == '{' }

// Tree returns what the value says, as an API server reads a custom resource: objects are
// map[string]any, arrays []any; numbers are int64 if they are integers and fit, else
// float64. Of keys that come twice the last one counts. The tree is the caller's.
//
// It returns an error for numbers and text that Faults finds fault with.
func (v Value) Tree() (any, error) {
	if !isText(v) {
		return nil, errors.New("rawjson: a string is no Unicode text")
	}
	var tree any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(v, &tree); err != nil {
		return nil, err
	}
	return settle(tree), nil
}

// settle turns floats into what they are read as once they were written: 1000.0 is written
// as 1000, which is an integer.
func settle(tree any) any {
	switch t := tree.(type) {
	case map[string]any:
		for key, value := range t {
			switch value.(type) {
			case map[string]any, []any, float64:
				t[key] = settle(value)
			}
		}
	case []any:
		for i := range t {
			t[i] = settle(t[i])
		}
	case float64:
		if t != math.Trunc(t) || math.Abs(t) > math.MaxInt64 {
			return t
		}
		if i, err := strconv.ParseInt(strconv.FormatFloat(t, 'f', -1, 64), 10, 64); err == nil {
			return i
		}
	}
	return tree
}

// FromTree returns the canonical value of a tree: object keys are sorted, and there is no
// white space.
func FromTree(tree any) (Value, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(tree); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// Canonical returns the value as an API server stores and serves a custom resource, with
// sorted keys and no white space, so that two values that clients cannot tell apart are
// equal as bytes: 1.50 is 1.5, 1e3 is 1000, 1.0 is 1, -0 is 0, and an integer that is no
// int64 is the nearest float64. nil stays nil. The errors are those of Tree.
func (v Value) Canonical() (Value, error) {
	if v == nil {
		return nil, nil
	}
	tree, err := v.Tree()
	if err != nil {
		return nil, err
	}
	return FromTree(tree)
}
