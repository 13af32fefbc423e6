package wire

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// appendMeta writes metadata. It is most of what is left of an object without its
// template, and the library, which goes by reflection, would parse all of managedFields
// once more to write it.
func appendMeta(b []byte, m *metav1.ObjectMeta) ([]byte, error) {
	b = append(b, '{')
	b = appendText(b, "name", m.Name)
	b = appendText(b, "generateName", m.GenerateName)
	b = appendText(b, "namespace", m.Namespace)
	b = appendText(b, "selfLink", m.SelfLink)
	b = appendText(b, "uid", string(m.UID))
	b = appendText(b, "resourceVersion", m.ResourceVersion)
	if m.Generation != 0 {
		b = strconv.AppendInt(appendKey(b, "generation"), m.Generation, 10)
	}
	if !m.CreationTimestamp.IsZero() {
		b = appendTime(b, "creationTimestamp", &m.CreationTimestamp)
	}
	b = appendTime(b, "deletionTimestamp", m.DeletionTimestamp)
	if m.DeletionGracePeriodSeconds != nil {
		b = strconv.AppendInt(appendKey(b, "deletionGracePeriodSeconds"), *m.DeletionGracePeriodSeconds, 10)
	}
	b = appendTexts(b, "labels", m.Labels)
	b = appendTexts(b, "annotations", m.Annotations)
	var err error
	if len(m.OwnerReferences) > 0 {
		if b, err = appendValue(appendKey(b, "ownerReferences"), m.OwnerReferences); err != nil {
			return nil, err
		}
	}
	if len(m.Finalizers) > 0 {
		if b, err = appendValue(appendKey(b, "finalizers"), m.Finalizers); err != nil {
			return nil, err
		}
	}
	if b, err = appendManagedFields(b, m.ManagedFields); err != nil {
		return nil, err
	}
	return append(b, '}'), nil
}

func appendManagedFields(b []byte, entries []metav1.ManagedFieldsEntry) ([]byte, error) {
	if len(entries) == 0 {
		return b, nil
	}
	b = append(appendKey(b, "managedFields"), '[')
	var err error
	for i := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendManagedFieldsEntry(append(b, '{'), &entries[i]); err != nil {
			return nil, err
		}
		b = append(b, '}')
	}
	return append(b, ']'), nil
}

func appendManagedFieldsEntry(b []byte, e *metav1.ManagedFieldsEntry) ([]byte, error) {
	b = appendText(b, "manager", e.Manager)
	b = appendText(b, "operation", string(e.Operation))
	b = appendText(b, "apiVersion", e.APIVersion)
	b = appendTime(b, "time", e.Time)
	b = appendText(b, "fieldsType", e.FieldsType)
	if e.FieldsV1 != nil {
		b = appendKey(b, "fieldsV1")
		if raw := e.FieldsV1.GetRawBytes(); len(raw) > 0 && raw[0] == '{' {
			b = append(b, raw...)
		} else {
			var err error
			if b, err = appendValue(b, e.FieldsV1); err != nil {
				return nil, err
			}
		}
	}
	return appendText(b, "subresource", e.Subresource), nil
}

// appendKey begins a member of the object that b ends in.
func appendKey(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

// appendText writes a member unless it is empty.
func appendText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(appendKey(b, name), value)
}

// appendTime writes a member unless there is none.
func appendTime(b []byte, name string, value *metav1.Time) []byte {
	if value == nil {
		return b
	}
	if value.IsZero() {
		return append(appendKey(b, name), "null"...)
	}
	b = append(appendKey(b, name), '"')
	b = value.UTC().AppendFormat(b, time.RFC3339)
	return append(b, '"')
}

// appendTexts writes a map with sorted keys, unless it is empty.
func appendTexts(b []byte, name string, values map[string]string) []byte {
	if len(values) == 0 {
		return b
	}
	keys := make([]string, 0, 8) // on the stack, for as many as most objects have
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	b = append(appendKey(b, name), '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		b = appendString(b, values[key])
	}
	return append(b, '}')
}

// appendString writes a string, with the bytes of the library. That does it if there is more
// to escape than quotes and backslashes: they are all that there is in JSON in an annotation.
func appendString(b []byte, s string) []byte {
	escapes := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			escapes++
		case c < ' ' || c > '~' || c == '<' || c == '>' || c == '&':
			data, err := json.Marshal(s)
			if err != nil {
				panic(err) // strings have a JSON form
			}
			return append(b, data...)
		}
	}
	b = append(b, '"')
	if escapes == 0 {
		b = append(b, s...)
		return append(b, '"')
	}
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
