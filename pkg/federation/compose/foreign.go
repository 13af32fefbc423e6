package compose

import "sigs.k8s.io/structured-merge-diff/v6/fieldpath"

// notForeign are fields of an object that others cannot share in this way: the metadata is merged
// whatever the rules are, the status is the member's.
var notForeign = map[string]bool{"apiVersion": true, "kind": true, "metadata": true, "status": true}

// keepForeign puts into object what others own in live and object does not set. Where object has a
// scalar, or another type, beside what they own, object wins.
func keepForeign(object, live map[string]any, m managers) {
	for i := range m {
		one := &m[i]
		if !isOthers(one) || one.writesStatus() {
			continue
		}
		for _, element := range elements(one.set) {
			if element.FieldName != nil && !notForeign[*element.FieldName] {
				keepField(object, live, *element.FieldName, one.set, element)
			}
		}
	}
}

// keepField keeps a field of a map. What is owned as a whole is taken as a whole; of what is
// owned in parts, the parts.
func keepField(object, live map[string]any, key string, set *fieldpath.Set, element fieldpath.PathElement) {
	value, there := live[key]
	if !there {
		return
	}
	below := descend(set, element)
	mine, isSet := object[key]
	if below == nil {
		if !isSet {
			object[key] = value
		}
		return
	}
	if mine == nil {
		mine = emptyAs(value)
	}
	kept := keepBelow(mine, value, below)
	if isSet || !isUnset(kept, true) || set.Members.Has(element) {
		object[key] = kept
	}
}

func emptyAs(value any) any {
	switch value.(type) {
	case map[string]any:
		return map[string]any{}
	case []any:
		return []any{}
	}
	return nil
}

// keepBelow returns object with the parts of live that a set names.
func keepBelow(object, live any, set *fieldpath.Set) any {
	switch from := live.(type) {
	case map[string]any:
		if to, ok := object.(map[string]any); ok {
			for _, element := range elements(set) {
				if element.FieldName != nil {
					keepField(to, from, *element.FieldName, set, element)
				}
			}
		}
	case []any:
		if to, ok := object.([]any); ok {
			return keepItems(to, from, set)
		}
	}
	return object
}

// keepItems goes through live in its order, so that what is appended keeps it. Of an item that is
// in both, and owned in parts, the parts are kept. Items of atomic lists are owned with them.
func keepItems(to, from []any, set *fieldpath.Set) []any {
	owned := indexElements(set)
	at := map[string]int{} // where an element's item is in the list, by the element's text
	for i, item := range to {
		for _, element := range owned.of(item, i) {
			if _, there := at[element.String()]; !there {
				at[element.String()] = i
			}
		}
	}
	for j, item := range from {
		for _, element := range owned.of(item, j) {
			below := descend(set, element)
			i, there := at[element.String()]
			switch {
			case there && below != nil:
				to[i] = keepBelow(to[i], item, below)
			case there:
			case below == nil:
				to = append(to, item)
			case set.Members.Has(element):
				to = append(to, withKeys(item, below, element))
			}
		}
	}
	return to
}

// withKeys is what is owned of an item that object lacks, with what identifies it.
func withKeys(item any, below *fieldpath.Set, element fieldpath.PathElement) any {
	from, ok := item.(map[string]any)
	if !ok {
		return item
	}
	out := map[string]any{}
	if element.Key != nil {
		for _, field := range *element.Key {
			if value, there := from[field.Name]; there {
				out[field.Name] = value
			}
		}
	}
	return keepBelow(out, from, below)
}
