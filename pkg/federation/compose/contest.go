package compose

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// Contested is a field that a write of ours changed, and who had written it.
type Contested struct {
	// Path of the field, such as .spec.template.spec.containers[name=app].image.
	Path string
	// Manager is the name by which managedFields know who wrote it; several are joined by a
	// comma. It is empty if they do not say.
	Manager string
}

// maxContested is how many fields are told.
const maxContested = 10

// Contest compares an object as it was read, with its managedFields, and as the member answered
// our write of it, and returns what is different: up to ten fields, sorted by path. With the
// same manifest written before, these are what others have changed since. Nothing in it
// depends on times, so that it can be compared with what was told before.
//
// The status is left out, and of the metadata everything but labels, annotations, finalizers
// and owner references.
func Contest(before, after map[string]any, managedFields []metav1.ManagedFieldsEntry) []Contested {
	d := differ{managers: parseManagers(managedFields)}
	owned := make([]holding, 0, len(d.managers))
	for i := range d.managers {
		if m := &d.managers[i]; isOthers(m) && !m.writesStatus() {
			owned = append(owned, holding{m, m.set, false})
		}
	}
	d.maps("", contestable(before), contestable(after), owned)
	slices.SortFunc(d.found, func(a, b Contested) int { return cmp.Compare(a.Path, b.Path) })
	return d.found[:min(maxContested, len(d.found))]
}

// contestable is what of an object a manifest can say.
func contestable(object map[string]any) map[string]any {
	out := maps.Clone(object)
	delete(out, "status")
	metadata := map[string]any{}
	for _, field := range []string{"labels", "annotations", "finalizers", "ownerReferences"} {
		if value, there := child(object, "metadata")[field]; there {
			metadata[field] = value
		}
	}
	if annotations := maps.Clone(child(metadata, "annotations")); annotations != nil {
		delete(annotations, manifest.RecordAnnotation)
		metadata["annotations"] = annotations
	}
	out["metadata"] = metadata
	return out
}

// holding is what a manager owns at some path: all of it once whole is true.
type holding struct {
	manager *manager
	set     *fieldpath.Set
	whole   bool
}

type differ struct {
	managers managers
	found    []Contested
}

func (d *differ) values(path string, before, after any, owned []holding) {
	if equal(before, after) {
		return
	}
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			d.maps(path, b, a, owned)
			return
		}
	case []any:
		if a, ok := after.([]any); ok && d.lists(path, b, a, owned) {
			return
		}
	}
	d.found = append(d.found, Contested{path, names(owned)})
}

func (d *differ) maps(path string, before, after map[string]any, owned []holding) {
	keys := maps.Clone(before)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, after)
	for key := range keys {
		if !equal(before[key], after[key]) {
			d.values(path+keyText(key), before[key], after[key], below(owned, []fieldpath.PathElement{fieldpath.FieldNameElement(key)}))
		}
	}
}

// keyText is the step to a key in a path, in brackets where it would be read as several.
func keyText(key string) string {
	if strings.ContainsAny(key, "./[]") {
		return "[" + key + "]"
	}
	return "." + key
}

// Rewritten compares what was sent with what a member has answered, and returns the labels and
// annotations that are not there as they were sent, as sorted paths: admission in the member has
// changed them. Of other fields that is the member's right.
func Rewritten(sent, answered map[string]any) []string {
	var out []string
	for _, field := range []string{"labels", "annotations"} {
		got := child(answered, "metadata", field)
		for key, value := range child(sent, "metadata", field) {
			if !equal(got[key], value) {
				out = append(out, ".metadata."+field+keyText(key))
			}
		}
	}
	slices.Sort(out)
	return out
}

// lists compares item by item. It returns false if only the order is different.
func (d *differ) lists(path string, before, after []any, owned []holding) bool {
	indexes := make([]*itemElements, len(owned))
	for i, h := range owned {
		if !h.whole {
			indexes[i] = indexElements(h.set)
		}
	}
	item := func(before, after any, position int) {
		if equal(before, after) {
			return
		}
		one := before
		if one == nil {
			one = after
		}
		var theirs []holding
		for i, h := range owned {
			if h.whole {
				theirs = append(theirs, h)
			} else {
				theirs = append(theirs, below([]holding{h}, indexes[i].of(one, position))...)
			}
		}
		d.values(path+itemText(one, position), before, after, theirs)
	}
	pairs, paired := pairItems(before, after), map[int]bool{}
	count := len(d.found)
	for i, one := range before {
		j, both := pairs[i]
		var other any
		if both {
			other, paired[j] = after[j], true
		}
		item(one, other, i)
	}
	for j, one := range after {
		if !paired[j] {
			item(nil, one, j)
		}
	}
	return len(d.found) > count
}

func itemText(item any, position int) string {
	if m, ok := item.(map[string]any); ok {
		for _, field := range identifiers {
			if value, there := m[field]; there {
				return "[" + field + "=" + scalar(value) + "]"
			}
		}
	} else if text, ok := item.(string); ok {
		return "[" + text + "]"
	}
	return "[" + strconv.Itoa(position) + "]"
}

// below goes down one of some elements with each manager that owns something there.
func below(owned []holding, elements []fieldpath.PathElement) []holding {
	var out []holding
	for _, h := range owned {
		if h.whole {
			out = append(out, h)
			continue
		}
		for _, e := range elements {
			if set := descend(h.set, e); set != nil {
				out = append(out, holding{h.manager, set, false})
			} else if h.set.Members.Has(e) {
				out = append(out, holding{h.manager, h.set, true})
			}
		}
	}
	return out
}

// names of those who own a field, or parts of it, each once and sorted.
func names(owned []holding) string {
	var out []string
	for _, h := range owned {
		out = append(out, h.manager.name)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}
