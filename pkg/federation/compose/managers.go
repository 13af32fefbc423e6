package compose

import (
	"bytes"
	"encoding/json"
	"slices"

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

// itemOf returns the position of the item that an element means, or -1.
func itemOf(list []any, element fieldpath.PathElement) int {
	return slices.IndexFunc(list, func(item any) bool { return isItem(item, element) })
}

func isItem(item any, element fieldpath.PathElement) bool {
	switch {
	case element.Key != nil:
		m, ok := item.(map[string]any)
		if !ok {
			return false
		}
		for _, field := range *element.Key {
			got, there := m[field.Name]
			text := scalar(got)
			if !there {
				if text, there = keyDefaults[field.Name]; !there {
					return false
				}
			}
			if text != scalar(field.Value.Unstructured()) {
				return false
			}
		}
		return true
	case element.Value != nil:
		return equal(item, (*element.Value).Unstructured())
	}
	return false
}

// writesStatus reports whether an entry is of a status, of which a manifest says nothing.
func (m *manager) writesStatus() bool { return m.subresource == "status" }
