package compose

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// FieldManager is who writes our objects in members.
const FieldManager = "koinon"

// kubefedManagers are KubeFed's: API servers take the name of the program from its user agent.
// Its image runs hyperfed under the name controller-manager.
var kubefedManagers = []string{"controller-manager", "hyperfed"}

// manager is an entry of managedFields.
type manager struct {
	name, operation, subresource string
	set                          *fieldpath.Set
}

type managers []manager

func isOurs(m *manager) bool         { return m.name == FieldManager }
func isKubeFeds(m *manager) bool     { return slices.Contains(kubefedManagers, m.name) }
func isOthers(m *manager) bool       { return !isOurs(m) && !isKubeFeds(m) }
func applies(m *manager) bool        { return m.operation == string(metav1.ManagedFieldsOperationApply) }
func isApplied(m *manager) bool      { return isOurs(m) && applies(m) }
func isOtherApplier(m *manager) bool { return isOthers(m) && applies(m) }

// readManagers reads the managedFields of an object. Entries that cannot be read say nothing.
func readManagers(object map[string]any) managers {
	list, _ := child(object, "metadata")["managedFields"].([]any)
	var entries []metav1.ManagedFieldsEntry
	for _, item := range list {
		data, err := json.Marshal(item)
		if err != nil {
			continue
		}
		var entry metav1.ManagedFieldsEntry
		if json.Unmarshal(data, &entry) == nil {
			entries = append(entries, entry)
		}
	}
	return parseManagers(entries)
}

func parseManagers(entries []metav1.ManagedFieldsEntry) managers {
	var out managers
	for i := range entries {
		e := &entries[i]
		if e.FieldsV1 == nil {
			continue
		}
		set := &fieldpath.Set{}
		if set.FromJSON(bytes.NewReader(e.FieldsV1.Raw)) == nil {
			out = append(out, manager{e.Manager, string(e.Operation), e.Subresource, set})
		}
	}
	return out
}

// own reports whether one of those that are meant owns a key of a field of the metadata: a key of
// a map, a value of a set, or the UID of an owner.
func (m managers) own(meant func(*manager) bool, field, key string) bool {
	return slices.ContainsFunc(m, func(one manager) bool {
		if !meant(&one) {
			return false
		}
		set := descend(descend(one.set, fieldpath.FieldNameElement("metadata")), fieldpath.FieldNameElement(field))
		for _, element := range []fieldpath.PathElement{
			fieldpath.FieldNameElement(key),
			fieldpath.ValueElement(value.NewValueInterface(key)),
			fieldpath.KeyElementByFields("uid", key),
		} {
			if set != nil && (set.Members.Has(element) || descend(set, element) != nil) {
				return true
			}
		}
		return false
	})
}

// descend returns what is below an element; nil if there is nothing.
func descend(set *fieldpath.Set, element fieldpath.PathElement) *fieldpath.Set {
	if set == nil {
		return nil
	}
	below, there := set.Children.Get(element)
	if !there {
		return nil
	}
	return below
}

// elements are the members and children of a set, each once, in order.
func elements(set *fieldpath.Set) []fieldpath.PathElement {
	var out []fieldpath.PathElement
	set.Members.Iterate(func(e fieldpath.PathElement) { out = append(out, e) })
	set.Children.Iterate(func(e fieldpath.PathElement) {
		if !set.Members.Has(e) {
			out = append(out, e)
		}
	})
	slices.SortFunc(out, fieldpath.PathElement.Compare)
	return out
}

// keyDefaults are defaults of fields that are keys of lists. A manifest may leave them out, and
// managedFields have them.
var keyDefaults = map[string]string{"protocol": "TCP"}

// itemElements finds the elements of a set that mean an item of a list.
type itemElements struct {
	// shapes are the names of key fields that elements have: one shape, but for odd lists.
	shapes [][]string
	// byKey, byValue and byIndex find elements by what itemKey returns, by their text, and by position.
	byKey   map[string]fieldpath.PathElement
	byValue map[string]fieldpath.PathElement
	byIndex map[int]fieldpath.PathElement
}

func indexElements(set *fieldpath.Set) *itemElements {
	x := &itemElements{byKey: map[string]fieldpath.PathElement{}, byValue: map[string]fieldpath.PathElement{}, byIndex: map[int]fieldpath.PathElement{}}
	for _, e := range elements(set) {
		switch {
		case e.Key != nil:
			names, fields := []string{}, map[string]any{}
			for _, field := range *e.Key {
				names = append(names, field.Name)
				fields[field.Name] = field.Value.Unstructured()
			}
			key, _ := itemKey(fields, names)
			x.byKey[key] = e
			if !slices.ContainsFunc(x.shapes, func(shape []string) bool { return slices.Equal(shape, names) }) {
				x.shapes = append(x.shapes, names)
			}
		case e.Value != nil:
			x.byValue[encoded((*e.Value).Unstructured())] = e
		case e.Index != nil:
			x.byIndex[*e.Index] = e
		}
	}
	return x
}

// of returns the elements that mean an item; none, one, or several in odd lists.
func (x *itemElements) of(item any, position int) []fieldpath.PathElement {
	var out []fieldpath.PathElement
	for _, shape := range x.shapes {
		if key, ok := itemKey(item, shape); ok {
			if e, ok := x.byKey[key]; ok {
				out = append(out, e)
			}
		}
	}
	if len(x.byValue) > 0 {
		if e, ok := x.byValue[encoded(item)]; ok {
			out = append(out, e)
		}
	}
	if e, ok := x.byIndex[position]; ok {
		out = append(out, e)
	}
	return out
}

// itemKey is the text of the key fields of an item; false if it lacks one that has no default.
func itemKey(item any, names []string) (string, bool) {
	m, ok := item.(map[string]any)
	if !ok {
		return "", false
	}
	var key strings.Builder
	for _, name := range names {
		value, there := m[name]
		if !there {
			text, hasDefault := keyDefaults[name]
			if !hasDefault {
				return "", false
			}
			value = text
		}
		key.WriteString(name + "=" + encoded(value) + "\n")
	}
	return key.String(), true
}

// writesStatus reports whether an entry is of a status, of which a manifest says nothing.
func (m *manager) writesStatus() bool { return m.subresource == "status" }
