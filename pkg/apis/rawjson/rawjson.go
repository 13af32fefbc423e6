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

// Canonical returns the value with object keys sorted, numbers kept digit by digit
// and no white space, so that two values that mean the same compare equal as bytes.
// nil stays nil.
func (v Value) Canonical() (Value, error) {
	if v == nil {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(v))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(tree); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}
