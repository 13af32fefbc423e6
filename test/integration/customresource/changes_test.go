package customresource_test

import (
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// change is one of a field, in the words of v1beta2.
type change struct {
	path []string
	// value is nil if the field is removed.
	value any
}

// clusterWords are those of v1beta1, by what v1beta2 calls the same.
var clusterWords = map[string]string{
	"topologies": "clusters", "topologySelector": "clusterSelector", "topologyName": "clusterName", "topologyOverrides": "clusterOverrides",
}

// in returns the change in the words of a version.
func (c change) in(version string) change {
	if version != "v1beta1" || c.path[0] != "spec" || c.path[1] == "template" {
		return c
	}
	path := slices.Clone(c.path)
	for i, word := range path {
		if other, ok := clusterWords[word]; ok {
			path[i] = other
		}
	}
	return change{path, inClusterWords(c.value)}
}

func inClusterWords(value any) any {
	switch v := value.(type) {
	case object:
		out := object{}
		for key, inner := range v {
			if other, ok := clusterWords[key]; ok {
				key = other
			}
			out[key] = inClusterWords(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = inClusterWords(v[i])
		}
		return out
	}
	return value
}

// inTopologyWords are fields that a manager of v1beta1 owns. A list of overrides without any by
// selector is one field in both versions.
func inTopologyWords(set *fieldpath.Set) *fieldpath.Set {
	out := &fieldpath.Set{}
	for path := range set.All() {
		path = path.Copy()
		for i := range path {
			for topologyWord, clusterWord := range clusterWords {
				if i > 0 && i < 3 && path[0].FieldName != nil && *path[0].FieldName == "spec" && path[i].FieldName != nil && *path[i].FieldName == clusterWord {
					path[i] = fieldpath.FieldNameElement(topologyWord)
				}
			}
		}
		out.Insert(path)
	}
	return out
}

// set makes the change to an object, with what has to be there for it.
func (c change) set(obj object) {
	last := len(c.path) - 1
	for _, key := range c.path[:last] {
		inner, ok := obj[key].(object)
		if !ok {
			if c.value == nil {
				return
			}
			inner = object{}
			obj[key] = inner
		}
		obj = inner
	}
	if delete(obj, c.path[last]); c.value != nil {
		obj[c.path[last]] = c.value
	}
}

// setAll makes changes to an object.
func setAll(obj object, changes []change) object {
	for _, c := range changes {
		c.set(obj)
	}
	return obj
}

// asMergePatch says the changes in JSON.
func asMergePatch(changes []change) object {
	patch := object{}
	for _, c := range changes {
		inner := patch
		for _, key := range c.path[:len(c.path)-1] {
			next, ok := inner[key].(object)
			if !ok {
				next = object{}
				inner[key] = next
			}
			inner = next
		}
		inner[c.path[len(c.path)-1]] = c.value
	}
	return patch
}

// asJSONPatch says the changes to an object in operations that can be done.
func asJSONPatch(obj object, changes []change) []any {
	obj = deepCopy(obj)
	operations := []any{}
	for _, c := range changes {
		if operation := c.operation(obj); operation != nil {
			operations = append(operations, operation)
		}
		c.set(obj)
	}
	return operations
}

// operation is nil if there is nothing to remove.
func (c change) operation(obj object) object {
	inner, value := obj, c.value
	for i, key := range c.path {
		_, there := inner[key]
		if last := i == len(c.path)-1; last || !there {
			if value == nil {
				if !there {
					return nil
				}
				return object{"op": "remove", "path": pointer(c.path)}
			}
			for _, missing := range slices.Backward(c.path[i+1:]) {
				value = object{missing: value}
			}
			return object{"op": "add", "path": pointer(c.path[:i+1]), "value": value}
		}
		inner, _ = inner[key].(object)
	}
	return nil
}

func pointer(path []string) string { return "/" + strings.Join(path, "/") }

func deepCopy(obj object) object {
	out := maps.Clone(obj)
	for key, value := range out {
		if inner, ok := value.(object); ok {
			out[key] = deepCopy(inner)
		}
	}
	return out
}
